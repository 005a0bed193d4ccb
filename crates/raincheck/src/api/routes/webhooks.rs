//! Webhooks: what they are signed with, how far they are, and sending one again.
//!
//! Invariant: a secret is in the body of these answers and nowhere else; no cache keeps it.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use raincheck_core::delivery::DeliveryId;

use crate::api::Api;
use crate::api::answer::{draining, json, render};
use crate::api::code::Code;
use crate::api::extract::Scope;
use crate::api::prefer::no_query;
use crate::api::problem::Problem;
use crate::api::wire::page::{LIMIT_DEFAULT, limit};
use crate::api::wire::webhook::{DeliveriesDocument, DeliveryDocument, SecretDocument};

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

/// List the webhooks of the jobs that are kept, newest job first.
#[utoipa::path(
    get, path = "/v1/deliveries", operation_id = "listDeliveries", tag = "webhooks",
    params(
        ("limit" = Option<u32>, Query, description = "At most so many, 1 to 200. Unless given, 50.",
         minimum = 1, maximum = 200, example = 50),
        ("cursor" = Option<String>, Query, description = "The `cursor` of the page before, opaque."),
    ),
    responses((status = 200, description = "A page.", body = DeliveriesDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn list_deliveries(
    State(api): State<Api>,
    scope: Scope,
    request: Request,
) -> Result<Response, Problem> {
    let (limit, before) = page(request.uri().query().unwrap_or_default())?;
    drop(request);
    // One more tells whether anything follows.
    let mut found = api
        .node
        .store()
        .deliveries(&scope.namespace, before, limit + 1)
        .await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let cursor = found.last().filter(|_| more).map(|last| last.id.to_string());
    let deliveries = found.iter().map(DeliveryDocument::of).collect();
    Ok(json(
        StatusCode::OK,
        render(&DeliveriesDocument { deliveries, cursor }),
    ))
}

fn page(query: &str) -> Result<(u32, Option<DeliveryId>), Problem> {
    let (mut size, mut before) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let wrong = |why: &str| Problem::bad_request(format!("?{}= {why}", crate::api::text::short(name)));
        match name {
            "limit" if size.is_none() => size = Some(limit(value).map_err(|why| wrong(&why))?),
            "cursor" if before.is_none() => {
                let id = value.parse();
                before = Some(id.map_err(|_| wrong("takes the cursor of the page before, as it was given"))?);
            }
            "limit" | "cursor" => return Err(wrong("is given twice")),
            _ => return Err(wrong("does not exist here; there are limit and cursor")),
        }
    }
    Ok((size.unwrap_or(LIMIT_DEFAULT), before))
}

/// Send a webhook again, at once, however it stands; its `webhook-id` stays the same.
#[utoipa::path(
    post, path = "/v1/deliveries/{delivery}/redeliver", operation_id = "redeliver", tag = "webhooks",
    params(("delivery" = String, Path, description = "The webhook.")),
    responses((status = 200, description = "It is on its way.", body = DeliveryDocument<'_>,
               content_type = "application/json"))
)]
pub(crate) async fn redeliver(
    State(api): State<Api>,
    scope: Scope,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    no_query(&parts)?;
    let unknown = || {
        let detail =
            "no webhook has this id: jobs that were deleted or have outlived their retention have none";
        Problem::new(Code::UnknownDelivery, detail)
    };
    let id = parts.uri.path().split('/').nth(3).unwrap_or_default();
    let id: DeliveryId = id.parse().map_err(|_| unknown())?;
    let asked = api.node.redeliver(&scope.namespace, id).await?;
    let asked = asked.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, render(&DeliveryDocument::of(&asked))))
}
