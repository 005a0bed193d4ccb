//! Groups of a queue: the limits of each.
//!
//! Invariant: a group is there whether or not it has jobs or limits of its own; only its queue must exist.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::queues::refused;
use crate::api::Api;
use crate::api::answer::{draining, json, render, unknown_queue};
use crate::api::caller::Caller;
use crate::api::extract::{GroupPath, JsonRequest, SETTINGS_BYTES_MAX, body};
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::text;
use crate::api::wire::group::{self, GroupDocument, GroupSettings};
use crate::bound::in_time;

/// Read what bounds a group, and where each limit comes from.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/groups/{group}", operation_id = "getGroup", tag = "queues",
    params(("queue" = String, Path, description = "The queue."),
           ("group" = String, Path, description = "The group, percent-encoded.")),
    responses((status = 200, description = "The group.", body = GroupDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn get_group(
    State(api): State<Api>,
    caller: Caller,
    GroupPath(queue, group): GroupPath,
    _: NoQuery,
) -> Result<Response, Problem> {
    let status = in_time(api.node.store().group(&caller.namespace, &queue, &group)).await?;
    let status = status.ok_or_else(|| unknown_queue(queue.as_str()))?;
    Ok(json(StatusCode::OK, render(&GroupDocument::of(&status, &group))))
}

/// Write limits for one group, in place of those that were written.
#[utoipa::path(
    put, path = "/v1/queues/{queue}/groups/{group}", operation_id = "putGroup", tag = "queues",
    params(("queue" = String, Path, description = "The queue."),
           ("group" = String, Path, description = "The group, percent-encoded.")),
    request_body(content = inline(GroupSettings), content_type = "application/json"),
    responses((status = 200, description = "The group.", body = GroupDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn put_group(
    State(api): State<Api>,
    caller: Caller,
    GroupPath(queue, group): GroupPath,
    JsonRequest { content, .. }: JsonRequest,
) -> Result<Response, Problem> {
    let content = body(&api, content, SETTINGS_BYTES_MAX, "settings").await?;
    let spec = group::read(&content).map_err(|(pointer, why)| {
        let problem = Problem::bad_request(text::short(&why).into_owned());
        if pointer.is_empty() {
            problem
        } else {
            problem.at(pointer)
        }
    })?;
    if api.node.draining() {
        return Err(draining());
    }
    let node = caller.node(&api);
    let store = node.changing();
    let put = store
        .put_group(&caller.namespace, &queue, &group, Some(spec))
        .await?;
    let status = put.map_err(|why| refused(why, &queue))?;
    Ok(json(StatusCode::OK, render(&GroupDocument::of(&status, &group))))
}

/// Forget the limits of one group: the queue's defaults hold for it again.
#[utoipa::path(
    delete, path = "/v1/queues/{queue}/groups/{group}", operation_id = "deleteGroup", tag = "queues",
    params(("queue" = String, Path, description = "The queue."),
           ("group" = String, Path, description = "The group, percent-encoded.")),
    responses((status = 200, description = "The group.", body = GroupDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn delete_group(
    State(api): State<Api>,
    caller: Caller,
    GroupPath(queue, group): GroupPath,
    _: NoQuery,
) -> Result<Response, Problem> {
    let node = caller.node(&api);
    let store = node.changing();
    let put = store.put_group(&caller.namespace, &queue, &group, None).await?;
    let status = put.map_err(|why| refused(why, &queue))?;
    Ok(json(StatusCode::OK, render(&GroupDocument::of(&status, &group))))
}
