//! A job's input as it came.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{self, HeaderValue};

use crate::api::Api;
use crate::api::answer::{missing, stamp};
use crate::api::caller::Caller;
use crate::api::extract::JobPath;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::redeem::leaving;
use crate::api::sandbox;

/// Read a job's input as it came: bytes, content type and the headers its handler sees.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/input", operation_id = "getInput", tag = "jobs",
    params(("id" = String, Path, description = "The job.")),
    responses((status = 200, description = "The input.", body = Vec<u8>, content_type = "*/*"))
)]
pub(crate) async fn get_input(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    _: NoQuery,
) -> Result<Response, Problem> {
    let store = api.node.store();
    let job = store
        .get(&caller.namespace, id)
        .await?
        .map_err(|why| missing(why, id))?;
    let input = store
        .input(&caller.namespace, id)
        .await?
        .map_err(|why| missing(why, id))?;
    // Of the headers only those that describe the bytes mean anything in an answer.
    let describing: Vec<_> = input
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("content-"))
        .cloned()
        .collect();
    let body = leaving(&api, input.body)?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    sandbox::describe(headers, input.content_type.as_deref(), &describing);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    stamp(headers, id, job.outcome());
    Ok(response)
}
