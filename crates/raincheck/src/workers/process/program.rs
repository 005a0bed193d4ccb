//! A program that is run for one attempt, by this server or by `raincheck work`.
//!
//! Exit 0 succeeded, 65 failed for good (`EX_DATAERR` of sysexits), anything else failed and is tried again.
//! A program that is to stop gets SIGTERM, and SIGKILL when its patience ends: the queue's `cancel_grace` after a cancel
//! request, half a second after the attempt's deadline (which it is told in `RAINCHECK_DEADLINE`), what is left of the
//! drain when whoever runs it leaves.
//! Invariants: no shell is involved; when the attempt is over, no process of its group is left, however it ended.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use raincheck_core::content::JobResult;
use raincheck_core::job::Failure;
use tokio::process::Command;
use tracing::debug;

use super::group::ProcessGroup;
use super::pipes::{Pipes, Read};
use crate::workers::{AttemptEnd, StopReason, Stops};

/// The exit code by which a program says that no other attempt will help.
const FAILED_FOR_GOOD: i32 = 65;

/// What a program sees of a server's own environment, beside `LC_*`.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

/// What a program sees of the environment of whoever starts it.
#[derive(Clone, Debug)]
pub enum Environment {
    /// What programs cannot do without: `PATH`, `HOME`, `USER`, `TMPDIR`, `TZ` and the locale.
    Few,
    /// All of it, and these beside.
    AllAnd(Vec<(&'static str, String)>),
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    argv: Vec<String>,
    environment: Environment,
}

/// What a program is told of its attempt, each in a variable of its own.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `RAINCHECK_JOB`.
    pub job: String,
    /// `RAINCHECK_ATTEMPT`, from 1.
    pub attempt: u32,
    /// `RAINCHECK_QUEUE`.
    pub queue: String,
    /// `RAINCHECK_FENCE`, which grows with every claim of the job.
    pub fence: String,
    /// `RAINCHECK_DEADLINE`: when the attempt's time is over.
    pub deadline: String,
    /// `RAINCHECK_CONTENT_TYPE`, empty where the input has none.
    pub content_type: Option<String>,
    /// `TRACEPARENT`: what the program's spans are below, where there is a trace (OpenTelemetry, environment variables as
    /// context propagation carriers).
    pub traceparent: Option<String>,
}

/// Gets the bytes that a program prints as they come.
pub type Log = Box<dyn FnMut(&[u8]) + Send>;

/// One run of a program.
pub struct Run {
    /// What it is told.
    pub facts: Facts,
    /// Its stdin.
    pub input: Bytes,
    /// The content type of its stdout; the input's where absent.
    pub result_type: Option<String>,
    /// So many bytes of stdout are a result; more are a failure.
    pub result_max: u64,
    /// On which it is told to stop.
    pub stops: Stops,
    /// Who gets its stdout as it comes, beside the result.
    pub tap: Option<Log>,
    /// Who gets its stderr, beside the failure's detail.
    pub log: Option<Log>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Program {
    /// The program `argv[0]` with the rest as its arguments.
    #[must_use]
    pub const fn new(argv: Vec<String>, environment: Environment) -> Self {
        Self { argv, environment }
    }

    /// The program's name or path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// The command, in a process group of its own.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.name());
        command.args(self.argv.iter().skip(1));
        match &self.environment {
            Environment::Few => command.env_clear().envs(inherited()),
            Environment::AllAnd(more) => command.envs(more.iter().map(|(name, value)| (name, value))),
        };
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// The command for one attempt.
    fn attempt(&self, facts: &Facts) -> Command {
        let mut command = self.command();
        command
            .env("RAINCHECK_JOB", &facts.job)
            .env("RAINCHECK_ATTEMPT", facts.attempt.to_string())
            .env("RAINCHECK_QUEUE", &facts.queue)
            .env("RAINCHECK_FENCE", &facts.fence)
            .env("RAINCHECK_DEADLINE", &facts.deadline)
            .env(
                "RAINCHECK_CONTENT_TYPE",
                facts.content_type.as_deref().unwrap_or_default(),
            )
            .envs(facts.traceparent.iter().map(|parent| ("TRACEPARENT", parent)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program once. Dropping the future ends it with all that it started.
    ///
    /// # Errors
    /// When it cannot be started: then nothing of it ran.
    pub async fn run(&self, run: Run) -> io::Result<AttemptEnd> {
        let Run {
            facts,
            input,
            result_type,
            result_max,
            mut stops,
            tap,
            log,
        } = run;
        let (mut group, pipes) = ProcessGroup::start(self.attempt(&facts))?;
        let mut pipes = Pipes::new(pipes, input, result_max, (tap, log));
        let mut stopped = None;
        let mut patience = stops.clone();
        // Until the program has ended: it is fed and read meanwhile, and told to stop where that is due.
        let ended = loop {
            tokio::select! {
                biased;
                ended = group.ended() => break ended,
                () = pipes.overflow() => break group.kill().await,
                stop = stops.told(), if stopped.is_none() => {
                    stopped = Some(stop.reason);
                    group.terminate();
                }
                () = patience.out_of_patience() => break group.kill().await,
            }
        };
        let status = match ended {
            Ok(()) => group.finish(&mut pipes).await,
            Err(error) => Err(error),
        };
        let read = pipes.into_read();
        debug!(?status, stderr = %read.tail, "a program ended");
        Ok(match status {
            Ok(status) => {
                let content_type = result_type.or(facts.content_type);
                verdict(status, read, stopped, content_type, result_max)
            }
            Err(error) => {
                let detail = format!("the program could not be waited for: {error}");
                AttemptEnd::retry(Failure::new("handler-unreachable", detail))
            }
        })
    }
}

fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str()
            .is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
    })
}

/// What a program's end means. A program that was stopped may well exit with 0, half done: that counts only after a cancel
/// request, where a success still wins.
fn verdict(
    status: ExitStatus,
    read: Read,
    stopped: Option<StopReason>,
    content_type: Option<String>,
    result_max: u64,
) -> AttemptEnd {
    if stopped.is_some_and(|reason| reason != StopReason::Cancelled || !status.success()) {
        return AttemptEnd::Stopped;
    }
    if read.too_large {
        let detail = format!("the program printed more than {result_max} bytes, the queue's limit");
        return AttemptEnd::for_good(Failure::new("result-too-large", detail));
    }
    if status.success() {
        return AttemptEnd::Succeeded(JobResult::new(200, content_type, Vec::new(), read.output));
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("the program exited with code {code}"),
        (None, Some(signal)) => format!("the program was ended by signal {signal}"),
        (None, None) => "the program ended in an unknown way".to_owned(),
    };
    let detail = if read.tail.is_empty() {
        how
    } else {
        format!("{how}: {}", read.tail)
    };
    let failure = Failure::new("handler-failed", detail);
    if status.code() == Some(FAILED_FOR_GOOD) {
        AttemptEnd::for_good(failure)
    } else {
        AttemptEnd::retry(failure)
    }
}
