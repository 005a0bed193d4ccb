//! Whether the server lives, and whether it can take work.

use std::time::Duration;

use axum::extract::{Extension, State};
use axum::response::Response;
use http::StatusCode;
use raincheck_core::id::JobId;
use raincheck_core::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::answer::{json, render};
use crate::api::door::Admitted;

/// So long the store may take to say that it can write.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// Whether the server can take work.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether all checks are `ok`.
    ready: bool,
    checks: Checks,
    /// There where jobs are damaged; the others go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    damaged: Option<Damaged>,
}

/// Jobs of which a row is not as it was written: they were set aside.
#[derive(Serialize, ToSchema)]
pub(crate) struct Damaged {
    /// How many.
    #[schema(example = 1)]
    count: usize,
    /// Some of them, where who asks may see all jobs: on a server without keys, or with an `admin` key of the namespace
    /// `default` for all queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, example = json!(["job_01jq8x3f6qf7v8k2b3c4d5e6f7"]), nullable = false)]
    jobs: Option<Vec<JobId>>,
}

/// So many damaged jobs are named at most.
const NAMED_MAX: usize = 20;

/// What was checked.
#[derive(Serialize, ToSchema)]
pub(crate) struct Checks {
    /// `ok`, `full`, `failed` or `slow`: whether the store can take work.
    #[schema(value_type = String, example = "ok")]
    store: &'static str,
    /// `ok`, or `draining`: whether the server takes new work.
    #[schema(value_type = String, example = "ok")]
    intake: &'static str,
}

/// Tell whether the process lives.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "server",
    responses((status = 200, description = "It does.", body = Health, content_type = "application/json"))
)]
pub(crate) async fn healthz() -> Response {
    json(StatusCode::OK, render(&Health { status: "ok" }))
}

/// Tell whether the server can take work: the store can write, and no shutdown is under way.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "server",
    responses(
        (status = 200, description = "It can.", body = Readiness, content_type = "application/json"),
        (status = 503, description = "It cannot.", body = Readiness, content_type = "application/json"),
    )
)]
pub(crate) async fn readyz(State(api): State<Api>, admitted: Option<Extension<Admitted>>) -> Response {
    let store = if api.node.failed().is_some() {
        "failed"
    } else {
        match tokio::time::timeout(CHECK_TIME, api.node.store().check()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(StoreError::DiskFull)) => "full",
            Ok(Err(_)) => "failed",
            Err(_) => "slow",
        }
    };
    let intake = if api.node.draining() { "draining" } else { "ok" };
    let ready = store == "ok" && intake == "ok";
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let checks = Checks { store, intake };
    let all = match admitted {
        Some(Extension(Admitted::Key(key))) => key.is_operator(),
        Some(Extension(Admitted::Guest)) => false,
        None => !api.node.has_keys(),
    };
    let damaged = damaged(&api, all);
    json(
        status,
        render(&Readiness {
            ready,
            checks,
            damaged,
        }),
    )
}

/// The jobs that were set aside, if any; named to who may see all.
fn damaged(api: &Api, named: bool) -> Option<Damaged> {
    let (jobs, count) = api.node.store().vitals()?.damaged(NAMED_MAX);
    (count > 0).then(|| Damaged {
        count,
        jobs: named.then_some(jobs),
    })
}
