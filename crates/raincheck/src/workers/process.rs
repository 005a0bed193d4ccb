//! Process: a command is started for each attempt; its input is stdin, its result stdout.
//!
//! Exit 0 succeeded, 65 failed for good (`EX_DATAERR` of sysexits), anything else failed and is tried again.
//! A program that is to stop gets SIGTERM, and SIGKILL when its grace is over: the queue's `cancel_grace` after a cancel
//! request, half a second after the attempt's deadline (which it is told in `RAINCHECK_DEADLINE`), what is left of the
//! drain when the node leaves.
//! Invariants: no shell is involved; the command sees an environment made here and nothing else of the server's; when the
//! attempt is over, no process of its group is left, however it ended.

mod group;
mod pipes;

use std::ffi::OsString;
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use raincheck_core::content::JobResult;
use raincheck_core::job::Failure;
use raincheck_core::lease::WorkerKind;
use tokio::process::Command;
use tracing::{debug, warn};

use self::group::ProcessGroup;
use self::pipes::{Pipes, Read};
use super::{AttemptEnd, Ctx, Runner, StopReason};

/// The exit code by which a program says that no other attempt will help.
const FAILED_FOR_GOOD: i32 = 65;

/// What a program sees of the server's own environment, beside `LC_*`.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

/// The runner of one process queue.
#[derive(Debug)]
pub(crate) struct Process {
    argv: Vec<String>,
}

impl Process {
    /// Starts this program with these arguments for every attempt.
    pub(super) const fn new(argv: Vec<String>) -> Self {
        Self { argv }
    }

    fn command(&self, ctx: &Ctx) -> Command {
        let (program, arguments) = self
            .argv
            .split_first()
            .map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
        let job = &ctx.job;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(inherited())
            .env("RAINCHECK_JOB", job.id.to_string())
            .env("RAINCHECK_ATTEMPT", job.attempt.to_string())
            .env("RAINCHECK_QUEUE", job.queue.as_str())
            .env("RAINCHECK_FENCE", job.fence.to_string())
            .env("RAINCHECK_DEADLINE", ctx.deadline.to_string())
            .env(
                "RAINCHECK_CONTENT_TYPE",
                ctx.input.content_type.as_deref().unwrap_or_default(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    async fn attempt(&self, ctx: Ctx) -> AttemptEnd {
        let started = ProcessGroup::start(self.command(&ctx));
        let (mut group, pipes) = match started {
            Ok(started) => started,
            Err(error) => {
                // The path stays in the log: a failure's detail is shown to clients.
                warn!(program = self.argv.first(), %error, "a program cannot be started");
                let detail = format!("the queue's program cannot be started: {error}");
                return AttemptEnd::retry(Failure::new("handler-unreachable", detail));
            }
        };
        let result_max = ctx.queue.result_max();
        let mut pipes = Pipes::new(pipes, ctx.input.body.clone(), result_max);
        let mut stops = ctx.stops.clone();
        let mut stopped = None;
        let mut patience = ctx.stops.clone();
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
        match status {
            Ok(status) => verdict(status, read, stopped, &ctx),
            Err(error) => {
                let detail = format!("the program could not be waited for: {error}");
                AttemptEnd::retry(Failure::new("handler-unreachable", detail))
            }
        }
    }
}

impl Runner for Process {
    fn kind(&self) -> WorkerKind {
        WorkerKind::Process
    }

    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        Box::pin(async move { self.attempt(ctx).await })
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
fn verdict(status: ExitStatus, read: Read, stopped: Option<StopReason>, ctx: &Ctx) -> AttemptEnd {
    if stopped.is_some_and(|reason| reason != StopReason::Cancelled || !status.success()) {
        return AttemptEnd::Stopped;
    }
    if read.too_large {
        let max = ctx.queue.result_max();
        let detail = format!("the program printed more than {max} bytes, the queue's limit");
        return AttemptEnd::for_good(Failure::new("result-too-large", detail));
    }
    if status.success() {
        let content_type = ctx
            .queue
            .spec
            .result_type
            .clone()
            .or_else(|| ctx.input.content_type.clone());
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

#[cfg(test)]
mod tests;
