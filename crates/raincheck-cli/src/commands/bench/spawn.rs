//! A throw-away server: this very program, on a free port of this machine, over a store in a temporary folder.
//!
//! Invariant: it ends with its [`Spawned`], and its store with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::client::Address;
use crate::exit::{Exit, Failed};

/// A server that takes longer to start, or to leave, is given up.
const START_MAX: Duration = Duration::from_secs(120);

/// How a server is started.
#[derive(Clone, Debug)]
pub(super) struct How {
    /// The folder in which its own is made.
    pub(super) folder: PathBuf,
    /// The cores of the server and of the load.
    pub(super) pinned: Option<(usize, usize)>,
}

/// A server that is running.
#[derive(Debug)]
pub(super) struct Spawned {
    child: Child,
    folder: TempDir,
    how: How,
    /// Its API.
    pub(super) address: Address,
    /// How long it took from its start until it said where it listens.
    pub(super) started_in: Duration,
}

impl Spawned {
    /// Starts a server over a new store.
    pub(super) async fn start(how: &How) -> Result<Self, Failed> {
        let folder = tempfile::Builder::new()
            .prefix("raincheck-bench-")
            .tempdir_in(&how.folder)
            .map_err(|error| cannot(&how.folder, &error))?;
        Self::start_in(how.clone(), folder).await
    }

    async fn start_in(how: How, folder: TempDir) -> Result<Self, Failed> {
        let log = folder.path().join("log");
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("RAINCHECK_")) {
                command.env_remove(name);
            }
        }
        command
            .args([
                "serve",
                // What is measured does not depend on the folder it is measured in.
                "--config",
                "/dev/null",
                "--quiet",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "warn",
                "--store",
            ])
            .arg(folder.path().join("store"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true);
        // A process begins on the cores of the thread that starts it.
        if let Some((server, _)) = how.pinned {
            pin(server)?;
        }
        let began = Instant::now();
        let child = command.spawn();
        if let Some((_, client)) = how.pinned {
            pin(client)?;
        }
        let mut child = child?;
        let mut url = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout);
            // Silence for too long, and an end without a word, are told apart by nothing that matters here.
            let _ = tokio::time::timeout(START_MAX, lines.read_line(&mut url)).await;
        }
        let Ok(address) = url.trim_end().parse() else {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(Failed::new(
                Exit::Failure,
                format!("the server did not start: {last}"),
            ));
        };
        Ok(Self {
            started_in: began.elapsed(),
            child,
            folder,
            how,
            address,
        })
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Stops it in good order and starts it again over the same store.
    pub(super) async fn restart(mut self) -> Result<Self, Failed> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(std::io::Error::from)?;
        }
        let ended = tokio::time::timeout(START_MAX, self.child.wait()).await;
        if !ended.is_ok_and(|status| status.is_ok_and(|status| status.success())) {
            return Err(Failed::new(
                Exit::Failure,
                "the server did not stop in good order",
            ));
        }
        Self::start_in(self.how, self.folder).await
    }

    /// Ends it; what it stored goes with it.
    pub(super) async fn end(mut self) {
        // It may be gone already, and nothing of it is kept.
        let _ = self.child.kill().await;
    }
}

fn cannot(folder: &Path, error: &std::io::Error) -> Failed {
    Failed::new(
        Exit::Failure,
        format!("cannot make a folder in {}: {error}", folder.display()),
    )
    .next("Name another: --folder DIRECTORY")
}

/// Keeps this thread, and what it starts from now on, on one core.
pub(super) fn pin(core: usize) -> Result<(), Failed> {
    let mut set = CpuSet::new();
    if core < CpuSet::MAX_CPU {
        set.set(core);
    }
    sched_setaffinity(None, &set)
        .map_err(|error| Failed::usage(format!("--pin: no core {core} to use ({error})")))
}

/// Whether this process, and the server that it starts, may open so many files.
pub(super) fn open_files(wanted: u64) -> Result<(), Failed> {
    match getrlimit(Resource::Nofile).current {
        Some(allowed) if allowed < wanted => Err(Failed::usage(format!(
            "so many connections need {wanted} open files, and this process may have {allowed}"
        ))
        .next("Ask for fewer with --waiters, or raise the limit: ulimit -Hn")),
        Some(_) | None => Ok(()),
    }
}
