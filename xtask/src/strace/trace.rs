//! Reads what strace wrote: system calls of several threads, some of which begin on one line and return on another.
//!
//! Invariant: a call has the place of the line on which it began and that of the line on which it returned; lines
//! stand in the order in which the kernel told them.

use std::collections::HashMap;

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The thread.
    pub(super) thread: u32,
    /// Its name.
    pub(super) name: String,
    /// Its arguments as strace writes them; what it read is told where it returned.
    pub(super) arguments: String,
    /// What it returned; `None` where it never did.
    pub(super) returned: Option<i64>,
    /// Whether strace itself made it fail.
    pub(super) injected: bool,
    /// The line on which it began.
    pub(super) began: usize,
    /// The line on which it returned.
    pub(super) ended: usize,
}

/// Names of calls that make a file's content durable.
const SYNCS: [&str; 2] = ["fdatasync", "fsync"];
const SENDS: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];
const RECEIVES: [&str; 4] = ["read", "readv", "recvfrom", "recvmsg"];
const WRITES: [&str; 3] = ["pwrite64", "pwritev", "pwritev2"];

impl Call {
    /// Whether it makes a file's content durable.
    pub(super) fn syncs(&self) -> bool {
        SYNCS.contains(&self.name.as_str())
    }

    /// The file that it is about: `7</store/raincheck.db-wal>` without the number.
    pub(super) fn file(&self) -> &str {
        let file = self.arguments.split_once('<').map_or("", |(_, file)| file);
        file.split('>').next().unwrap_or_default()
    }

    /// A sync of a file below `dir` that returned 0.
    pub(super) fn synced(&self, dir: &str) -> bool {
        self.syncs() && self.returned == Some(0) && self.file().starts_with(dir)
    }

    /// A write to a file below `dir` that returned.
    pub(super) fn wrote(&self, dir: &str) -> bool {
        WRITES.contains(&self.name.as_str()) && self.returned > Some(0) && self.file().starts_with(dir)
    }

    /// Whether it sends bytes that begin with `text`.
    pub(super) fn sends(&self, text: &str) -> bool {
        SENDS.contains(&self.name.as_str()) && self.arguments.contains(&format!("\"{text}"))
    }

    /// Whether it read bytes that begin with `text`.
    pub(super) fn received(&self, text: &str) -> bool {
        RECEIVES.contains(&self.name.as_str()) && self.arguments.contains(&format!("\"{text}"))
    }
}

/// All calls of a trace, in the order in which they began.
pub(super) fn read(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<u32, usize> = HashMap::new();
    for (place, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let (Ok(thread), rest) = (thread.parse(), rest.trim_start()) else {
            continue;
        };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let begun = open.remove(&thread).and_then(|at| calls.get_mut(at));
            if let (Some(call), Some((_, tail))) = (begun, resumed.split_once(" resumed>")) {
                call.arguments.push_str(tail);
                call.ended = place;
                (call.returned, call.injected) = outcome(tail);
            }
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else {
            continue;
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            continue;
        }
        let unfinished = arguments.strip_suffix("<unfinished ...>");
        let (returned, injected) = if unfinished.is_some() {
            (None, false)
        } else {
            outcome(arguments)
        };
        if unfinished.is_some() {
            open.insert(thread, calls.len());
        }
        calls.push(Call {
            thread,
            name: name.to_owned(),
            arguments: unfinished.unwrap_or(arguments).to_owned(),
            returned,
            injected,
            began: place,
            ended: if unfinished.is_some() { usize::MAX } else { place },
        });
    }
    calls
}

/// What stands after the last `= `: the value, and whether strace injected it.
fn outcome(tail: &str) -> (Option<i64>, bool) {
    let value = tail
        .rsplit_once(" = ")
        .and_then(|(_, value)| value.split_whitespace().next());
    (
        value.and_then(|value| value.parse().ok()),
        tail.ends_with("(INJECTED)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
11 recvfrom(9<socket:[1]>, \"POST /v1/queues/pull/jobs HTTP/1.1\"..., 8192, 0, NULL, NULL) = 120
12 pwrite64(7</s/raincheck.db-wal>, \"7\\177\"..., 32, 0) = 32
12 fdatasync(7</s/raincheck.db-wal> <unfinished ...>
11 sendto(9<socket:[1]>, \"HTTP/1.1 404 \"..., 9, 0, NULL, 0) = 9
12 <... fdatasync resumed>)          = 0
11 sendto(9<socket:[1]>, \"HTTP/1.1 202 Acc\"..., 300, MSG_NOSIGNAL, NULL, 0) = 300
12 fdatasync(7</s/raincheck.db-wal>) = -1 EIO (Input/output error) (INJECTED)
12 +++ exited with 70 +++
";

    #[test]
    fn a_call_that_returns_later_has_both_places() {
        let calls = read(TRACE);
        let sync = calls.iter().find(|call| call.synced("/s/")).expect("a sync");
        assert_eq!((sync.began, sync.ended, sync.thread), (2, 4, 12));
    }

    #[test]
    fn what_was_sent_and_received_is_found() {
        let calls = read(TRACE);
        let place = |found: fn(&Call) -> bool| calls.iter().find(|call| found(call)).map(|call| call.began);
        assert_eq!(place(|call| call.received("POST /v1/queues/")), Some(0));
        assert_eq!(place(|call| call.wrote("/s/")), Some(1));
        assert_eq!(place(|call| call.sends("HTTP/1.1 202")), Some(5));
    }

    #[test]
    fn an_injected_failure_is_told_apart() {
        let calls = read(TRACE);
        let failed: Vec<usize> = calls
            .iter()
            .filter(|call| call.injected)
            .map(|call| call.began)
            .collect();
        assert_eq!(failed, [6]);
        assert_eq!(calls.last().and_then(|call| call.returned), Some(-1));
    }
}
