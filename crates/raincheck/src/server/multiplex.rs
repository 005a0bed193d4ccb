//! One HTTP/2 connection from its handshake to its end.
//!
//! Invariant: every number that a client could make grow is bounded: streams, resets, headers, windows, what is buffered
//! to be sent, and (by [`Streams`]) how long it may ask for nothing, take nothing, or ask only to give up.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::connection::Peer;
use super::streams::Streams;
use super::upload::{Rest, Upload};
use super::{AskedAgain, ServerOptions};
use crate::tasks::{Group, TaskKind};

/// How often a connection is looked at for a client that asks or takes nothing.
const LOOK: Duration = Duration::from_secs(1);

/// The largest head, as HPACK counts it.
const HEADER_LIST_BYTES_MAX: u32 = 64 << 10;

/// The limits of GUARANTEES, each as low as well-behaved clients allow.
fn builder(group: &Group) -> http2::Builder<InGroup> {
    let mut builder = http2::Builder::new(InGroup(group.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        // A client that resets what was not even accepted, and one that makes us reset: both are told to go.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(128)
        // Larger than the API's own limit, so that most that are too large get a proper answer; h2 itself has only a status.
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(1 << 20)
        .max_send_buf_size(256 << 10)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Serves one connection until it ends, its time is up, or `stopping` is cancelled and its answers are sent.
pub(super) async fn drive<S, B, I>(
    stream: I,
    peer: Peer,
    service: S,
    options: Arc<ServerOptions>,
    group: Group,
    stopping: CancellationToken,
) where
    S: Service<Request<Upload>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Streams::new());
    let handling = Handling {
        service,
        streams: streams.clone(),
        peer,
        options: options.clone(),
        group: group.clone(),
    };
    let connection = builder(&group).serve_connection(TokioIo::new(stream), handling);
    let mut connection = pin!(connection);
    let mut stopped = pin!(stopping.cancelled());
    let (mut stopping_told, mut warned) = (false, false);
    let mut look = pin!(sleep_until(Instant::now() + LOOK));
    poll_fn(|cx| {
        if !stopping_told && stopped.as_mut().poll(cx).is_ready() {
            stopping_told = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            return Poll::Ready(());
        }
        if streams.abusive() {
            tracing::debug!(
                again = warned,
                "a connection is ended: its client gives up most of what it asks for"
            );
            // What it still waits for is answered; but who goes on like that is cut.
            if warned {
                return Poll::Ready(());
            }
            warned = true;
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while look.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if streams.deadline(&options).is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(());
            }
            look.as_mut().reset(now + LOOK);
        }
        Poll::Pending
    })
    .await;
}

/// Runs the requests of a connection as tasks of the server's group.
#[derive(Clone, Debug)]
struct InGroup(Group);

impl<F: Future + Send + 'static> Executor<F> for InGroup {
    fn execute(&self, future: F) {
        self.0.spawn(TaskKind::Connection, async move {
            future.await;
        });
    }
}

/// The service as hyper calls it.
struct Handling<S> {
    service: S,
    streams: Arc<Streams>,
    peer: Peer,
    options: Arc<ServerOptions>,
    group: Group,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Handling<S>
where
    S: Service<Request<Upload>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body + Unpin,
{
    type Response = Response<Tracked<B>>;
    type Error = Infallible;
    type Future = Answering<tower::util::Oneshot<S, Request<Upload>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (head, body) = request.into_parts();
        let (body, rest) = Upload::of_stream(body, &self.group);
        let mut request = Request::from_parts(head, body);
        let open = Open {
            number: self.streams.begin(),
            streams: self.streams.clone(),
            whole: false,
            _rest: rest,
        };
        self.peer.tell(&self.options, &mut request);
        Answering {
            answer: Box::pin(self.service.clone().oneshot(request)),
            open: Some(open),
        }
    }
}

/// A request that is open until this is dropped.
struct Open {
    number: u64,
    streams: Arc<Streams>,
    whole: bool,
    /// What is left of its body is listened to from then on.
    _rest: Option<Arc<Rest>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.end(self.number, self.whole);
    }
}

/// A request being worked on.
struct Answering<F> {
    answer: Pin<Box<F>>,
    open: Option<Open>,
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body + Unpin,
{
    type Output = Result<Response<Tracked<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(self.answer.as_mut().poll(cx));
        let mut open = self.open.take();
        if let Some(again) = response.extensions().get::<AskedAgain>() {
            again.set();
        }
        if response.body().is_end_stream()
            && let Some(open) = &mut open
        {
            open.whole = true;
        }
        Poll::Ready(Ok(response.map(|body| Tracked { body, open })))
    }
}

/// An answer's body; when it is gone, the answer is handed over or given up.
struct Tracked<B> {
    body: B,
    open: Option<Open>,
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    /// hyper asks for more only when the client's window had room for what it got.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let ended = matches!(frame, Poll::Ready(None)) || self.body.is_end_stream();
        if let Some(open) = &mut self.open {
            match &frame {
                Poll::Ready(_) => {
                    open.whole |= ended;
                    open.streams.offer(open.number);
                }
                Poll::Pending => open.streams.taken(open.number),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
