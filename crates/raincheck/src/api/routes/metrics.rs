//! The server's numbers, for Prometheus.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::api::Api;
use crate::api::answer::NO_STORE;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::telemetry::Waiting;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Tell the server's numbers in the OpenMetrics text format, as Prometheus reads it.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "server",
    responses((
        status = 200, description = "What the server counts, of all namespaces.",
        body = String, content_type = "application/openmetrics-text",
    ))
)]
pub(crate) async fn metrics(State(api): State<Api>, _: Caller, _: NoQuery) -> Result<Response, Problem> {
    let waiting = Waiting {
        long_polls: api.waiters.taken(),
        streams: api.streams.open(),
    };
    let text = api.node.metrics().scrape(&api.node, waiting).await;
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    headers.insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}
