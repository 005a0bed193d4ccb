//! One HTTP/1.1 connection from its acceptance to its end.
//!
//! Invariant: the driver has one timer for all deadlines, moved only when it rings too early or would ring too late,
//! so that a request costs no timer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use axum::extract::ConnectInfo;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::util::Oneshot;
use tower::{Service, ServiceExt as _};

use super::caps::Admission;
use super::framing::LengthTwice;
use super::interim::Interim;
use super::line::Line;
use super::pulse::{Phase, Pulse};
use super::unread::Reading;
use super::upload::Upload;
use super::wire::Wire;
use super::{OnlyToThePresent, Presence, ServerOptions};
use crate::tasks::cancelled;

/// The largest read buffer: a head that does not fit is 431. Larger than the API's own limit on heads, so that most
/// that are too large get a proper answer.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// The address; this machine's own, with no port, for a local socket.
    pub(super) address: SocketAddr,
    /// Whether it is TLS.
    pub(super) tls: bool,
}

impl Peer {
    /// Tells the request who asks, where that is told apart.
    pub(super) fn tell<B>(&self, options: &ServerOptions, request: &mut Request<B>) {
        if let Some(exposed) = &options.exposed {
            let client = exposed.client(self.address.ip(), self.tls, request.headers());
            request.extensions_mut().insert(client);
        }
        if options.connect_info {
            request.extensions_mut().insert(ConnectInfo(self.address));
        }
    }
}

/// Serves one connection until it ends, its time is up, or `stopping` is cancelled and its answer sent; or until an answer
/// hands it on to another protocol, such as WebSocket.
pub(super) async fn drive<S, B, W>(
    stream: W,
    peer: Peer,
    service: S,
    options: Arc<ServerOptions>,
    stopping: CancellationToken,
    admission: Admission,
) where
    S: Service<Request<Upload>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    W: Wire + 'static,
{
    let pulse = Arc::new(Pulse::new());
    if options.interim {
        pulse.allow_hints();
    }
    let line = TokioIo::new(Line::new(stream, pulse.clone(), admission, options.clone()));
    let handling = Handling {
        service,
        pulse: pulse.clone(),
        peer,
        options: options.clone(),
    };
    let connection = http1::Builder::new()
        // Our own deadlines cover more: hyper's closes an idle keep-alive as if it were a slow head.
        .header_read_timeout(None)
        // hyper takes at most 100 headers by itself; saying so would make its list of them slower.
        .max_buf_size(BUFFER_BYTES_MAX)
        // hyper would allocate a read buffer for every waiter to notice a client that is gone; the line peeks.
        .half_close(true)
        .serve_connection(line, handling)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stopped = pin!(cancelled(&stopping));
    let mut stopping_told = false;
    let mut alarm = Alarm::default();
    poll_fn(|cx| {
        if !stopping_told && stopped.as_mut().poll(cx).is_ready() {
            stopping_told = true;
            // Nobody's stop waits for a client that does not close.
            pulse.set_sending(false);
            connection.as_mut().graceful_shutdown();
        }
        if let Some(hints) = pulse.hints() {
            hints.wake_by(cx.waker());
        }
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return Poll::Ready(());
            }
            ready!(alarm.poll(&pulse, &options, cx));
            if pulse.expired() {
                return Poll::Ready(());
            }
            // A last turn, in which the line may tell the client why.
            pulse.expire();
        }
    })
    .await;
}

/// The one timer of a connection.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when the connection's time is up.
    fn poll(&mut self, pulse: &Pulse, options: &ServerOptions, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = pulse.deadline(options) else {
            return Poll::Pending;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// In the extensions of a request whose body waits for a welcome: tells when it comes all the same.
#[derive(Clone, Debug)]
pub(crate) struct Unasked(Arc<Pulse>);

impl Unasked {
    /// Waits for its first byte.
    pub(crate) async fn come(self) {
        self.0.more().await;
    }
}

/// The service as hyper calls it.
struct Handling<S> {
    service: S,
    pulse: Arc<Pulse>,
    peer: Peer,
    options: Arc<ServerOptions>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Handling<S>
where
    S: Service<Request<Upload>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body + Unpin,
{
    type Response = Response<Tracked<B>>;
    type Error = Infallible;
    type Future = Answering<Given<S>, B>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.pulse.enter(Phase::Busy);
        if self.pulse.twice() {
            request.extensions_mut().insert(LengthTwice);
        }
        self.peer.tell(&self.options, &mut request);
        // To an older client nothing may be said before the answer (RFC 9110 section 15.2).
        if request.version() == Version::HTTP_11
            && let Some(interim) = Interim::of(&self.pulse)
        {
            request.extensions_mut().insert(interim);
        }
        if request.headers().contains_key("prefer") || request.uri().query().is_some() {
            request.extensions_mut().insert(Presence(self.pulse.clone()));
        }
        let sending = !request.body().is_end_stream();
        self.pulse.set_sending(sending);
        if sending {
            self.pulse.unread().begin();
        }
        let told = !sending || !request.headers().contains_key(EXPECT);
        if !told {
            request.extensions_mut().insert(Unasked(self.pulse.clone()));
        }
        let request = request.map(|body| Upload::of_line(body, &self.pulse, told));
        Answering {
            answer: Some(Given::new(self.service.clone(), request)),
            ready: None,
            pulse: self.pulse.clone(),
        }
    }
}

/// A request that the service was given: at once where it is ready, as ours always are.
enum Given<S: Service<Request<Upload>>> {
    AtOnce(Pin<Box<S::Future>>),
    Waiting(Pin<Box<Oneshot<S, Request<Upload>>>>),
}

impl<S: Service<Request<Upload>>> Given<S> {
    fn new(mut service: S, request: Request<Upload>) -> Self {
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Self::AtOnce(Box::pin(service.call(request))),
            Poll::Ready(Err(_)) | Poll::Pending => Self::Waiting(Box::pin(service.oneshot(request))),
        }
    }
}

impl<S: Service<Request<Upload>>> Future for Given<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::AtOnce(answer) => answer.as_mut().poll(cx),
            Self::Waiting(answer) => answer.as_mut().poll(cx),
        }
    }
}

/// A request being worked on.
struct Answering<F, B> {
    /// `None` where nobody is there to be answered.
    answer: Option<F>,
    /// An answer that waits for what is left of its request.
    ready: Option<Box<(Response<B>, Reading)>>,
    pulse: Arc<Pulse>,
}

impl<F, B> Answering<F, B> {
    /// The answer goes out.
    fn tell(&self, response: Response<B>) -> Response<Tracked<B>> {
        self.pulse.enter(match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => Phase::Handed,
            _ => Phase::Answering,
        });
        let pulse = self.pulse.clone();
        response.map(|body| Tracked { body, pulse })
    }
}

impl<F, B> Future for Answering<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>> + Unpin,
    B: Body + Unpin,
{
    type Output = Result<Response<Tracked<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.ready.is_none() {
            let Some(answer) = &mut self.answer else {
                return Poll::Pending;
            };
            let Ok(response) = ready!(Pin::new(answer).poll(cx));
            self.answer = None;
            if self.pulse.closed() && response.extensions().get::<OnlyToThePresent>().is_some() {
                return Poll::Pending;
            }
            let ends = response.headers().contains_key(CONNECTION);
            let unread = self.pulse.sending().then(|| self.pulse.unread().take());
            match unread.flatten().filter(|_| !ends) {
                None => return Poll::Ready(Ok(self.tell(response))),
                Some(reading) => self.ready = Some(Box::new((response, reading))),
            }
        }
        let Some((_, reading)) = self.ready.as_deref_mut() else {
            return Poll::Pending;
        };
        let whole = ready!(reading.poll(cx));
        let Some((mut response, _)) = self.ready.take().map(|ready| *ready) else {
            return Poll::Pending;
        };
        if !whole {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(self.tell(response)))
    }
}

/// An answer's body; when it is gone, the answer is written.
struct Tracked<B> {
    body: B,
    pulse: Arc<Pulse>,
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        if self.pulse.phase() != Phase::Handed {
            self.pulse.enter(Phase::Idle);
        }
    }
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
