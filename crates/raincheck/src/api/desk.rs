//! Where requests that are not for the API are given rain checks: those of a proxy, and those of an application's own routes.
//!
//! Invariant: their jobs, tickets, 202s and refusals are made by the same code as those of a submit.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::Entry;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use raincheck_core::content::Input;
use raincheck_core::decide::Fingerprint;
use raincheck_core::id::JobId;
use raincheck_core::name::QueueName;
use raincheck_core::store::Idempotency;
use tokio::time::Instant;

use std::sync::Arc;
use std::time::Duration;

use super::answer::{IDEMPOTENCY_REPLAYED, RAINCHECK_OUTCOME};
use super::cors::Cors;
use super::extract::body as read_body;
pub(crate) use super::extract::closing;
use super::head;
pub(crate) use super::ids::told;
use super::ids::{Ids, X_REQUEST_ID};
use super::options::{Asked, trace_context};
use super::prefer::Prefer;
use super::problem::{Problem, Unwritten};
use super::routes::submit;
use super::wish::Wish;
use super::{Api, ApiOptions};
use crate::bound::in_time;
use crate::node::Node;
use crate::proxy::parcel::Parcel;
use crate::room::Room;
use crate::server::LengthTwice;

/// How long the ticket in a 202 is good: as long as a failed job is kept unless its queue says otherwise.
const TICKET_TERM: Duration = Duration::from_secs(7 * 24 * 3600);

/// Gives out rain checks. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Desk(Api, Arc<Ids>);

/// A request that is to become a job.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) id: JobId,
    pub(crate) queue: QueueName,
    pub(crate) parcel: Parcel,
    pub(crate) body: Bytes,
    /// Whether it may be sent again.
    pub(crate) repeats: bool,
    /// How long the job may take from its acceptance.
    pub(crate) deadline: Option<Duration>,
}

/// A marker in the extensions of an answer that is this server's own, and not one that somebody else gave and a job kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own;

/// An answer about a job.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) response: Response,
    /// Whether the job is one that an earlier request with the same key had made.
    pub(crate) was_there: bool,
}

impl Desk {
    pub(super) fn new(api: Api) -> Self {
        Self(api, Arc::new(Ids::new()))
    }

    /// One over a node, beside an API that stands elsewhere.
    pub(crate) fn open(node: Node) -> Self {
        let options = ApiOptions {
            as_it_was: true,
            ..ApiOptions::default()
        };
        Self::new(super::api(node, options))
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    /// An id for a job that may come about.
    pub(crate) fn mint(&self) -> JobId {
        self.0.node.store().mint()
    }

    /// For bodies that are kept.
    pub(crate) fn room(&self) -> &Room {
        &self.0.room
    }

    /// The largest input of a queue.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn body_max(&self, queue: &QueueName) -> Result<u64, Problem> {
        let queue = self.0.node.queue(&self.0.namespace, queue).await?;
        Ok(submit::body_max(queue.as_deref()))
    }

    /// Whether a job of this queue was made under this key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn knows(&self, queue: &QueueName, key: &str) -> Result<bool, Problem> {
        let idempotency = Idempotency {
            key: key.to_owned(),
            // No request has it: any answer but none tells that the key is taken.
            fingerprint: Fingerprint::default(),
        };
        let store = self.0.node.store();
        let known = in_time(store.replay(&self.0.namespace, queue, idempotency)).await?;
        Ok(known.is_some())
    }

    /// Reads the body of a request that becomes a job at once.
    ///
    /// # Errors
    /// When it is too large, too slow or broken.
    pub(crate) async fn read(&self, queue: &QueueName, body: Body) -> Result<Bytes, Problem> {
        let most = self.body_max(queue).await?;
        read_body(&self.0, body, most, "the queue").await
    }

    /// Submits the job, and answers: 202 with a ticket in its URLs, or what its request had been answered, where the client
    /// waits for that and it comes in time.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub(crate) async fn place(
        &self,
        order: Order,
        prefer: Prefer,
        received: Instant,
    ) -> Result<Placed, Problem> {
        let Order {
            id,
            queue,
            parcel,
            body,
            repeats,
            deadline,
        } = order;
        let mut asked = Asked::default();
        trace_context(&parcel.headers, &mut asked.options);
        // One attempt: it is counted before the request is sent, so that a crash leaves none.
        asked.options.max_attempts = (!repeats).then_some(1);
        asked.options.deadline = deadline;
        let idempotency = parcel.scoped_key().map(|key| Idempotency {
            key,
            fingerprint: parcel.fingerprint(&body),
        });
        let safe = match parcel.opens_doors() {
            true => Some(self.0.safes.of(&**self.0.node.store()).await?),
            false => None,
        };
        let input: Input = parcel.input(body, safe);
        let mut submission = submit::order(&self.0.node, &self.0.namespace, queue, asked, None, input);
        submission.job.id = id;
        submission.idempotency = idempotency;
        let wish = Wish {
            // Calls come with no key of this server's.
            key: None,
            prefer,
            ticket: Some(TICKET_TERM),
            received,
        };
        let mut response = submit::place(&self.0, &self.0.namespace, submission, wish).await?;
        if response.status() == StatusCode::ACCEPTED && pending(response.headers()) {
            response.extensions_mut().insert(Own);
        }
        self.write(&mut response);
        Ok(Placed {
            was_there: response.headers().contains_key(IDEMPOTENCY_REPLAYED),
            response,
        })
    }

    /// A refusal as an answer, to a request with this id, where it had a fit one.
    pub(crate) fn refuse(&self, problem: Problem, id: Option<HeaderValue>) -> Response {
        let mut response = problem.into_response();
        self.name(&mut response, id);
        self.write(&mut response);
        response
    }

    /// Gives an answer of this server the id of its request, or one of its own.
    pub(crate) fn name(&self, response: &mut Response, id: Option<HeaderValue>) {
        if let Entry::Vacant(unnamed) = response.headers_mut().entry(X_REQUEST_ID) {
            unnamed.insert(id.unwrap_or_else(|| self.1.mint()));
        }
    }

    /// Whose pages may read what is this server's own, where the operator named any.
    pub(crate) fn pages(&self) -> Option<Cors> {
        Cors::new(&self.0.options.cors_origins)
    }

    /// Writes the body of a problem, which no gate will.
    fn write(&self, response: &mut Response) {
        if let Some(Unwritten(problem)) = response.extensions_mut().remove::<Unwritten>() {
            self.name(response, None);
            let id = response.headers().get(X_REQUEST_ID);
            let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
            let body = problem.render(self.0.node.links(), id);
            *response.body_mut() = Body::from(body);
            response.extensions_mut().insert(Own);
        }
    }
}

/// Whether the head is that of a rain check.
fn pending(headers: &HeaderMap) -> bool {
    headers
        .get(RAINCHECK_OUTCOME)
        .is_some_and(|outcome| outcome == "pending")
}

/// Refuses a request that others could read otherwise than this server: without a host or with two, with two lengths, or for
/// a tunnel; and one without measure.
///
/// # Errors
/// 400, 414, 431.
pub(crate) fn unambiguous<B>(request: &Request<B>) -> Result<(), Problem> {
    if request.extensions().get::<LengthTwice>().is_some() {
        return Err(head::length_twice());
    }
    head::chunks_alone(request.headers())?;
    let bytes = request.headers().iter();
    head::measured(
        request.uri(),
        bytes.map(|(name, value)| head::line_bytes(name, value)).sum(),
    )?;
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.count());
    head::single_host(request, usize::from(host.is_some()) + more, host).map(drop)
}

/// Waits as the head says; what cannot be understood counts for nothing.
pub(crate) fn preference(headers: &HeaderMap) -> Prefer {
    Prefer::from_headers(headers)
}
