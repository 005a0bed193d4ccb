//! A request's body as the service gets it, and what becomes of what the service did not read.
//!
//! Over HTTP/1.1 the connection reads a little of it ([`unread`](super::unread)), or ends and throws it away ([`line`](super::line)). Over HTTP/2 letting go of a body that is
//! still coming resets its stream, even after a whole answer (RFC 9113 section 8.1 asks clients to keep that answer; widely
//! used ones lose it). So the rest is listened to for a while after the answer.
//!
//! Invariant: what nobody asked for is taken in for a bounded time and in a bounded amount, and is kept nowhere.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pulse::{LEAVE_TIME, Pulse};
use crate::tasks::{Group, TaskKind};

/// The most that is taken in after an answer: enough for clients that hear nothing before they have said all of a small
/// body. Who sends more has stopped by itself by then, or is stopped by its window.
const WASTE_BYTES_MAX: u64 = 256 << 10;

/// A request's body on its way in.
#[derive(Debug)]
pub struct Upload {
    /// There until this is dropped.
    body: Option<Incoming>,
    rest: Keeper,
}

/// Who looks after what is not read.
#[derive(Debug)]
enum Keeper {
    /// Nobody: there is none.
    Nobody,
    /// The connection of HTTP/1.1 that it comes on; and whether the client sends it without being told to.
    Line(Arc<Pulse>, bool),
    Stream(Arc<Rest>),
}

impl Upload {
    /// A body on a connection of HTTP/1.1; `told` is whether its client sends it without being told to.
    pub(super) fn of_line(body: Incoming, pulse: &Arc<Pulse>, told: bool) -> Self {
        let rest = match body.is_end_stream() {
            true => Keeper::Nobody,
            false => Keeper::Line(pulse.clone(), told),
        };
        Self {
            body: Some(body),
            rest,
        }
    }

    /// A body whose rest is listened to once both this and what is given back are gone: that is held until the answer is sent.
    pub(super) fn of_stream(body: Incoming, group: &Group) -> (Self, Option<Arc<Rest>>) {
        let rest = (!body.is_end_stream()).then(|| {
            Arc::new(Rest {
                body: Mutex::new(None),
                group: group.clone(),
            })
        });
        let upload = Self {
            body: Some(body),
            rest: rest.clone().map_or(Keeper::Nobody, Keeper::Stream),
        };
        (upload, rest)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        match (&self.rest, body) {
            (Keeper::Stream(rest), body) => {
                *rest.body.lock().unwrap_or_else(PoisonError::into_inner) = body;
            }
            (Keeper::Line(pulse, told), Some(body)) => pulse.unread().leave(body, *told),
            (Keeper::Line(..) | Keeper::Nobody, _) => {}
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => {
                let frame = Pin::new(body).poll_frame(cx);
                if let Poll::Ready(None | Some(Err(_))) = frame {
                    // Nothing of it is left.
                    self.rest = Keeper::Nobody;
                }
                frame
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::new, Body::size_hint)
    }
}

/// What a service left unread of a stream.
#[derive(Debug)]
pub(super) struct Rest {
    body: Mutex<Option<Incoming>>,
    group: Group,
}

impl Drop for Rest {
    fn drop(&mut self) {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = body.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        let stopping = self.group.stopping().clone();
        self.group.spawn(TaskKind::Connection, async move {
            tokio::select! {
                // Nobody's stop waits for a client that does not end.
                () = stopping.cancelled() => {}
                _ = tokio::time::timeout(LEAVE_TIME, waste(body)) => {}
            }
        });
    }
}

/// Throws away what comes, until all has come or the client gives up. Of too much the rest is left where it is, for a client
/// that has its answer ends its request.
async fn waste(mut body: Incoming) {
    let mut bytes = 0;
    while bytes <= WASTE_BYTES_MAX {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None | Some(Err(_)) => return,
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
        }
    }
    std::future::pending::<()>().await;
}
