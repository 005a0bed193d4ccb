//! Webhooks: what they are signed with, how far they are, and sending one again.
//!
//! Invariant: a secret is in the body of these answers and nowhere else; no cache keeps it.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use raincheck_core::delivery::{Delivery, DeliveryId, Source};
use raincheck_core::id::JobId;
use raincheck_core::name::Namespace;

use crate::api::Api;
use crate::api::answer::{draining, json, render};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::extract::NoBody;
use crate::api::problem::Problem;
use crate::api::query::{NoQuery, no_query, pairs};
use crate::api::text::short;
use crate::api::wire::page::{LIMIT_DEFAULT, limit};
use crate::api::wire::webhook::{
    DELIVERY_STATES, DeliveriesDocument, DeliveryDocument, SecretDocument, state_of,
};

/// The secret by which receivers verify pushes and webhooks (Standard Webhooks); made when it is first needed.
#[utoipa::path(
    get, path = "/v1/webhook-secret", operation_id = "getWebhookSecret", tag = "webhooks",
    responses((status = 200, description = "The secret.", body = SecretDocument, content_type = "application/json"))
)]
pub(crate) async fn get_secret(
    State(api): State<Api>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Problem> {
    let secrets = api.node.webhook_secret(&caller.namespace).await?;
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
    caller: Caller,
    _: NoQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    if api.node.draining() {
        return Err(draining());
    }
    let secrets = caller.node(&api).rotate_webhook_secret(&caller.namespace).await?;
    let document = SecretDocument::of(&secrets, api.node.store().now());
    Ok(json(StatusCode::OK, render(&document)))
}

/// List the webhooks of the jobs and batches that are kept, newest first.
#[utoipa::path(
    get, path = "/v1/deliveries", operation_id = "listDeliveries", tag = "webhooks",
    params(
        ("job" = Option<String>, Query, description = "Only those of this job."),
        ("state" = Option<String>, Query, description = "Only those that stand so: `pending`, `delivered` or \
         `abandoned`. A page may then be short, or empty, although more follow.", example = "abandoned"),
        ("limit" = Option<u32>, Query, description = "At most so many, 1 to 200. Unless given, 50.",
         minimum = 1, maximum = 200, example = 50),
        ("cursor" = Option<String>, Query, description = "The `cursor` of the page before, opaque."),
    ),
    responses((status = 200, description = "A page.", body = DeliveriesDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn list_deliveries(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let page = DeliveryPage::read(request.uri().query())?;
    drop(request);
    let (found, cursor) = search(&api, &caller.namespace, &page).await?;
    let document = DeliveriesDocument {
        deliveries: found.iter().map(DeliveryDocument::of).collect(),
        cursor: cursor.map(|cursor| cursor.to_string()),
    };
    Ok(json(StatusCode::OK, render(&document)))
}

/// So many are looked at for one page at most: a filter may match none of a million.
const LOOKED_AT_MAX: usize = 2_000;

/// What matches, and where the next page begins.
async fn search(
    api: &Api,
    ns: &Namespace,
    page: &DeliveryPage,
) -> Result<(Vec<Delivery>, Option<DeliveryId>), Problem> {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    // Those of one job lie side by side: they are looked for from just above it.
    let above = |job: JobId| DeliveryId::Job {
        job: JobId::from_parts(job.seq() + 1, 0),
        source: Source::Job,
    };
    let mut before = page.before.or_else(|| page.job.map(above));
    // One more tells whether anything follows.
    let slice = page.limit + 1;
    loop {
        let read = api.node.store().deliveries(ns, before, slice).await?;
        looked_at += read.len();
        let all = read.len() < slice as usize;
        for delivery in read {
            if page.job.is_some_and(|job| delivery.id.job() != Some(job)) {
                return Ok((found, None));
            }
            if page.state.is_none_or(|state| state == state_of(delivery.stage)) {
                if found.len() == page.limit as usize {
                    return Ok((found, before));
                }
                before = Some(delivery.id);
                found.push(delivery);
            } else {
                before = Some(delivery.id);
            }
        }
        if all {
            return Ok((found, None));
        }
        if looked_at >= LOOKED_AT_MAX {
            return Ok((found, before));
        }
    }
}

/// The page that a query asks for.
struct DeliveryPage {
    job: Option<JobId>,
    state: Option<&'static str>,
    limit: u32,
    before: Option<DeliveryId>,
}

impl DeliveryPage {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut seen: Vec<&str> = Vec::new();
        let mut page = Self {
            job: None,
            state: None,
            limit: LIMIT_DEFAULT,
            before: None,
        };
        for (name, value) in pairs(query) {
            let wrong = |why: &str| Problem::bad_request(format!("?{}= {why}", short(name)));
            if seen.contains(&name) {
                return Err(wrong("is given twice"));
            }
            seen.push(name);
            match name {
                "job" => page.job = Some(value.parse().map_err(|_| wrong("takes the id of a job"))?),
                "state" => {
                    let known = DELIVERY_STATES.into_iter().find(|state| *state == value);
                    page.state =
                        Some(known.ok_or_else(|| wrong("takes one of pending, delivered and abandoned"))?);
                }
                "limit" => page.limit = limit(value).map_err(|why| wrong(&why))?,
                "cursor" => {
                    let id = value.parse();
                    page.before =
                        Some(id.map_err(|_| wrong("takes the cursor of the page before, as it was given"))?);
                }
                _ => {
                    return Err(wrong(
                        "does not exist here; there are job, state, limit and cursor",
                    ));
                }
            }
        }
        Ok(page)
    }
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
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    no_query(&parts)?;
    NoBody::read(&api, content).await?;
    let unknown = || {
        let detail =
            "no webhook has this id: jobs that were deleted or have outlived their retention have none";
        Problem::new(Code::UnknownDelivery, detail)
    };
    let id = parts.uri.path().split('/').nth(3).unwrap_or_default();
    let id: DeliveryId = id.parse().map_err(|_| unknown())?;
    let asked = caller.node(&api).redeliver(&caller.namespace, id).await?;
    let asked = asked.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, render(&DeliveryDocument::of(&asked))))
}
