//! What stands around a route: passes its requests, or makes jobs of them.
//!
//! Invariant: a request that is neither preferred nor slow reaches the route as it came, but for headers that only jobs have.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, NestedPath};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, Request};
use raincheck_core::name::QueueName;
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use super::application::{Attempted, Whole};
use crate::api::code::Code;
use crate::api::desk::{Order, preference};
use crate::api::embedded::is_own;
use crate::api::prefer::Prefer;
use crate::api::problem::Problem;
use crate::embed::raincheck::Raincheck;
use crate::proxy::again::{Asked, Repeats};
use crate::proxy::body::Sending;
use crate::proxy::choose::{Choice, choose};
use crate::proxy::flight::CallFailed;
use crate::proxy::header::{tell_host, upgrade};
use crate::proxy::parcel::{Parcel, strip_job};
use crate::proxy::rule::{Mode, Retries, late as late_queue};
use crate::proxy::turn::{Fate, Late, Made};
use crate::telemetry::Responded;

/// How long a client may stall in the middle of a body.
const STALL_TIME: Duration = Duration::from_secs(300);

/// The route answered.
const PASS: &str = "pass";
/// It is a job.
const JOB: &str = "job";

/// What a layer says of its routes.
pub(super) struct Rules {
    pub(super) rc: Raincheck,
    pub(super) metrics: Responded,
    /// The queue's name, as the metrics label what the layer answers.
    pub(super) label: Arc<str>,
    pub(super) queue: QueueName,
    pub(super) mode: Mode,
    pub(super) after: Option<Duration>,
    pub(super) retries: Retries,
}

/// A service whose requests may become jobs: see [`Raincheck::respond_async`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use raincheck::embed::{Raincheck, Responding};
/// use tower::{Layer as _, ServiceExt as _};
///
/// let test = Raincheck::builder().open_for_test().await?;
/// let route: Router = Router::new().route("/", get(async || "at once"));
/// let both: Responding<Router> = test.respond_async().layer(route); // as Router::layer does
/// let answer = both.oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!(answer.status(), 200); // nobody preferred otherwise
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Responding<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> fmt::Debug for Responding<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responding")
            .field("queue", &self.rules.queue)
            .finish_non_exhaustive()
    }
}

impl<S> Responding<S> {
    pub(super) const fn new(inner: S, rules: Arc<Rules>) -> Self {
        Self { inner, rules }
    }
}

impl<S> Service<Request<Body>> for Responding<S>
where
    S: Service<Request<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.rules.is_others(&request) {
            let answering = self.inner.call(request);
            return Box::pin(async move { answering.await.map(IntoResponse::into_response) });
        }
        let rules = self.rules.clone();
        match rules.choose(&mut request) {
            Choice::Pass => {
                let answering = self.inner.call(request);
                Box::pin(async move {
                    let Ok(response) = answering.await;
                    Ok(rules.count(response.into_response(), PASS))
                })
            }
            choice @ (Choice::Late(_) | Choice::Job) => {
                let inner = self.inner.clone();
                Box::pin(async move {
                    let answered = rules.answer(inner, request, choice).await;
                    let (response, mode) =
                        answered.unwrap_or_else(|problem| (rules.rc.desk().refuse(problem, None), "refused"));
                    Ok(rules.count(response, mode))
                })
            }
        }
    }
}

impl Rules {
    /// Whether a request is none of the layer's business: an attempt's, or one for Raincheck's own API.
    fn is_others(&self, request: &Request<Body>) -> bool {
        request.extensions().get::<Attempted>().is_some() || self.is_of_api(request)
    }

    /// Counts an answer.
    fn count(&self, response: Response, mode: &'static str) -> Response {
        self.metrics.answered(&self.label, mode, response.status());
        response
    }

    /// What becomes of a request.
    fn choose(&self, request: &mut Request<Body>) -> Choice {
        let (application, extensions) = (self.rc.application(), request.extensions());
        let nested = extensions.get::<NestedPath>().is_some() && extensions.get::<Whole>().is_none();
        // Only jobs have these.
        strip_job(request.headers_mut());
        if *request.method() == Method::GET && upgrade(request.headers()).is_some() {
            return Choice::Pass;
        }
        let choice = choose(self.mode, self.after, request.method(), request.headers());
        match choice {
            Choice::Pass => Choice::Pass,
            Choice::Late(_) | Choice::Job if !application.known() => {
                application.warn_once(
                    "no application is known that jobs could ask, so requests are answered as ever: serve it by Raincheck::serve, \
                     or tell of it by Raincheck::respond_with",
                );
                Choice::Pass
            }
            Choice::Late(_) | Choice::Job if nested => {
                application.warn_once(
                    "a nested route is not asked through the application that Raincheck::respond_with gave back, so its requests are \
                     answered as ever",
                );
                Choice::Pass
            }
            Choice::Late(_) | Choice::Job => choice,
        }
    }

    /// Whether a request is for Raincheck's own API, which knows preferences by itself.
    fn is_of_api(&self, request: &Request<Body>) -> bool {
        let matched = request.extensions().get::<MatchedPath>();
        let mount = &self.rc.node().options().mount;
        self.rc.application().has_api()
            && is_own(
                mount,
                matched.map(MatchedPath::as_str),
                target(request.uri(), request.extensions()).path(),
            )
    }

    /// The answer, and what became of the request, by the names that the metrics have for it.
    async fn answer<S>(
        &self,
        inner: S,
        request: Request<Body>,
        choice: Choice,
    ) -> Result<(Response, &'static str), Problem>
    where
        S: Service<Request<Body>, Error = Infallible> + Send + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        let received = Instant::now();
        let declared = self.rc.application().declare(&self.rc).await;
        declared.map_err(|why| {
            tracing::error!(%why, "the queue of respond_async cannot be made");
            Problem::new(Code::StoreUnavailable, "the request cannot be kept now")
        })?;
        let (mut parts, body) = request.into_parts();
        tell_host(&mut parts.headers, &parts.uri);
        let (desk, application) = (self.rc.desk(), self.rc.application());
        let prefer = preference(&parts.headers);
        let repeats = Repeats {
            desk,
            turns: application.turns(),
            mode: self.mode,
            after: self.after,
            queue: &self.queue,
            limit: STALL_TIME,
        };
        // Held until there is a job, or an answer.
        let _turn = match repeats.asked(&parts.headers, choice).await? {
            Asked::Before(queue) => {
                let placed = self.place(queue, &parts, body, prefer, received).await?;
                return Ok((placed, JOB));
            }
            Asked::First(turn) => turn,
        };
        let Choice::Late(after) = choice else {
            let queue = self.queue.clone();
            let placed = self.place(queue, &parts, body, prefer, received).await?;
            return Ok((placed, JOB));
        };
        let late = Late {
            desk,
            flights: application.flights(),
            tasks: application.tasks(),
            id: desk.mint(),
            queue: late_queue(&self.queue),
            retries: &self.retries,
            after,
            deadline: None,
            prefer,
            received,
            stall_time: None,
            within: true,
        };
        late.key(&mut parts.headers);
        let parcel = self.parcel(&parts);
        let make = |most| {
            let mut sending = Sending::new(body, STALL_TIME);
            sending.keep_rest(application.tasks());
            let upload = sending.watch(Some((most, desk.room())));
            let request = Request::from_parts(parts, Body::new(sending));
            let answering = Box::pin(async move {
                let Ok(response) = inner.oneshot(request).await;
                Ok(response.into_response())
            });
            Ok(Made { answering, upload })
        };
        let answered = match late.call(parcel, make).await? {
            Fate::Job(response) => return Ok((response, "late")),
            Fate::Answered(answered) => answered,
            Fate::Goes(made) => made.answering.await,
        };
        let answered =
            answered.map_err(|why: CallFailed| Problem::new(Code::HandlerFailed, why.to_string()))?;
        Ok((answered, PASS))
    }

    /// Makes a job of a request, or finds the one that it was made before.
    async fn place(
        &self,
        queue: QueueName,
        parts: &Parts,
        body: Body,
        prefer: Prefer,
        received: Instant,
    ) -> Result<Response, Problem> {
        let desk = self.rc.desk();
        let order = Order {
            id: desk.mint(),
            body: desk.read(&queue, body).await?,
            queue,
            parcel: self.parcel(parts),
            repeats: self.retries.repeats(&parts.method),
            deadline: None,
        };
        let placed = desk.place(order, prefer, received).await?;
        Ok(placed.response)
    }

    /// What is kept of a request's head.
    fn parcel(&self, parts: &Parts) -> Parcel {
        let target = target(&parts.uri, &parts.extensions);
        let mut parcel = Parcel::of(&parts.method, target, &parts.headers);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        parcel.peer = peer.map(|ConnectInfo(peer)| *peer);
        parcel.unsafe_too = self.retries.unsafe_too;
        parcel
    }
}

/// A request's target as it came.
fn target<'a>(uri: &'a http::Uri, extensions: &'a http::Extensions) -> &'a http::Uri {
    extensions.get::<Whole>().map_or(uri, |Whole(uri)| uri)
}
