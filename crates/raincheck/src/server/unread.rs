//! What a service left unread of a request's body, over HTTP/1.1: a little is read for it, so that the connection goes on; with more
//! the connection ends, and the answer says so (RFC 9112 section 9.6). What the service lets go of only after its answer has begun is
//! not read, and the connection ends as well.
//!
//! Invariant: what is read here is bounded in size and in time, and kept nowhere; no client is told to send it.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

/// So much is read. Who sends more is better off with another connection.
const BYTES_MAX: u64 = 64 << 10;
/// So long the answer waits for it: heads and bodies often come apart, but not by much.
const MOMENT: Duration = Duration::from_millis(100);

/// Where a request's body goes that its service let go of before its end.
#[derive(Debug, Default)]
pub(super) struct Unread(Mutex<Left>);

#[derive(Debug, Default)]
enum Left {
    /// Nothing, or somebody reads it still.
    #[default]
    Nothing,
    /// What the client sends once it is told to.
    Untold,
    Some(Box<Incoming>),
    /// The answer has begun: nobody reads what is left from now on.
    Answered,
}

impl Unread {
    fn left(&self) -> MutexGuard<'_, Left> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request with a body begins.
    pub(super) fn begin(&self) {
        *self.left() = Left::Nothing;
    }

    /// Takes in a body that did not end. `told`: whether the client sends it without being told to.
    pub(super) fn leave(&self, body: Incoming, told: bool) {
        let mut left = self.left();
        match *left {
            // Dropped, it tells hyper that it is not wanted, which closes the connection once the answer is written.
            Left::Answered => {}
            Left::Nothing | Left::Untold | Left::Some(_) if told => *left = Left::Some(Box::new(body)),
            Left::Nothing | Left::Untold | Left::Some(_) => *left = Left::Untold,
        }
    }

    /// What there is to do before the answer is sent; what is left later is not looked at.
    pub(super) fn take(&self) -> Option<Reading> {
        let left = std::mem::replace(&mut *self.left(), Left::Answered);
        let body = match left {
            Left::Nothing | Left::Answered => return None,
            Left::Untold => None,
            Left::Some(body) => Some(body).filter(|body| body.size_hint().lower() <= BYTES_MAX),
        };
        Some(Reading {
            body,
            bytes: 0,
            moment: None,
        })
    }
}

/// Reads what was left.
pub(super) struct Reading {
    /// `None`: it is not to be read.
    body: Option<Box<Incoming>>,
    bytes: u64,
    moment: Option<Pin<Box<Sleep>>>,
}

impl Reading {
    /// Whether the request is at its end, so that another may follow.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(false);
        };
        while self.bytes <= BYTES_MAX {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(frame))) => {
                    self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64)
                }
                Poll::Pending => {
                    let moment = self.moment.get_or_insert_with(|| Box::pin(sleep(MOMENT)));
                    ready!(moment.as_mut().poll(cx));
                    return Poll::Ready(false);
                }
            }
        }
        Poll::Ready(false)
    }
}
