//! The line that the log has of a request, at debug level.
//!
//! Invariant: it holds no query, no header and no body, which may hold secrets.

use std::net::IpAddr;

use axum::response::Response;
use http::header::HeaderValue;
use http::{Method, Request};
use tokio::time::Instant;

use super::answer::RAINCHECK_JOB;
use super::text;
use crate::server::Client;

/// What the log says of a request: never its query, headers or body.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    path: String,
    /// Who asks, where that is told apart.
    client: Option<IpAddr>,
    received: Instant,
}

impl Asked {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            path: text::short(request.uri().path()).into_owned(),
            client: request.extensions().get::<Client>().map(|client| client.address),
            received: Instant::now(),
        }
    }

    /// One line for each request.
    pub(super) fn log(&self, response: &Response, request_id: &HeaderValue) {
        let status = response.status().as_u16();
        let millis = u64::try_from(self.received.elapsed().as_millis()).unwrap_or(u64::MAX);
        let job = response
            .headers()
            .get(RAINCHECK_JOB)
            .and_then(|id| id.to_str().ok());
        let client = self.client.map(tracing::field::display);
        let request_id = request_id.to_str().unwrap_or_default();
        tracing::debug!(request_id, client, method = %self.method, path = %self.path, status, millis, job.id = job, "answered");
    }
}
