//! The least that a server can do for many readers of one stream: hyper, and the same chunk to each of them. What
//! `raincheck bench stream` is told against.
//!
//! ```text
//!   GET /stream   an answer that does not end: every chunk from now on
//!   POST /chunk   writes the body to all of them
//! ```
//!
//! Invariant: it keeps nothing and knows nothing of what it writes.

mod plain;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Empty};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::sync::mpsc;

/// Chunks that a reader may be behind; one that is further behind misses some.
const BEHIND_MAX: usize = 1_024;

type Readers = Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>;

/// The body of a reader's answer.
struct Chunks(mpsc::Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

async fn answer(
    request: Request<Incoming>,
    readers: Readers,
) -> Result<Response<Either<Chunks, Empty<Bytes>>>, hyper::Error> {
    match request.uri().path() {
        "/stream" => {
            let (sender, receiver) = mpsc::channel(BEHIND_MAX);
            readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sender);
            let mut response = Response::new(Either::Left(Chunks(receiver)));
            let kind = hyper::header::HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
            Ok(response)
        }
        "/chunk" => {
            let chunk = request.into_body().collect().await?.to_bytes();
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.retain(|reader| {
                !matches!(
                    reader.try_send(chunk.clone()),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
            });
            Ok(Response::new(Either::Right(Empty::new())))
        }
        // Whether it is ready.
        _ => Ok(Response::new(Either::Right(Empty::new()))),
    }
}

fn main() -> std::io::Result<()> {
    let readers = Readers::default();
    let service = service_fn(move |request| answer(request, readers.clone()));
    plain::run("bare --port N", |words| words.is_empty().then_some(service))
}
