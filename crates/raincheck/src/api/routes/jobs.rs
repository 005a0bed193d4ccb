//! A job: reading it, waiting for it, cancelling, retrying and forgetting it.
//!
//! Invariant: a wait is begun before the store is read, so that a change between the two is not missed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{self};
use http::request::Parts;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::store::{ChangeRefused, Retry};
use tokio::time::Instant;

use crate::api::Api;
use crate::api::answer::{NO_STORE, draining, json, missing, no_content, value};
use crate::api::caller::Caller;
use crate::api::committed::{self, not_done};
use crate::api::conditional::none_match;
use crate::api::extract::{JobPath, NoBody};
use crate::api::outlook::outlook;
use crate::api::prefer::{PREFERENCE_APPLIED, Prefer};
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::redeem::{describe, document};
use crate::api::ticket::Ticket;
use crate::api::wait::Waiter;
use crate::api::wire::job::JobDocument;

/// A claim is not told to those who wait, so a wait for any change looks for itself that often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Read a job.
///
/// With `Prefer: wait=N` held until the job is done; with `If-None-Match` as well, until its version moves.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", operation_id = "getJob", tag = "jobs",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job.", body = JobDocument<'_>, content_type = "application/json"),
        (status = 304, description = "Its version is still the one in `If-None-Match`."),
    )
)]
pub(crate) async fn get_job(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    request: Request,
) -> Result<Response, Problem> {
    let received = Instant::now();
    let (parts, _) = request.into_parts();
    let prefer = Prefer::of(&parts)?;
    let waiter = match prefer.wait {
        None => None,
        Some(wait) => {
            let waiter = api.waiters.begin(&api.node, id, received, wait);
            Some(waiter.ok_or_else(|| api.waiters.refused())?)
        }
    };
    let mut job = read(&api, &caller.namespace, id).await?;
    if let Some(waiter) = waiter {
        job = if parts.headers.contains_key(header::IF_NONE_MATCH) {
            moved(&api, &caller.namespace, job, waiter, &parts).await?
        } else {
            finished(&api, &caller.namespace, job, waiter).await?
        };
    }
    let mut response = if unmoved(&parts, &job) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
        describe(response.headers_mut(), &job, &api);
        let queue = api.node.queue(&job.namespace, &job.queue).await?;
        let now = api.node.store().now();
        let outlook = outlook(&api, &job, queue.as_deref(), now).await?;
        outlook.tell(response.headers_mut());
        response
    } else {
        full_document(&api, &job, caller.ticket).await?
    };
    if let Some(applied) = prefer.applied(false) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

async fn read(api: &Api, namespace: &Namespace, id: JobId) -> Result<Arc<Job>, Problem> {
    api.node
        .store()
        .get(namespace, id)
        .await?
        .map_err(|why| missing(why, id))
}

/// Whether the caller has this version already.
fn unmoved(parts: &Parts, job: &Job) -> bool {
    none_match(&parts.headers, &format!("\"{}\"", job.version))
}

/// The job once it is done, else as it stands when the time is over.
async fn finished(
    api: &Api,
    namespace: &Namespace,
    job: Arc<Job>,
    mut waiter: Waiter,
) -> Result<Arc<Job>, Problem> {
    if job.done() {
        return Ok(job);
    }
    match waiter.done().await {
        Some(change) => Ok(change.job),
        None => read(api, namespace, job.id).await,
    }
}

/// The job once its version is none of those that the caller has, else as it stands when the time is over. A finished
/// job is not waited for: it does not move.
async fn moved(
    api: &Api,
    namespace: &Namespace,
    mut job: Arc<Job>,
    mut waiter: Waiter,
    parts: &Parts,
) -> Result<Arc<Job>, Problem> {
    while unmoved(parts, &job) && !job.done() {
        let Some(told) = waiter.changed_within(LOOK_EVERY).await else {
            break;
        };
        job = match told {
            Some(change) => change.job,
            None => read(api, namespace, job.id).await?,
        };
    }
    Ok(job)
}

/// The document with how things look for a job that waits.
async fn full_document(api: &Api, job: &Job, ticket: Option<Ticket>) -> Result<Response, Problem> {
    let now = api.node.store().now();
    let queue = api.node.queue(&job.namespace, &job.queue).await?;
    let outlook = outlook(api, job, queue.as_deref(), now).await?;
    let mut document = JobDocument::of(api.node.links(), job, queue.as_deref(), now).with(ticket);
    document.position = outlook.waiting_for.is_some().then_some(outlook.position);
    document.waiting_for = outlook.waiting_for;
    let mut response = json(StatusCode::OK, document.render());
    describe(response.headers_mut(), job, api);
    outlook.tell(response.headers_mut());
    Ok(response)
}

/// Cancel a job; doing it again changes nothing.
///
/// A waiting job is cancelled at once. A running one is asked to stop: success under its live lease still wins,
/// anything else ends cancelled.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/cancel", operation_id = "cancelJob", tag = "jobs",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 200, description = "It is cancelled, or was done already.", body = JobDocument<'_>,
         content_type = "application/json"),
        (status = 202, description = "It runs; its worker is being told.", body = JobDocument<'_>,
         content_type = "application/json"),
    )
)]
pub(crate) async fn cancel_job(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    _: NoQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    let mut jobs = api.node.store().cancel(&caller.namespace, vec![id]).await?;
    let job = jobs
        .pop()
        .expect("a store answers each entry of a batch")
        .map_err(|why| missing(why, id))?;
    let status = if job.done() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(document(&api, status, &job, caller.ticket).await?)
}

/// Submit a finished job again, as a new job.
///
/// The new job has the same input, options and group. While it is unfinished, asking again gives it back.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/retry", operation_id = "retryJob", tag = "jobs",
    params(("id" = String, Path, description = "The finished job.")),
    responses((status = 202, description = "The new job.", body = JobDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn retry_job(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    _: NoQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    if api.node.draining() {
        return Err(draining());
    }
    let store = &**api.node.store();
    let retry = Retry {
        id,
        new_id: store.mint(),
    };
    let new = committed::retry(store, &caller.namespace, retry).await?;
    let mut response = document(&api, StatusCode::ACCEPTED, new.get(), None).await?;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(api.node.links().job(new.get().id, None)));
    Ok(response)
}

/// Forget a finished job: its input, result and output. Its id answers 410 for 24 h.
#[utoipa::path(
    delete, path = "/v1/jobs/{id}", operation_id = "deleteJob", tag = "jobs",
    params(("id" = String, Path, description = "The finished job.")),
    responses((status = 204, description = "It is forgotten."))
)]
pub(crate) async fn delete_job(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    _: NoQuery,
) -> Result<Response, Problem> {
    let mut answers = api.node.store().delete(&caller.namespace, vec![id]).await?;
    match answers.pop().expect("a store answers each entry of a batch") {
        Ok(()) => Ok(no_content()),
        Err(ChangeRefused::Missing(why)) => Err(missing(why, id)),
        Err(ChangeRefused::NotDone | ChangeRefused::Submit(_)) => {
            Err(not_done(id, "it can be deleted once it is"))
        }
    }
}
