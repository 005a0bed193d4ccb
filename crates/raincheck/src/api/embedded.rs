//! The HTTP contract for those who are in the same process: submitting without a request, and the routes without the door.
//!
//! Invariants: an option, a refusal and a 202 are made by the same code as over the network; where the routes stand elsewhere than
//! their URLs say, nothing is answered but that.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, NestedPath};
use axum::response::{IntoResponse as _, Response};
use http::Request;
use http::header::HeaderValue;
use raincheck_core::content::Input;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::time::Timestamp;
use tower::Service;

use super::answer::{
    IDEMPOTENCY_REPLAYED, RAINCHECK_ATTACHED, retry_after, seconds_until, stamp, unknown_queue,
};
use super::code::Code;
use super::committed::{self, Accepted, Committed};
use super::gate::by_ticket;
use super::options::{Asked, callback, plain_key, row_of_field};
use super::prefer::Prefer;
use super::problem::Problem;
use super::routes::submit::{accepted, admit, fits, order};
use super::ticket::TicketKey;
use super::wire::accepted::AcceptedDocument;
use super::wire::job::JobDocument;
use super::{ApiOptions, Ticket, service_with};
use crate::links::{Links, Mount};
use crate::node::Node;

/// All paths below `/v1`.
const BELOW_V1: &str = "/v1/{*path}";
/// The paths beside those.
const BESIDE: [&str; 7] = [
    "/docs",
    "/openapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/problems",
    "/problems/{code}",
];

/// Who is let in by an application that has no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyless {
    /// Connections from this machine.
    ThisMachine,
    /// Whoever asks within a test, over no connection at all, too.
    Test,
}

/// The API as routes that are merged with others, or nested below the mount.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(
    node: &Node,
    options: ApiOptions,
    keyless: Keyless,
) -> Router<S> {
    let api = Below {
        keyless: options.closed.then_some(keyless),
        api: service_with(node.clone(), options),
        mount: node.options().mount.clone(),
    };
    let below = Router::new().route_service(BELOW_V1, api.clone());
    BESIDE
        .iter()
        .fold(below, |router, path| router.route_service(path, api.clone()))
}

/// Whether a route that an application's router matched is one of these, and if it matched none whether the path is below them.
/// Where a proxy takes away the whole mount they stand at the top, and only those below `/v1` are told from others.
pub(crate) fn is_own(mount: &Mount, matched: Option<&str>, path: &str) -> bool {
    let mount = mount.as_str();
    let Some(matched) = matched else {
        let rest = path.strip_prefix(mount).and_then(|rest| rest.strip_prefix("/v1"));
        return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    };
    let below_v1 = matched.strip_suffix(BELOW_V1);
    let stands = |at: &str| at == mount || (!at.is_empty() && mount.ends_with(at));
    below_v1.is_some_and(|at| at.is_empty() || stands(at))
        || BESIDE
            .iter()
            .any(|beside| matched.strip_suffix(beside).is_some_and(stands))
}

impl Keyless {
    /// What a request says of its host is no proof of where it comes from: that is its connection's address.
    fn lets(self, request: &Request<Body>) -> Result<(), Problem> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let why = match peer.map(|peer| peer.0.ip().to_canonical().is_loopback()) {
            Some(true) => return Ok(()),
            None if self == Self::Test => return Ok(()),
            _ if by_ticket(request.uri()) => return Ok(()),
            Some(false) => {
                "until there is an API key, this application's jobs are there for this machine only"
            }
            None => {
                "until there is an API key, this application's jobs are there for this machine only, and where this request comes from is not \
                 known: serve the application by Raincheck::serve, or by into_make_service_with_connect_info::<SocketAddr>()"
            }
        };
        Err(Problem::new(Code::Forbidden, why))
    }
}

/// The API below the router of an application.
#[derive(Clone)]
struct Below {
    api: super::Service,
    /// Nobody, where there are keys: the door of the API looks at those.
    keyless: Option<Keyless>,
    mount: Mount,
}

impl Service<Request<Body>> for Below {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.api, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // What the application's router matched is no route of the API: scopes are asked for by those.
        request.extensions_mut().remove::<MatchedPath>();
        if let Some(Err(problem)) = self.keyless.map(|keyless| keyless.lets(&request)) {
            let mount = self.mount.clone();
            return Box::pin(ready(Ok(Refused { problem, mount }.into_response())));
        }
        let nested = request.extensions().get::<NestedPath>();
        let nested = nested.map_or("", NestedPath::as_str);
        if self.mount.ends_with(nested) {
            return Box::pin(self.api.call(request));
        }
        let detail = format!(
            "the application nests these routes at {nested:?}, but their URLs begin with {:?}: its builder has to say \
             mounted_at({nested:?})",
            self.mount.as_str()
        );
        tracing::error!(nested, mount = %self.mount, "the API is nested elsewhere than its URLs say");
        let refused = Refused {
            problem: Problem::new(Code::Internal, detail),
            mount: self.mount.clone(),
        };
        Box::pin(ready(Ok(refused.into_response())))
    }
}

/// Where somebody in the same process submits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    pub(crate) node: &'a Node,
    pub(crate) namespace: &'a Namespace,
    pub(crate) tickets: &'a TicketKey,
}

/// What a submitter asks, beside the input.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// Options by their JSON fields, written as their headers write them.
    pub(crate) options: Vec<(&'static str, Cow<'static, str>)>,
    /// The idempotency key.
    pub(crate) key: Option<String>,
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refused {
    problem: Problem,
    mount: Mount,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.problem.detail())
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// An input that cannot be written.
    pub(crate) fn input(node: &Node, error: &serde_json::Error) -> Self {
        let problem = Problem::bad_request(format!("the input cannot be written as JSON: {error}"));
        Self::by(node, problem)
    }

    fn by(node: &Node, problem: Problem) -> Self {
        let mount = node.options().mount.clone();
        Self { problem, mount }
    }

    pub(crate) fn code(&self) -> &'static str {
        self.problem.code().as_str()
    }

    pub(crate) fn detail(&self) -> &str {
        self.problem.detail()
    }

    pub(crate) fn in_doubt(&self) -> bool {
        self.problem.in_doubt()
    }

    /// The answer, which no gate has still to write.
    pub(crate) fn into_response(self) -> Response {
        let body = self.problem.render(self.mount.links(), "");
        let mut response = self.problem.into_response();
        *response.body_mut() = Body::from(body);
        response
    }
}

/// A job that is on stable storage.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It was made, waits in this queue and starts then.
    New(Committed<JobId>, QueueName, Timestamp, Option<Ticket>),
    /// It was there: under the same key, or else with the same unique value.
    There {
        job: Committed<Arc<Job>>,
        ticket: Option<Ticket>,
        replayed: bool,
        document: Vec<u8>,
        retry_after: Option<u64>,
    },
}

impl Placed {
    pub(crate) fn id(&self) -> JobId {
        match self {
            Self::New(id, ..) => *id.get(),
            Self::There { job, .. } => job.get().id,
        }
    }

    pub(crate) const fn was_there(&self) -> bool {
        matches!(self, Self::There { .. })
    }

    pub(crate) fn into_response(self, links: Links<'_>) -> Response {
        match self {
            Self::New(new, queue, starts_at, ticket) => {
                let id = *new.get();
                let document = AcceptedDocument::of(links, id, &queue, starts_at).with(ticket);
                let seconds = seconds_until(starts_at, id.created_at());
                let document = document.render();
                accepted(links, &new, document, Some(seconds), Prefer::default(), ticket)
            }
            Self::There {
                job,
                ticket,
                replayed,
                document,
                retry_after,
            } => {
                let id = Committed::read(job.get());
                let mut response = accepted(links, &id, document, retry_after, Prefer::default(), ticket);
                let headers = response.headers_mut();
                stamp(headers, job.get().id, job.get().outcome());
                let how = if replayed {
                    IDEMPOTENCY_REPLAYED
                } else {
                    RAINCHECK_ATTACHED
                };
                headers.insert(how, HeaderValue::from_static("true"));
                response
            }
        }
    }
}

/// Submits.
///
/// # Errors
/// Why it was not accepted.
pub(crate) async fn place(door: Door<'_>, queue: &str, wish: Wish, input: Input) -> Result<Placed, Refused> {
    let placed = submit(door, queue, wish, input).await;
    placed.map_err(|problem| Refused::by(door.node, problem))
}

async fn submit(door: Door<'_>, queue: &str, wish: Wish, input: Input) -> Result<Placed, Problem> {
    let Door {
        node,
        namespace,
        tickets,
    } = door;
    let name = QueueName::new(queue).map_err(|_| unknown_queue(queue))?;
    let mut asked = Asked::default();
    for (field, text) in wish.options {
        let row = row_of_field(field);
        let row = row.ok_or_else(|| Problem::bad_request(format!("{field}: there is no such option")))?;
        let taken = asked.take(row, text);
        taken.map_err(|why| Problem::bad_request(format!("{field}: {why}")))?;
    }
    callback::judge(
        &node.options().targets,
        asked.options.callback.as_ref(),
        callback::FIELD,
    )?;
    let key = wish.key.map(plain_key).transpose();
    let key = key.map_err(|why| Problem::bad_request(format!("idempotency_key: {why}")))?;
    let there = node.queue(namespace, &name).await?;
    admit(node, there.as_deref(), &name, key.is_some())?;
    fits(there.as_deref(), input.body.len())?;
    let span = asked.ticket;
    let ticket = async |id| match span {
        Some(span) => tickets.issue(node, namespace, id, span).await.map(Some),
        None => Ok(None),
    };
    let submission = order(node, namespace, name, asked, key, input);
    let (queue, starts_at) = (submission.job.queue.clone(), submission.job.starts_at());
    // Before it is stored: what the store's key is needed for may fail.
    let own = ticket(submission.job.id).await?;
    let fate = committed::submit(&**node.store(), node.intake(), namespace, submission).await?;
    let (job, replayed) = match fate {
        Accepted::New(new) => return Ok(Placed::New(new, queue, starts_at, own)),
        Accepted::Replayed(job) => (job, true),
        Accepted::Attached(job) => (job, false),
    };
    let (ticket, now) = (ticket(job.get().id).await?, node.store().now());
    let document = JobDocument::of(node.links(), job.get(), there.as_deref(), now);
    Ok(Placed::There {
        document: document.with(ticket).render(),
        retry_after: retry_after(job.get(), now),
        job,
        ticket,
        replayed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_of_the_api_are_told_from_those_of_the_application() {
        for (mount, matched, path, own) in [
            ("", Some("/v1/{*path}"), "/v1/jobs", true),
            ("", Some("/docs"), "/docs", true),
            ("", Some("/reports/{month}"), "/reports/1", false),
            ("", Some("/v1/reports"), "/v1/reports", false),
            ("/rain", Some("/rain/v1/{*path}"), "/rain/v1/jobs", true),
            ("/rain", Some("/rain/problems/{code}"), "/rain/problems/x", true),
            ("/rain", Some("/docs"), "/docs", false),
            ("/rain", Some("/rain/docs/more"), "/rain/docs/more", false),
            ("/shop/rain", Some("/rain/healthz"), "/rain/healthz", true),
            ("/shop/rain", Some("/v1/{*path}"), "/v1/jobs", true),
            ("/rain", None, "/rain/v1/jobs", true),
            ("/rain", None, "/rain/other", false),
            ("/rain", None, "/v1/jobs", false),
        ] {
            let mount = Mount::new(mount).unwrap();
            assert_eq!(is_own(&mount, matched, path), own, "{mount} {matched:?} {path}");
        }
    }
}
