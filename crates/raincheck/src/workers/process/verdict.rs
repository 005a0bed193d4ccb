//! What a program's end means, and how it is told.
//!
//! Invariant: a program that was stopped may well exit with 0, half done: that counts only after a cancel request, where a
//! success still wins.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use raincheck_core::content::JobResult;
use raincheck_core::job::Failure;
use raincheck_core::time::format_duration;
use rustix::process::Signal;

use super::confine::Limits;
use super::pipes::Read;
use crate::workers::{AttemptEnd, StopReason};

/// The exit code by which a program says that no other attempt will help.
const FAILED_FOR_GOOD: i32 = 65;

/// What there is to go by.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) read: Read,
    pub(super) stopped: Option<StopReason>,
    pub(super) content_type: Option<String>,
    pub(super) result_max: u64,
    pub(super) limits: Limits,
}

/// What a program's end means.
pub(super) fn verdict(ended: Ended) -> AttemptEnd {
    let Ended {
        status,
        read,
        stopped,
        content_type,
        result_max,
        limits,
    } = ended;
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
    let how = told(status, limits);
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

/// How a program ended that did not succeed.
fn told(status: ExitStatus, limits: Limits) -> String {
    let (how, signal) = match (status.code(), status.signal()) {
        // So a shell says that a signal ended what it ran.
        (Some(code), _) => (
            format!("the program exited with code {code}"),
            code.checked_sub(128),
        ),
        (None, Some(signal)) => (format!("the program was ended by {}", name(status)), Some(signal)),
        (None, None) => return "the program ended in an unknown way".to_owned(),
    };
    match signal.and_then(|signal| why(signal, status.code().is_none(), limits)) {
        Some(why) => format!("{how} ({why})"),
        None => how,
    }
}

/// The signal's number and name: `signal 9 (SIGKILL)`.
fn name(status: ExitStatus) -> String {
    let text = status.to_string().replace("signal: ", "signal ");
    text.trim_end_matches(" (core dumped)").to_owned()
}

/// What a signal has to do with the limits; `surely` where it ended the program itself.
fn why(signal: i32, surely: bool, limits: Limits) -> Option<String> {
    let is = |other: Signal| signal == other.as_raw();
    let of = |limit: Option<String>| {
        limit.map_or_else(|| "it may".to_owned(), |limit| format!("its limit of {limit}"))
    };
    if is(Signal::XCPU) {
        let limit = of(limits.cpu.map(format_duration));
        return Some(format!("it took more CPU time than {limit}"));
    }
    if is(Signal::XFSZ) {
        let limit = of(limits.file_size.map(|size| size.to_string()));
        return Some(format!("it wrote a larger file than {limit}"));
    }
    let out_of_memory = [
        Signal::ABORT,
        Signal::SEGV,
        Signal::BUS,
        Signal::KILL,
        Signal::TRAP,
    ];
    let memory = limits
        .memory
        .filter(|_| surely && out_of_memory.into_iter().any(is))?;
    Some(format!("its memory is limited to {memory}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck_core::queue::ByteSize;
    use std::time::Duration;

    #[test]
    fn an_end_is_told_with_the_limit_that_has_to_do_with_it() {
        let limits = Limits {
            cpu: Some(Duration::from_secs(2)),
            memory: Some(ByteSize(64 << 20)),
            open_files: None,
            file_size: Some(ByteSize(1 << 20)),
        };
        let none = Limits::default();
        for (status, limits, text) in [
            (
                ExitStatus::from_raw(1 << 8),
                limits,
                "the program exited with code 1",
            ),
            (
                ExitStatus::from_raw(9),
                none,
                "the program was ended by signal 9 (SIGKILL)",
            ),
            (
                ExitStatus::from_raw(24),
                limits,
                "the program was ended by signal 24 (SIGXCPU) (it took more CPU time than its limit of 2s)",
            ),
            (
                ExitStatus::from_raw((128 + 25) << 8),
                limits,
                "the program exited with code 153 (it wrote a larger file than its limit of 1MiB)",
            ),
            (
                ExitStatus::from_raw(25),
                none,
                "the program was ended by signal 25 (SIGXFSZ) (it wrote a larger file than it may)",
            ),
            (
                ExitStatus::from_raw(6 | 0x80),
                limits,
                "the program was ended by signal 6 (SIGABRT) (its memory is limited to 64MiB)",
            ),
            (
                ExitStatus::from_raw((128 + 9) << 8),
                limits,
                "the program exited with code 137",
            ),
        ] {
            assert_eq!(told(status, limits), text);
        }
    }
}
