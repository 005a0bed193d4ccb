//! A body that is made piece by piece while it is sent.
//!
//! Invariant: the next piece is not made before the connection has taken the one before.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio_util::sync::ReusableBoxFuture;

/// Makes the pieces of a body.
pub(super) trait Source: Send + 'static {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

async fn step<S: Source>(mut source: Box<S>) -> (Box<S>, Option<Bytes>) {
    let piece = source.next().await;
    (source, piece)
}

/// The body.
pub(super) struct Stream<S> {
    // The same memory for every piece.
    next: ReusableBoxFuture<'static, (Box<S>, Option<Bytes>)>,
    over: bool,
}

impl<S: Source> Stream<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            next: ReusableBoxFuture::new(step(Box::new(source))),
            over: false,
        }
    }
}

impl<S: Source> http_body::Body for Stream<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let (source, piece) = ready!(self.next.poll(cx));
        match piece {
            Some(piece) => {
                self.next.set(step(source));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => {
                self.over = true;
                Poll::Ready(None)
            }
        }
    }
}
