//! Answers that come before the last one: 1xx, such as 103 with early hints (RFC 9110 section 15.2).
//!
//! hyper writes none but 100, so they are written below it, by the line: in the moment when hyper has nothing to write and the
//! request is being worked on, or right before its last answer, where that comes at once.
//!
//! Invariant: what is said of one request is never written into the answer of another, and nothing is said once its last answer
//! has begun.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use http::{HeaderMap, StatusCode};

use super::pulse::{Phase, Pulse};

/// The most bytes that wait to be written; more is not said.
const BYTES_MAX: usize = 64 << 10;

/// What a connection has to say before an answer.
#[derive(Debug, Default)]
pub(super) struct Hints {
    said: Mutex<Said>,
    waker: Mutex<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Said {
    /// Of which request, counted from 1.
    request: u32,
    bytes: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hints {
    /// Has the connection's task woken when there is something to say.
    pub(super) fn wake_by(&self, waker: &Waker) {
        let mut kept = lock(&self.waker);
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    /// Takes what was said of this request.
    pub(super) fn take(&self, request: u32) -> Vec<u8> {
        let mut said = lock(&self.said);
        if said.request == request {
            std::mem::take(&mut said.bytes)
        } else {
            Vec::new()
        }
    }
}

/// In the extensions of a request that may be answered more than once.
#[derive(Clone, Debug)]
pub(crate) struct Interim {
    pulse: Arc<Pulse>,
    request: u32,
}

impl Interim {
    /// Of the request that is being worked on, where the connection allows it.
    pub(super) fn of(pulse: &Arc<Pulse>) -> Option<Self> {
        pulse.hints()?;
        Some(Self {
            pulse: pulse.clone(),
            request: pulse.requests(),
        })
    }

    /// Says it, where the last answer has not begun. 100 is hyper's to say, and 101 is a last one.
    pub(crate) fn send(&self, status: StatusCode, headers: &HeaderMap) {
        let told = status.is_informational()
            && status != StatusCode::CONTINUE
            && status != StatusCode::SWITCHING_PROTOCOLS;
        let Some(hints) = self.pulse.hints().filter(|_| told) else {
            return;
        };
        if self.pulse.phase() != Phase::Busy || self.pulse.requests() != self.request {
            return;
        }
        let mut said = lock(&hints.said);
        if said.request != self.request {
            said.bytes.clear();
            said.request = self.request;
        }
        let head = head(status, headers);
        if said.bytes.len() + head.len() <= BYTES_MAX {
            said.bytes.extend_from_slice(&head);
        }
        drop(said);
        if let Some(waker) = &*lock(&hints.waker) {
            waker.wake_by_ref();
        }
    }
}

/// The answer as it is written; what concerns one hop stays behind.
fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut head = String::new();
    // Writing to a string does not fail.
    let reason = status.canonical_reason().unwrap_or("Interim");
    let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
    let mut head = head.into_bytes();
    for (name, value) in headers {
        if matches!(
            name.as_str(),
            "connection" | "keep-alive" | "transfer-encoding" | "content-length"
        ) {
            continue;
        }
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_request_is_not_written_for_another() {
        let pulse = Arc::new(Pulse::new());
        assert!(Interim::of(&pulse).is_none(), "it was not asked for");
        pulse.allow_hints();
        pulse.enter(Phase::Busy);
        let first = Interim::of(&pulse).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("link", "</a.css>; rel=preload".parse().unwrap());
        headers.insert("connection", "close".parse().unwrap());
        first.send(StatusCode::EARLY_HINTS, &headers);
        first.send(StatusCode::CONTINUE, &headers);
        let hints = pulse.hints().unwrap();
        assert_eq!(
            hints.take(1),
            b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
        );
        first.send(StatusCode::EARLY_HINTS, &headers);
        pulse.enter(Phase::Answering);
        first.send(StatusCode::EARLY_HINTS, &headers);
        pulse.enter(Phase::Busy);
        first.send(StatusCode::EARLY_HINTS, &headers);
        assert_eq!(hints.take(2), b"");
    }
}
