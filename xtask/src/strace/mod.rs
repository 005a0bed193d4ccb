//! `cargo xtask strace`: what the kernel saw the real server do, as proof of when a 202 is sent and what a failed
//! sync does.
//!
//! Invariant: a missing strace is a failure that says so, never a proof that was skipped.

mod failure;
mod order;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::soak::http::{Client, Sent};
use crate::soak::plan::QUEUES;
use crate::soak::server::{self, Server, Start};
use crate::tree::has;

/// Clients that submit at once.
const CLIENTS: usize = 64;
/// Submissions of each.
const EACH: usize = 20;
/// How long a traced server may take to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(40);

/// How the proofs are to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub binary: PathBuf,
    /// What the points of failure are drawn from.
    pub seed: u64,
    /// How many failing syncs and how many failing writes are tried.
    pub points: u64,
}

/// Runs the proofs.
///
/// # Errors
/// When one fails, or strace cannot be used.
pub fn prove(options: &Options, say: &dyn Fn(&str)) -> Result<()> {
    ensure!(
        has("strace"),
        "strace is missing, so nothing is proven; install it: cargo xtask setup"
    );
    let dir = tempfile::Builder::new().prefix("raincheck-strace-").tempdir()?;
    let binary = server::copy(&options.binary, dir.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let went = runtime.block_on(async {
        one(&binary, dir.path(), say)
            .await
            .context("one submission is durable before its 202")?;
        many(&binary, dir.path(), say)
            .await
            .context("submissions at once share syncs")?;
        failure::all(&binary, dir.path(), options, say).await
    });
    if went.is_err() {
        say(&format!("store and traces: {}", dir.keep().display()));
    }
    went
}

/// A server under strace.
struct Traced {
    server: Server,
    file: PathBuf,
    store: String,
}

impl Traced {
    /// Starts the server so that all of its threads are traced, and `inject` is done to them.
    fn start(binary: &str, dir: &Path, name: &str, inject: Option<&str>) -> Result<Self> {
        let (file, store) = (dir.join(format!("{name}.trace")), dir.join(name));
        let text = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .context("a temporary folder's name is text")
        };
        // -D: strace is a grandchild, so that the process started here is the server itself, with its exit code.
        let mut words: Vec<String> = [
            "strace",
            "-D",
            "-f",
            "-y",
            "--seccomp-bpf",
            "-s",
            "48",
            "-e",
            "signal=none",
        ]
        .map(str::to_owned)
        .to_vec();
        let calls = "fdatasync,fsync,pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg";
        words.extend([
            "-e".to_owned(),
            format!("trace={calls}"),
            "-o".to_owned(),
            text(&file)?,
        ]);
        if let Some(inject) = inject {
            words.extend(["-e".to_owned(), format!("inject={inject}")]);
        }
        words.push(binary.to_owned());
        let how = Start {
            words,
            store: store.clone(),
            queues: QUEUES.map(str::to_owned).to_vec(),
        };
        Ok(Self {
            server: Server::start(&how)?,
            store: text(&store)?,
            file,
        })
    }

    /// The whole trace, once the server has left and strace has written its last line.
    async fn trace(&self) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let last = format!("{} +++ ", self.server.pid());
        loop {
            let bytes = std::fs::read(&self.file).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if text
                .lines()
                .next_back()
                .is_some_and(|line| line.replace("  ", " ").starts_with(&last))
            {
                return Ok(text);
            }
            if Instant::now() > deadline {
                bail!(
                    "strace did not trace the server to its end (may processes be traced here?): {}\n{}",
                    text.lines().next_back().unwrap_or("the trace is empty"),
                    self.server.output()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(&mut self) -> Result<String> {
        self.server.terminate()?;
        let status = self.server.left(LEAVES_WITHIN).await?;
        ensure!(
            status.success(),
            "asked to stop, the server left with {status}:\n{}",
            self.server.output()
        );
        self.trace().await
    }
}

async fn submit(client: &mut Client, to: std::net::SocketAddr) -> Result<()> {
    let headers = [("Content-Type", "text/plain".to_owned())];
    let sent = client
        .send(
            to,
            "POST",
            "/v1/queues/pull/jobs",
            &headers,
            Bytes::from_static(b"hello\n"),
        )
        .await;
    ensure!(
        matches!(sent, Sent::Answered { status: 202, .. }),
        "a submission was not taken: {sent:?}"
    );
    Ok(())
}

async fn one(binary: &str, dir: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let mut traced = Traced::start(binary, dir, "one", None)?;
    let to = traced.server.ready().await?;
    submit(&mut Client::default(), to).await?;
    let text = traced.stop().await?;
    let places = order::durable_before_answer(&trace::read(&text), &traced.store)?;
    say("one submission over HTTP, as the kernel saw it (line of the trace, thread, call):");
    for (what, place) in [
        ("request read ", places.read),
        ("store written", places.written),
        ("sync returned", places.synced),
        ("202 written  ", places.answered),
    ] {
        let line = text
            .lines()
            .nth(place)
            .unwrap_or_default()
            .replace(&traced.store, "STORE");
        say(&format!("  {what} {:>5}: {line}", place + 1));
    }
    Ok(())
}

async fn many(binary: &str, dir: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let mut traced = Traced::start(binary, dir, "many", None)?;
    let to = traced.server.ready().await?;
    let mut clients: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut client = Client::default();
            for _ in 0..EACH {
                submit(&mut client, to).await?;
            }
            Ok(())
        });
    }
    for went in clients.join_all().await {
        went?;
    }
    let text = traced.stop().await?;
    let (syncs, answers) = order::shared(&trace::read(&text), &traced.store)?;
    say(&format!(
        "{CLIENTS} clients at once: {answers} submissions answered 202, {syncs} syncs, {:.1} submissions a sync",
        answers as f64 / syncs.max(1) as f64
    ));
    ensure!(
        answers == CLIENTS * EACH,
        "{answers} answers in the trace, {} sent",
        CLIENTS * EACH
    );
    ensure!(syncs > 0 && syncs * 2 <= answers, "syncs are hardly shared");
    Ok(())
}
