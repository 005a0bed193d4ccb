//! Who works: those who pull, and the queues that this server works itself.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use raincheck_core::name::{QueueName, WorkerName};

use crate::api::Api;
use crate::api::answer::{json, render};
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::wire::leased::{WorkerDocument, WorkersDocument};

/// List who works, as this server knows: pull workers until some minutes after they were last heard of, and itself.
#[utoipa::path(
    get, path = "/v1/workers", operation_id = "listWorkers", tag = "workers",
    responses((status = 200, description = "The workers.", body = WorkersDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn list_workers(
    State(api): State<Api>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Problem> {
    let now = api.node.store().now();
    let pulling = api.node.pull().roll().workers(&caller.namespace);
    let lines = api.node.lines();
    let own = lines
        .iter()
        .filter(|(queue, _)| queue.namespace == caller.namespace);
    let own = own.map(|(queue, running)| WorkerDocument {
        id: &api.node.options().worker,
        queue: &queue.name,
        kind: queue.spec.worker.as_ref().map_or("pull", |worker| worker.kind()),
        running: *running as u64,
        last_seen: now,
    });
    let kept = api.node.kept_alive(&caller.namespace);
    let kept: Vec<_> = kept
        .iter()
        .filter_map(|(queue, member)| Some((queue, WorkerName::new(&member.name).ok()?, member)))
        .collect();
    let is_kept =
        |queue: &QueueName, id: &WorkerName| kept.iter().any(|(of, name, _)| *of == queue && name == id);
    let seen = |queue: &QueueName, id: &WorkerName| {
        let mut seen = pulling.iter();
        seen.find(|seen| seen.holder.queue == *queue && seen.holder.worker == *id)
    };
    let kept_alive = kept.iter().filter(|(_, _, member)| member.process.is_some());
    let kept_alive = kept_alive.map(|(queue, id, _)| {
        let seen = seen(queue, id);
        WorkerDocument {
            id,
            queue,
            kind: "keep_alive",
            running: seen.map_or(0, |seen| u64::from(seen.running)),
            last_seen: seen.map_or(now, |seen| seen.last_seen(now)),
        }
    });
    let others = pulling.iter();
    let others = others.filter(|seen| !is_kept(&seen.holder.queue, &seen.holder.worker));
    let others = others.map(|seen| WorkerDocument {
        id: &seen.holder.worker,
        queue: &seen.holder.queue,
        kind: "pull",
        running: u64::from(seen.running),
        last_seen: seen.last_seen(now),
    });
    let mut workers: Vec<_> = own.chain(kept_alive).chain(others).collect();
    workers.retain(|worker| caller.sees(worker.queue));
    workers.sort_by(|a, b| (a.queue, a.id).cmp(&(b.queue, b.id)));
    Ok(json(StatusCode::OK, render(&WorkersDocument { workers })))
}
