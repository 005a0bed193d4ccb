//! What pushes and webhooks are signed with, for those who verify them.
//!
//! Invariant: a secret is in the body of these answers and nowhere else; no cache keeps it.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use crate::api::Api;
use crate::api::answer::{draining, json, render};
use crate::api::extract::Scope;
use crate::api::prefer::no_query;
use crate::api::problem::Problem;
use crate::api::wire::webhook::SecretDocument;

/// The secret by which receivers verify pushes and webhooks (Standard Webhooks); made when it is first needed.
#[utoipa::path(
    get, path = "/v1/webhook-secret", operation_id = "getWebhookSecret", tag = "webhooks",
    responses((status = 200, description = "The secret.", body = SecretDocument, content_type = "application/json"))
)]
pub(crate) async fn get_secret(
    State(api): State<Api>,
    scope: Scope,
    request: Request,
) -> Result<Response, Problem> {
    no_query(&request.into_parts().0)?;
    let secrets = api.node.webhook_secret(&scope.namespace).await?;
    let document = SecretDocument::of(&secrets, api.node.store().now());
    Ok(json(StatusCode::OK, render(&document)))
}

/// Replace the secret. For 24 hours everything is signed with the former one as well.
#[utoipa::path(
    post, path = "/v1/webhook-secret/rotate", operation_id = "rotateWebhookSecret", tag = "webhooks",
    responses((status = 200, description = "The new secret.", body = SecretDocument, content_type = "application/json"))
)]
pub(crate) async fn rotate_secret(
    State(api): State<Api>,
    scope: Scope,
    request: Request,
) -> Result<Response, Problem> {
    no_query(&request.into_parts().0)?;
    if api.node.draining() {
        return Err(draining());
    }
    let secrets = api.node.rotate_webhook_secret(&scope.namespace).await?;
    let document = SecretDocument::of(&secrets, api.node.store().now());
    Ok(json(StatusCode::OK, render(&document)))
}
