//! Whether the server lives, and whether it can take work.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use raincheck_core::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::answer::{json, render};

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
}

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
pub(crate) async fn readyz(State(api): State<Api>) -> Response {
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
    json(status, render(&Readiness { ready, checks }))
}
