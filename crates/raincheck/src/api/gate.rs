//! What every request passes before it is routed, and every answer before it leaves.
//!
//! In: the request gets its id; its URI and headers are measured; a request that names its host twice, not at all or in
//! two ways is refused (RFC 9112 section 3.2), as is, while the server is closed, one for a foreign host or from a
//! foreign page, one with a `Raincheck-*` header that means nothing anywhere, and one without a key where the server has some. Out: problems get their body, and every answer its `X-Request-Id`.
//!
//! Invariant: no answer leaves without an id, and a panic in a handler is a problem like any other.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::Request;
use http::header::{self, HeaderName, HeaderValue};
use tokio::time::Instant;
use tower::Service;

use crate::links::{Links, Mount};
use crate::server::{Client, LengthTwice};
use crate::telemetry::Metrics;
use crate::telemetry::http::{Routes, method};

use super::access::Asked;
use super::asking::{request_id, within};
use super::audit::{Audit, OnItsWay, Recording};
use super::code::Code;
use super::cors::{Cors, preflight};
use super::door::{Door, unauthenticated};
use super::head::{chunks_alone, length_twice, line_bytes, measured, own_host, own_page, single_host};
use super::ids::{Ids, X_REQUEST_ID, fit};
use super::options;
use super::problem::{Problem, Unwritten};
use super::throttling::Held;
use super::ticket;
use super::until::Until;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Debug)]
struct Rules {
    /// Who is let in; everybody where there is none.
    door: Option<Door>,
    /// What administrators do is recorded; nothing where nobody administers.
    audit: Option<Audit>,
    lets: Lets,
    ids: Ids,
    routes: Routes,
    metrics: Metrics,
    mount: Mount,
}

/// Which hosts and pages are let in.
#[derive(Debug)]
pub(crate) struct Lets {
    /// Whether only requests of this host for this host are let in.
    pub(crate) closed: bool,
    /// Pages of others that are let in all the same.
    pub(crate) cors: Option<Cors>,
}

/// All routes behind the gate. It stands around all of them, not around each: one box less for every request.
#[derive(Clone, Debug)]
pub struct Gate<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> Gate<S> {
    pub(crate) fn new(
        inner: S,
        lets: Lets,
        door: Option<Door>,
        audit: Option<Audit>,
        routes: Routes,
        metrics: Metrics,
        mount: Mount,
    ) -> Self {
        let rules = Rules {
            door,
            audit,
            lets,
            ids: Ids::new(),
            routes,
            metrics,
            mount,
        };
        Self {
            inner,
            rules: Arc::new(rules),
        }
    }
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passing<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let cors = self.rules.lets.cors.as_ref();
        let page = cors.and_then(|cors| cors.admit(request.headers()));
        let looked = look(&request, self.rules.lets.closed, page.is_some());
        let asked = tracing::enabled!(tracing::Level::DEBUG).then(|| Asked::of(&request));
        let counted = Counted {
            route: self.rules.routes.of(request.uri().path()).clone(),
            method: method(request.method()),
            received: Instant::now(),
            rules: self.rules.clone(),
        };
        let request_id = looked.request_id.unwrap_or_else(|| self.rules.ids.mint());
        let (mut held, mut act, mut until) = (None, None, None);
        // A browser that asks first has no key to show yet.
        let preflight = page.as_ref().and_then(|_| preflight(&request));
        let verdict = looked.verdict.and_then(|()| {
            if preflight.is_some() {
                return Ok(());
            }
            let Some(door) = &self.rules.door else {
                return Ok(());
            };
            let seen = door.look(&mut request);
            held = seen.held;
            until = seen.until.map(Box::new);
            if let Some(audit) = &self.rules.audit {
                act = audit.act(
                    &mut request,
                    seen.came,
                    counted.method,
                    &counted.route,
                    &request_id,
                );
            }
            seen.verdict
        });
        let answer = match (verdict, preflight) {
            (Err(problem), _) => Err(Box::new(problem.into_response())),
            (Ok(()), Some(response)) => Err(response),
            (Ok(()), None) => Ok(self.inner.call(request)),
        };
        Passing {
            answer,
            held,
            until,
            act,
            request_id,
            asked,
            counted,
            recording: None,
            page,
        }
    }
}

struct Looked {
    request_id: Option<HeaderValue>,
    verdict: Result<(), Problem>,
}

/// Looks at the head once.
fn look<B>(request: &Request<B>, closed: bool, named_page: bool) -> Looked {
    let mut bytes = 0;
    let mut hosts = 0;
    let (mut host, mut origin, mut fetch_site, mut request_id) = (None, None, None, None);
    let (mut unknown_option, mut coded) = (None, false);
    for (name, value) in request.headers() {
        bytes += line_bytes(name, value);
        if name == header::HOST {
            hosts += 1;
            host = Some(value);
        } else if name == header::ORIGIN {
            origin = Some(value);
        } else if name == SEC_FETCH_SITE {
            fetch_site = Some(value);
        } else if name == header::TRANSFER_ENCODING {
            coded = true;
        } else if name == X_REQUEST_ID {
            request_id = Some(value);
        } else if name.as_str().starts_with("raincheck-") && !options::known(name.as_str()) {
            unknown_option = Some(name);
        }
    }
    let verdict = || {
        let uri = request.uri();
        measured(uri, bytes)?;
        if request.extensions().get::<LengthTwice>().is_some() {
            return Err(length_twice());
        }
        if coded {
            chunks_alone(request.headers())?;
        }
        let host = single_host(request, hosts, host)?;
        if closed && !by_ticket(uri) {
            own_host(host)?;
            let secure = request
                .extensions()
                .get::<Client>()
                .is_some_and(|client| client.secure);
            if !named_page {
                own_page(host, secure, origin, fetch_site)?;
            }
        }
        match unknown_option.filter(|_| uri.path().starts_with("/v1/")) {
            Some(name) => Err(options::unknown(name.as_str())),
            None => Ok(()),
        }
    };
    Looked {
        verdict: verdict(),
        request_id: request_id.filter(|id| fit(id)).cloned(),
    }
}

/// Whether a request comes with a ticket for a job: what a ticket opens it opens by whatever name, to whoever has it. It is safe to
/// look no further here: the route's caller checks the ticket and refuses a wrong one, also where there are no keys, and a page of
/// another site, be its name bound to this machine, cannot know a right one.
pub(super) fn by_ticket(uri: &http::Uri) -> bool {
    uri.path().starts_with("/v1/jobs/job_") && ticket::stands_in(uri)
}

/// A request on its way through a route.
#[derive(Debug)]
pub struct Passing<F> {
    answer: Result<F, Box<Response>>,
    /// The origin of the page that asks, where it is one that was named.
    page: Option<Box<HeaderValue>>,
    /// What the caller is held to, told in the answer.
    held: Option<Held>,
    /// When it is not to be answered any more.
    until: Option<Box<Until>>,
    act: Option<Box<OnItsWay>>,
    /// The answer to an act whose row is being written.
    recording: Option<Box<Recording>>,
    request_id: HeaderValue,
    asked: Option<Asked>,
    counted: Counted,
}

/// What the metrics say of a request.
#[derive(Debug)]
struct Counted {
    route: Arc<str>,
    method: &'static str,
    received: Instant,
    rules: Arc<Rules>,
}

impl Counted {
    fn count(&self, response: &Response) {
        let http = self.rules.metrics.http();
        http.answered(
            &self.route,
            self.method,
            response.status(),
            self.received.elapsed(),
        );
    }
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Passing<F> {
    /// What the route answers, or whatever was found before.
    fn answer(&mut self, cx: &mut Context<'_>) -> Poll<Response> {
        match &mut self.answer {
            Err(response) => Poll::Ready(std::mem::take(&mut **response)),
            Ok(future) => within(&mut self.request_id, || {
                match catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(cx))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(Ok(response))) => Poll::Ready(response),
                    Ok(Poll::Ready(Err(never))) => match never {},
                    Err(_) => {
                        request_id(|request_id| tracing::error!(request_id, "a request's handler panicked"));
                        let detail = "a defect of the server; the log tells more under this request's id";
                        Poll::Ready(Problem::new(Code::Internal, detail).into_response())
                    }
                }
            }),
        }
    }
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Passing<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(recording) = &mut self.recording {
            return recording.poll(cx).map(Ok);
        }
        let mut response = match self.answer(cx) {
            Poll::Ready(response) => response,
            Poll::Pending => {
                let until = self.until.as_mut();
                if until.is_none_or(|until| until.poll(cx).is_pending()) {
                    return Poll::Pending;
                }
                // What was on its way to somebody who may not have it any more goes back.
                self.answer = Err(Box::default());
                unauthenticated().into_response()
            }
        };
        if let Some(until) = self.until.take() {
            response = until.hold_to(response);
        }
        let request_id = std::mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        if let Some(held) = self.held.take() {
            held.tell(&mut response);
        }
        let audit = self.counted.rules.audit.as_ref().zip(self.act.as_ref());
        let row = audit.and_then(|(audit, act)| audit.answered(act, &response));
        write_problem(&mut response, self.counted.rules.mount.links(), &request_id);
        self.counted.count(&response);
        if let Some(asked) = &self.asked {
            asked.log(&response, &request_id);
        }
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        if self.counted.rules.lets.cors.is_some() {
            Cors::tell(&mut response, self.page.take());
        }
        let Some(row) = row else {
            return Poll::Ready(Ok(response));
        };
        let recording = self.recording.insert(Box::new(Recording { response, row }));
        recording.poll(cx).map(Ok)
    }
}

/// Writes the body of a problem.
fn write_problem(response: &mut Response, links: Links<'_>, request_id: &HeaderValue) {
    let Some(Unwritten(problem)) = response.extensions_mut().remove::<Unwritten>() else {
        return;
    };
    let body = problem.render(links, request_id.to_str().unwrap_or_default());
    // The route has measured the body that was not there yet.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
}

/// The path's last resort.
pub(crate) async fn not_found() -> Problem {
    Problem::new(
        Code::NotFound,
        "no such path; /openapi.json lists those that exist, all of the API's begin with /v1/",
    )
}

/// The path exists, but not with this method; the router adds `Allow`.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "this path does not take that method; the Allow header lists those it takes",
    )
}
