//! Requests to one service, on connections that are kept for it: what a proxy asks its upstream, and fetches (`places`) each host.
//!
//! hyper's pooling client ([`Client`](super::Client)) is for any place: for each request it takes the place from the target, looks
//! it up, writes the target anew and prepares a connection that it seldom makes. Where the place is known that is left out.
//!
//! Invariants: a connection has one request at a time, and is kept once it is ready for another; a request that is dropped takes
//! its connection with it; where one that was kept turns out to have closed, those that were left for longer are closed as well. Whoever
//! has answered takes the rest of the request in time, or loses the connection.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Frame, SizeHint};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::Executor as _;
use hyper_util::rt::TokioExecutor;
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tower::Service as _;
use tracing::{debug, info};

use super::away::{Absence, Away};
use super::connect::Connector;
use super::trust::Trust;
use super::{HEAD_MAX, IDLE_TIMEOUT, root_cause};

/// So long a request may go on being sent after its answer has ended: services that answer early either read on or close, and one that does
/// neither would keep its client's connection for ever.
const REST_TIME: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskFailed {
    /// There was no connection.
    #[error("connect")]
    Connect(#[source] BoxError),
    /// It closed, or what came was no answer.
    #[error("get an answer")]
    Broken(#[source] hyper::Error),
    /// It had been kept, and closed without an answer: services close such connections in the moment when they are used again, and
    /// what is between forgets them.
    #[error("get an answer")]
    Closed(#[source] hyper::Error),
}

impl AskFailed {
    /// What became of a request on a connection that was kept.
    fn of_kept(error: hyper::Error) -> Self {
        let cause = error
            .source()
            .and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let gone = |cause: &std::io::Error| {
            matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
        };
        match error.is_incomplete_message() || cause.is_some_and(gone) {
            true => Self::Closed(error),
            false => Self::Broken(error),
        }
    }
}

/// A service and the connections that are kept for it. Cloning gives another handle.
pub(crate) struct Place<B>(Arc<Inner<B>>);

struct Inner<B> {
    /// Where it is: scheme and authority.
    address: Uri,
    connector: Connector,
    idle: Mutex<Idle<B>>,
}

/// The turn of whoever tries whether a service is there again; given back when dropped.
pub(crate) struct Turn<B>(Place<B>);

impl<B> Drop for Turn<B> {
    fn drop(&mut self) {
        if let Some(away) = &mut self.0.0.idle().away {
            away.end_turn();
        }
    }
}

/// A connection.
struct Line<B> {
    sender: SendRequest<B>,
    /// Ends it at once, whatever it is doing.
    cut: oneshot::Sender<()>,
}

/// Connections that are ready.
struct Idle<B> {
    /// With the instant from which on; the one that was used last is at the end.
    lines: Vec<(Line<B>, Instant)>,
    /// Whether somebody closes those that nobody uses.
    swept: bool,
    /// Where no connection could be made last.
    away: Option<Away>,
}

impl<B> Clone for Place<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> fmt::Debug for Place<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.0.address).finish()
    }
}

impl<B> Place<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// A place that the operator named: scheme and authority.
    pub(crate) fn open(address: Uri, trust: &Trust) -> Self {
        Self::through(address, Connector::new(None, trust))
    }

    /// A place that is reached by this connector.
    pub(super) fn through(address: Uri, connector: Connector) -> Self {
        Self(Arc::new(Inner {
            address,
            connector,
            idle: Mutex::new(Idle {
                lines: Vec::new(),
                swept: false,
                away: None,
            }),
        }))
    }

    /// Whether somebody is asking there, or connections are kept for it; nobody else shall get a handle meanwhile.
    pub(super) fn in_use(&self) -> bool {
        Arc::strong_count(&self.0) > 1 || !self.0.idle().lines.is_empty()
    }

    /// Sends a request, whose target is as the service shall see it; the future waits for the head of its answer, and ends all of
    /// it where it is dropped. Where a connection is there the request is handed to it at once, so that the future does not hold it.
    ///
    /// # Errors
    /// When there is no answer. A connection that had closed before anything was written to it is none.
    pub(crate) fn ask(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Answer<B>>, AskFailed>> + Send + use<B> {
        let place = self.clone();
        let begun = match place.0.take() {
            Some((mut line, since)) => Ok((line.sender.try_send_request(request), line, since)),
            None => Err(Box::new(request)),
        };
        async move {
            let unsent = match begun {
                Ok((answer, line, since)) => match answer.await {
                    Ok(response) => return Ok(place.answered(response, line)),
                    Err(mut failed) => match failed.take_message() {
                        Some(unsent) => Box::new(unsent),
                        None => return Err(place.lost(since, failed.into_error())),
                    },
                },
                Err(unsent) => unsent,
            };
            // In a box of its own, so that what finds a connection is no larger for it.
            Box::pin(place.ask_anew(unsent)).await
        }
    }

    /// What a request came to on a connection kept since then.
    fn lost(&self, since: Instant, error: hyper::Error) -> AskFailed {
        let failed = AskFailed::of_kept(error);
        if let AskFailed::Closed(_) = failed {
            self.0.idle().lines.retain(|(_, other)| *other > since);
        }
        failed
    }

    /// Sends a request on a connection that is made for it.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn ask_anew(self, request: Box<Request<B>>) -> Result<Response<Answer<B>>, AskFailed> {
        let connecting = self.0.connector.clone().call(self.0.address.clone());
        let stream = match connecting.await {
            Ok(stream) => stream,
            Err(error) => {
                let failed = AskFailed::Connect(error);
                if own_fault(&failed) {
                    return Err(failed);
                }
                let why = root_cause(&failed);
                match &mut self.0.idle().away {
                    Some(away) => away.again(why),
                    none => *none = Some(Away::new(why)),
                }
                return Err(failed);
            }
        };
        self.0.back();
        let shaken = Builder::new().max_buf_size(HEAD_MAX).handshake(stream).await;
        let (mut sender, connection) = shaken.map_err(AskFailed::Broken)?;
        // Before the connection is at work, so that the request hears why where that ends at once.
        let answer = sender.try_send_request(*request);
        let (cut, told) = oneshot::channel();
        TokioExecutor::new().execute(async move {
            tokio::select! {
                biased;
                ended = connection.with_upgrades() => if let Err(error) = ended {
                    debug!(%error, "a connection that is kept ended early");
                },
                Ok(()) = told => debug!("a service that answered takes no more of its request"),
            }
        });
        let line = Line { sender, cut };
        match answer.await {
            Ok(response) => Ok(self.answered(response, line)),
            Err(failed) => Err(AskFailed::Broken(failed.into_error())),
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Uri {
        &self.0.address
    }

    /// What is known of it where no connection can be made, and whether somebody is to be told of that: the first who asks.
    pub(crate) fn away(&self) -> Option<(Absence, bool)> {
        let mut idle = self.0.idle();
        let away = idle.away.as_mut()?;
        Some((away.absence(), away.tell()))
    }

    /// Whether one that can wait may ask now: where no connection can be made, and none is kept, one does at a time, as long as it
    /// has what this gives back.
    ///
    /// # Errors
    /// Where another one does.
    pub(crate) fn turn(&self) -> Result<Option<Turn<B>>, Absence> {
        let mut idle = self.0.idle();
        let kept = !idle.lines.is_empty();
        match idle.away.as_mut().filter(|_| !kept) {
            None => Ok(None),
            Some(away) => away.take_turn().map(|()| Some(Turn(self.clone()))),
        }
    }

    fn answered(&self, response: Response<Incoming>, line: Line<B>) -> Response<Answer<B>> {
        response.map(|body| Answer {
            body,
            line: Some(line),
            place: self.clone(),
        })
    }
}

/// Whether no connection could be made because this process may open no more files: that says nothing of the service.
fn own_fault(failed: &AskFailed) -> bool {
    let failed: &(dyn std::error::Error + 'static) = failed;
    std::iter::successors(Some(failed), |&error| error.source()).any(|error| {
        let code = error.downcast_ref().and_then(std::io::Error::raw_os_error);
        code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
    })
}

impl<B> Inner<B> {
    fn idle(&self) -> MutexGuard<'_, Idle<B>> {
        // Nothing under this lock can panic half way.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection could be made.
    fn back(&self) {
        let away = self.idle().away.take();
        if let Some(away) = away.filter(Away::told) {
            let away_ms = u64::try_from(away.absence().lasts.as_millis()).unwrap_or(u64::MAX);
            info!(service = %self.address, away_ms, "a service that could not be reached is there again");
        }
    }

    /// A connection that is ready, and since when.
    fn take(&self) -> Option<(Line<B>, Instant)> {
        let mut idle = self.idle();
        while let Some((line, since)) = idle.lines.pop() {
            if line.sender.is_ready() && since.elapsed() < IDLE_TIMEOUT {
                return Some((line, since));
            }
        }
        None
    }
}

impl<B: Send + 'static> Place<B> {
    /// Takes back a connection whose answer is read, or left.
    fn give_back(&self, mut line: Line<B>) {
        if line.sender.is_ready() {
            self.keep(line);
        } else if !line.sender.is_closed() && Handle::try_current().is_ok() {
            // Its task has not seen the end yet, or is still sending.
            let place = self.clone();
            TokioExecutor::new().execute(async move {
                match timeout(REST_TIME, line.sender.ready()).await {
                    Ok(Ok(())) => place.keep(line),
                    Ok(Err(_)) => {}
                    // It may have ended just now.
                    Err(_) => drop(line.cut.send(())),
                }
            });
        }
    }

    fn keep(&self, line: Line<B>) {
        let mut idle = self.0.idle();
        idle.lines.push((line, Instant::now()));
        if !std::mem::replace(&mut idle.swept, true) {
            TokioExecutor::new().execute(sweep(Arc::downgrade(&self.0)));
        }
    }
}

/// Closes connections that nobody used for long, until there are none.
async fn sweep<B: Send + 'static>(place: Weak<Inner<B>>) {
    while let Some(next) = swept(&place) {
        sleep_until(next).await;
    }
}

/// Closes those whose time is up; when the next one's is.
fn swept<B>(place: &Weak<Inner<B>>) -> Option<Instant> {
    let place = place.upgrade()?;
    let mut idle = place.idle();
    idle.lines
        .retain(|(line, since)| line.sender.is_ready() && since.elapsed() < IDLE_TIMEOUT);
    let next = idle.lines.first().map(|(_, since)| *since + IDLE_TIMEOUT);
    idle.swept = next.is_some();
    next
}

/// The body of an answer; once it is read, its connection is there for others.
pub(crate) struct Answer<B: Send + 'static> {
    body: Incoming,
    /// There until this is dropped.
    line: Option<Line<B>>,
    place: Place<B>,
}

impl<B: Send + 'static> Drop for Answer<B> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.place.give_back(line);
        }
    }
}

impl<B: Send + 'static> Body for Answer<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
