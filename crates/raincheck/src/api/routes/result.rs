//! Redeeming a job's result.
//!
//! Invariant: the wait is begun before the store is read.

use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;
use http::header::{self, HeaderValue};
use http::request::Parts;
use tokio::time::Instant;

use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::extract::JobPath;
use crate::api::outlook::outlook;
use crate::api::prefer::{PREFERENCE_APPLIED, Prefer};
use crate::api::problem::Problem;
use crate::api::redeem::{Asking, kept, result};
use crate::api::wire::job::JobDocument;

/// What is left of the head while its request waits: the method, and what the answer may depend on.
fn only_conditions(parts: &Parts) -> Parts {
    let mut kept = http::Request::new(()).into_parts().0;
    kept.method = parts.method.clone();
    for name in [header::IF_NONE_MATCH, header::IF_RANGE, header::RANGE] {
        for value in parts.headers.get_all(&name) {
            // The bytes of a header are a part of the buffer that the whole head was read into.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                kept.headers.append(&name, value);
            }
        }
    }
    kept
}

/// Redeem a job's result: the answer of its handler as it was made.
///
/// Status, bytes, content type and kept headers are the handler's. Branch on `Raincheck-Outcome` first: a status of 404
/// may be the handler's own answer. With `Prefer: wait=N` held until the job is done.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/result", operation_id = "getResult", tag = "jobs",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = 200, description = "The result; its status may be any other as well.", body = Vec<u8>,
         content_type = "*/*"),
        (status = 202, description = "The job is not done.", body = JobDocument<'_>, content_type = "application/json"),
        (status = 206, description = "The part of a 200 that `Range` asked for.", body = Vec<u8>,
         content_type = "*/*"),
        (status = 304, description = "The result is the one in `If-None-Match`."),
    )
)]
pub(crate) async fn get_result(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    request: Request,
) -> Result<Response, Problem> {
    let received = Instant::now();
    let (mut parts, _) = request.into_parts();
    let prefer = Prefer::of(&parts)?;
    let change = match prefer.wait {
        None => kept(&api, &caller.namespace, id).await?,
        Some(wait) => {
            let waiter = api.waiters.begin(&api.node, id, received, wait);
            let mut waiter = waiter.ok_or_else(|| api.waiters.refused())?;
            let now = kept(&api, &caller.namespace, id).await?;
            let told = if now.job.done() {
                Some(now)
            } else {
                // Who waits holds nothing that it can get again: there may be ten thousand.
                drop(now);
                parts = only_conditions(&parts);
                waiter.done().await
            };
            match told {
                Some(change) => change,
                None => kept(&api, &caller.namespace, id).await?,
            }
        }
    };
    let asking = if parts.method == Method::HEAD {
        Asking::Head(&parts.headers)
    } else {
        Asking::Get(&parts.headers)
    };
    let mut response = result(&api, &change, asking, caller.ticket).await?;
    if !change.job.done() {
        let queue = api.node.queue(&caller.namespace, &change.job.queue).await?;
        let outlook = outlook(&api, &change.job, queue.as_deref(), api.node.store().now()).await?;
        outlook.tell(response.headers_mut());
    }
    if let Some(applied) = prefer.applied(!change.job.done()) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}
