//! The real binary as a process: start it, find where it listens, kill it.
//!
//! Invariant: no server outlives the run; what it printed is kept for the report.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::http::{Client, Sent};

/// Lines of a server's output that are kept.
const LINES_KEPT: usize = 60;
/// How long a server may take until it is ready: recovery included, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    /// The program and, where a tracer runs it, the tracer's words before it.
    pub(crate) words: Vec<String>,
    /// The store's directory.
    pub(crate) store: PathBuf,
    /// `--queue` of each queue.
    pub(crate) queues: Vec<String>,
}

/// A server that was started.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: u32,
    address: watch::Receiver<Option<SocketAddr>>,
    lines: Arc<Mutex<VecDeque<String>>>,
    _readers: JoinSet<()>,
}

impl Server {
    /// Starts it; ready or not.
    pub(crate) fn start(how: &Start) -> Result<Self> {
        let (program, before) = how.words.split_first().context("a program to start")?;
        let mut command = Command::new(program);
        command
            .args(before)
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(&how.store);
        for queue in &how.queues {
            command.args(["--queue", queue]);
        }
        // A log level set for the whole run would slow the server down and fill the report.
        command
            .env_remove("RUST_LOG")
            .env_remove("RAINCHECK_LISTEN")
            .env("NO_COLOR", "1");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let pid = child.id().context("a running process has an id")?;
        let (found, address) = watch::channel(None);
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let mut readers = JoinSet::new();
        let stdout = child.stdout.take().context("its output is piped")?;
        let stderr = child.stderr.take().context("its output is piped")?;
        readers.spawn(listen(stdout, lines.clone(), found.clone()));
        readers.spawn(listen(stderr, lines.clone(), found));
        Ok(Self {
            child,
            pid,
            address,
            lines,
            _readers: readers,
        })
    }

    /// The process id of what was started.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it says where it listens.
    pub(crate) async fn listening(&mut self) -> Result<SocketAddr> {
        let found = timeout(READY_WITHIN, self.address.wait_for(Option::is_some)).await;
        let address = found.ok().and_then(Result::ok).and_then(|address| *address);
        address.with_context(|| format!("the server did not say where it listens:\n{}", self.output()))
    }

    /// Waits until it answers that it is ready.
    pub(crate) async fn ready(&mut self) -> Result<SocketAddr> {
        let deadline = Instant::now() + READY_WITHIN;
        let address = self.listening().await?;
        let mut client = Client::default();
        while Instant::now() < deadline {
            let sent = client.send(address, "GET", "/readyz", &[], Bytes::new()).await;
            if matches!(sent, Sent::Answered { status: 200, .. }) {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the server left with {status} before it was ready:\n{}",
                    self.output()
                );
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("the server was not ready in {READY_WITHIN:?}:\n{}", self.output())
    }

    /// Kills it on the spot.
    pub(crate) async fn kill(&mut self) -> Result<ExitStatus> {
        self.child.start_kill().context("killing the server")?;
        Ok(self.child.wait().await?)
    }

    /// How it ended, if it has.
    pub(crate) fn gone(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) -> Result<()> {
        signal(self.pid, Signal::TERM)
    }

    /// Waits until it has left by itself.
    pub(crate) async fn left(&mut self, within: Duration) -> Result<ExitStatus> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("the server had not left after {within:?}:\n{}", self.output()),
        }
    }

    /// The last lines that it printed.
    pub(crate) fn output(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("  | {line}\n")).collect()
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id")?;
    kill_process(pid, signal).with_context(|| format!("sending {signal:?}"))
}

/// Keeps a stream's last lines and looks for the address in it.
async fn listen(
    stream: impl AsyncRead + Unpin,
    lines: Arc<Mutex<VecDeque<String>>>,
    found: watch::Sender<Option<SocketAddr>>,
) {
    let mut read = BufReader::new(stream).lines();
    while let Ok(Some(line)) = read.next_line().await {
        if let Some(address) = address(&line) {
            found.send_if_modified(|known| known.replace(address).is_none());
        }
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// The address in a line such as `API  http://127.0.0.1:7246`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)))
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A copy of the binary that a build going on beside the run cannot replace.
pub(crate) fn copy(binary: &Path, dir: &Path) -> Result<String> {
    let to = dir.join("raincheck");
    std::fs::copy(binary, &to).with_context(|| {
        format!(
            "copying {}: build it with cargo build -p raincheck-cli",
            binary.display()
        )
    })?;
    to.into_os_string()
        .into_string()
        .ok()
        .context("a temporary folder's name is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_a_server_prints() {
        let found = |line| address(line).map(|found| found.to_string());
        assert_eq!(
            found("  API   http://127.0.0.1:40213"),
            Some("127.0.0.1:40213".to_owned())
        );
        assert_eq!(
            found("curl -d x http://127.0.0.1:40213/v1/queues"),
            Some("127.0.0.1:40213".to_owned())
        );
        assert_eq!(found("http://[::1]:80."), None);
        assert_eq!(found("store ./data"), None);
    }
}
