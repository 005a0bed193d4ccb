//! Queues: their settings, what is in them, pausing and purging.
//!
//! Invariant: changes go through the node, so that dispatch hears of them; a command to run never comes over the API.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{QueueSpec, Worker};
use raincheck_core::store::QueueRefused;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::api::answer::{draining, json, no_content, render, unknown_queue};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::extract::{JsonRequest, NoBody, QueuePath, SETTINGS_BYTES_MAX, body};
use crate::api::options::callback;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::text;
use crate::api::wire::queue::{Purged, QueueDocument, QueueSettings, QueuesDocument};
use crate::api::wire::submit::fields;
use crate::bound::in_time;
use crate::fields::fields_of;
use crate::near::told;
use crate::outward::target;
use crate::outward::target::{Targets, check_literal};
use crate::workers::check;

/// So many jobs one step of a purge cancels: the store's writer is free for others in between.
const PURGE_STEP: u32 = 1_000;

/// List all queues by name.
#[utoipa::path(
    get, path = "/v1/queues", operation_id = "listQueues", tag = "queues",
    responses((status = 200, description = "The queues.", body = QueuesDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn list_queues(
    State(api): State<Api>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Problem> {
    let all = in_time(api.node.store().queues(&caller.namespace)).await?;
    let cores = api.node.options().cores;
    let queues = all
        .iter()
        .filter(|status| caller.sees(&status.queue.name))
        .map(|status| QueueDocument::of(status, cores))
        .collect();
    Ok(json(StatusCode::OK, render(&QueuesDocument { queues })))
}

/// Read a queue: its settings in force, where each comes from, and what is in it.
#[utoipa::path(
    get, path = "/v1/queues/{queue}", operation_id = "getQueue", tag = "queues",
    params(("queue" = String, Path, description = "The queue.")),
    responses((status = 200, description = "The queue.", body = QueueDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn get_queue(
    State(api): State<Api>,
    caller: Caller,
    QueuePath(name): QueuePath,
    _: NoQuery,
) -> Result<Response, Problem> {
    queue_document(&api, &caller.namespace, &name).await
}

async fn queue_document(api: &Api, namespace: &Namespace, name: &QueueName) -> Result<Response, Problem> {
    let status = in_time(api.node.store().queue(namespace, name)).await?;
    let status = status.ok_or_else(|| unknown_queue(name.as_str()))?;
    let document = QueueDocument::of(&status, api.node.options().cores);
    Ok(json(StatusCode::OK, render(&document)))
}

pub(super) fn refused(why: QueueRefused, name: &QueueName) -> Problem {
    match why {
        QueueRefused::Unknown => unknown_queue(name.as_str()),
        QueueRefused::Managed => {
            let detail =
                format!("queue \"{name}\" is defined by the server's flags or file; change it there");
            Problem::new(Code::QueueManaged, detail)
        }
        QueueRefused::NotEmpty(count) => {
            let detail = format!(
                "queue \"{name}\" has {count} unfinished jobs; wait for them, or pause it and POST \
                 /v1/queues/{name}/purge"
            );
            Problem::new(Code::QueueNotEmpty, detail)
        }
    }
}

/// Create a queue, or replace its settings whole.
#[utoipa::path(
    put, path = "/v1/queues/{queue}", operation_id = "putQueue", tag = "queues",
    params(("queue" = String, Path, description = "The queue.")),
    request_body(content = inline(QueueSettings), content_type = "application/json"),
    responses((status = 200, description = "The queue.", body = QueueDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn put_queue(
    State(api): State<Api>,
    caller: Caller,
    JsonRequest { parts, content }: JsonRequest,
) -> Result<Response, Problem> {
    let name = parts.uri.path().split('/').nth(3).unwrap_or_default();
    let name = QueueName::new(name).map_err(|why| Problem::bad_request(why.to_string()))?;
    let content = body(&api, content, SETTINGS_BYTES_MAX, "settings").await?;
    let spec = settings(&content, &api.node.options().targets)?;
    if api.node.draining() {
        return Err(draining());
    }
    let put = caller
        .node(&api)
        .put_queue(&caller.namespace, &name, spec, false)
        .await?;
    put.map_err(|why| refused(why, &name))?;
    queue_document(&api, &caller.namespace, &name).await
}

/// Refuses a setting that does not exist, comes twice or cannot be read. Each is read by itself, so that the problem
/// points at it.
fn one_setting(name: &str, raw: &RawValue, twice: bool) -> Result<(), Problem> {
    let shown = text::short(name);
    let wrong =
        |why: &str| Problem::bad_request(format!("the setting {shown:?}: {why}")).at(format!("/{shown}"));
    if twice {
        return Err(wrong("given twice"));
    }
    // The name is written anew: it may hold anything.
    let quoted = serde_json::to_string(name).expect("text is JSON");
    let alone = |value: &str| match serde_json::from_str::<QueueSpec>(&format!("{{{quoted}:{value}}}")) {
        Ok(_) => None,
        Err(error) => Some(told(error)),
    };
    // Each setting can be null, which is as good as leaving it out.
    if alone("null").is_some() {
        let look = "GET /v1/queues/{queue} shows those that there are";
        let known = fields_of::<QueueSpec>().iter().copied();
        return Err(wrong(&text::no_such("setting", name, known, look)));
    }
    // A list would be read as fields in their order.
    if name == "group_defaults" && raw.get().starts_with('[') {
        return Err(wrong("expected an object"));
    }
    let Some(why) = alone(raw.get()) else {
        return Ok(());
    };
    if let Some(rule) = out_of_range(&quoted, raw.get()) {
        return Err(Problem::bad_request(rule).at(format!("/{shown}")));
    }
    // A caller's long text is cut.
    Err(wrong(&if why.len() > 400 {
        text::short(&why)
    } else {
        why.into()
    }))
}

/// The rule that a number breaks which is too small or too large to be read at all: the same that the nearest one breaks that can be.
fn out_of_range(quoted: &str, number: &str) -> Option<String> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nearest = if number.starts_with('-') { 0 } else { u32::MAX };
    let spec: QueueSpec = serde_json::from_str(&format!("{{{quoted}:{nearest}}}")).ok()?;
    spec.check().err().map(|rule| rule.to_string())
}

/// Reads and checks settings.
fn settings(body: &[u8], targets: &Targets) -> Result<QueueSpec, Problem> {
    let mut seen: Vec<&str> = Vec::new();
    let fields = fields(body)?;
    for (name, raw) in &fields {
        one_setting(name, raw, seen.contains(&&**name))?;
        seen.push(name);
    }
    let spec: QueueSpec = serde_json::from_slice(body)
        .map_err(|_| Problem::bad_request("the settings cannot be, though each one could"))?;
    if spec
        .worker
        .as_ref()
        .is_some_and(|worker| worker.command().is_some())
    {
        let detail = "a queue that runs a command is defined only by the server itself: raincheck serve --queue \
                      NAME='cmd:…'";
        return Err(Problem::new(Code::ProcessWorkerForbidden, detail).at("/worker"));
    }
    if spec.worker == Some(Worker::Function) {
        let detail = "a queue that a function works is defined only by the application that has the function";
        return Err(Problem::new(Code::ProcessWorkerForbidden, detail).at("/worker"));
    }
    check(&spec).map_err(|why| Problem::bad_request(why.detail).at(why.pointer))?;
    callback::judge(targets, spec.callback.as_ref(), callback::FIELD)?;
    if let Some(Worker::Push(urls)) = &spec.worker {
        for (index, url) in urls.iter().enumerate() {
            let allowed = target(url).map_or(Ok(()), |uri| check_literal(targets, &uri));
            allowed.map_err(|why| {
                Problem::bad_request(format!("worker: {why}")).at(format!("/worker/push/{index}"))
            })?;
        }
    }
    Ok(spec)
}

/// Forget a queue's settings. Its finished jobs stay as long as they would have.
#[utoipa::path(
    delete, path = "/v1/queues/{queue}", operation_id = "deleteQueue", tag = "queues",
    params(("queue" = String, Path, description = "The queue.")),
    responses((status = 204, description = "It is forgotten."))
)]
pub(crate) async fn delete_queue(
    State(api): State<Api>,
    caller: Caller,
    QueuePath(name): QueuePath,
    _: NoQuery,
) -> Result<Response, Problem> {
    let deleted = caller.node(&api).delete_queue(&caller.namespace, &name).await?;
    deleted.map_err(|why| refused(why, &name))?;
    Ok(no_content())
}

/// Stop claiming from a queue; submits go on, what runs goes on. Doing it again changes nothing.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/pause", operation_id = "pauseQueue", tag = "queues",
    params(("queue" = String, Path, description = "The queue.")),
    responses((status = 200, description = "The queue.", body = QueueDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn pause_queue(
    State(api): State<Api>,
    caller: Caller,
    QueuePath(name): QueuePath,
    _: NoQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    set_paused(&api, &caller, &name, true).await
}

/// Claim from a queue again.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/resume", operation_id = "resumeQueue", tag = "queues",
    params(("queue" = String, Path, description = "The queue.")),
    responses((status = 200, description = "The queue.", body = QueueDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn resume_queue(
    State(api): State<Api>,
    caller: Caller,
    QueuePath(name): QueuePath,
    _: NoQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    set_paused(&api, &caller, &name, false).await
}

async fn set_paused(api: &Api, caller: &Caller, name: &QueueName, paused: bool) -> Result<Response, Problem> {
    let answer = caller
        .node(api)
        .pause_queue(&caller.namespace, name, paused)
        .await?;
    answer.map_err(|why| refused(why, name))?;
    queue_document(api, &caller.namespace, name).await
}

/// Cancel all jobs that wait in a queue.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/purge", operation_id = "purgeQueue", tag = "queues",
    params(("queue" = String, Path, description = "The queue.")),
    responses((status = 200, description = "How many were cancelled.", body = Purged,
               content_type = "application/json"))
)]
pub(crate) async fn purge_queue(
    State(api): State<Api>,
    caller: Caller,
    QueuePath(name): QueuePath,
    _: NoQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    let mut cancelled = 0;
    let node = caller.node(&api);
    loop {
        let step = node
            .changing()
            .purge(&caller.namespace, &name, PURGE_STEP)
            .await?;
        let step = step.map_err(|why| refused(why, &name))?;
        cancelled += u64::from(step.count);
        if !step.more {
            return Ok(json(StatusCode::OK, render(&Purged { cancelled })));
        }
    }
}
