//! One file per thing that has a path.
//!
//! Invariant: a path is declared once, with what it answers, where its handler is; the OpenAPI document is made of it.

mod audit;
mod batches;
mod bulk;
mod claim;
mod emit;
mod events;
mod example;
mod fetch;
mod groups;
mod health;
mod input;
mod jobs;
mod keys;
mod leases;
mod list;
mod many;
mod metrics;
mod page;
mod patch;
mod problems;
mod queues;
mod reference;
mod result;
pub(crate) mod submit;
mod upload;
mod webhooks;
mod workers;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

/// Every path.
pub(crate) fn all() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(submit::submit_raw))
        .routes(routes!(submit::submit_json, list::list_jobs))
        .routes(routes!(bulk::bulk_jobs))
        .routes(routes!(jobs::get_job, jobs::delete_job, patch::patch_job))
        .routes(routes!(result::get_result))
        .routes(routes!(input::get_input))
        .routes(routes!(events::follow_job))
        .routes(routes!(events::follow_all))
        .routes(routes!(jobs::cancel_job))
        .routes(routes!(jobs::retry_job))
        .routes(routes!(batches::submit_batch))
        .routes(routes!(fetch::fetch))
        .routes(routes!(batches::get_batch))
        .routes(routes!(batches::get_results))
        .routes(routes!(batches::cancel_batch))
        .routes(routes!(queues::list_queues))
        .routes(routes!(
            queues::get_queue,
            queues::put_queue,
            queues::delete_queue
        ))
        .routes(routes!(
            groups::get_group,
            groups::put_group,
            groups::delete_group
        ))
        .routes(routes!(queues::pause_queue))
        .routes(routes!(queues::resume_queue))
        .routes(routes!(queues::purge_queue))
        .routes(routes!(claim::claim))
        .routes(routes!(leases::renew))
        .routes(routes!(leases::succeed))
        .routes(routes!(leases::fail))
        .routes(routes!(leases::release))
        .routes(routes!(emit::emit))
        .routes(routes!(leases::many))
        .routes(routes!(webhooks::list_deliveries))
        .routes(routes!(webhooks::redeliver))
        .routes(routes!(webhooks::get_secret))
        .routes(routes!(webhooks::rotate_secret))
        .routes(routes!(workers::list_workers))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::revoke_key))
        .routes(routes!(audit::list_acts))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(problems::list_problems))
        .routes(routes!(problems::get_problem))
        .routes(routes!(problems::openapi))
        .routes(routes!(problems::docs))
}
