//! The documents of webhooks.

use raincheck_core::batch::BatchId;
use raincheck_core::delivery::{Delivery, DeliveryId, Stage};
use raincheck_core::id::JobId;
use raincheck_core::secret::SigningSecrets;
use raincheck_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::webhooks::sign::written;

/// What pushes and webhooks are signed with.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(crate) struct SecretDocument {
    /// The secret, as receivers take it (Standard Webhooks).
    #[schema(example = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
    secret: String,
    /// Since when it is the secret.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when everything is signed with a former secret as well; null where only this one signs.
    #[schema(value_type = Option<String>, format = DateTime)]
    former_until: Option<Timestamp>,
}

impl SecretDocument {
    /// The document as it is at `now`.
    pub(crate) fn of(secrets: &SigningSecrets, now: Timestamp) -> Self {
        Self {
            secret: written(&secrets.current),
            created_at: secrets.since,
            former_until: secrets.both_until(now),
        }
    }
}

/// The states of a webhook.
pub(crate) const DELIVERY_STATES: [&str; 3] = ["pending", "delivered", "abandoned"];

/// A stage by its name.
pub(crate) const fn state_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Pending { .. } => DELIVERY_STATES[0],
        Stage::Delivered => DELIVERY_STATES[1],
        Stage::Abandoned => DELIVERY_STATES[2],
    }
}

/// A webhook and how far it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryDocument<'a> {
    /// Its name, and the `webhook-id` of every try.
    id: String,
    /// The job that it tells of, or null.
    #[schema(value_type = Option<String>)]
    job: Option<JobId>,
    /// The batch that it tells of, or null.
    #[schema(value_type = Option<String>)]
    batch: Option<BatchId>,
    /// What it tells: `job.succeeded`, `job.failed`, `job.cancelled`, `job.expired` or `batch.completed`.
    r#type: &'static str,
    /// Where it is sent.
    url: &'a str,
    /// `pending`, `delivered` or `abandoned`.
    state: &'static str,
    /// How often it was sent, or is being sent; a time at which its host had no room does not count.
    tries: u32,
    /// When the job or the batch ended.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it is tried next, or null.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
    /// What the last try came to, or null.
    last: Option<TryDocument<'a>>,
}

/// What a try came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryTry)]
pub(crate) struct TryDocument<'a> {
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The receiver's status, where it answered.
    status: Option<u16>,
    /// Why it does not count.
    error: Option<&'a str>,
}

/// A page of webhooks, newest job first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Deliveries)]
pub(crate) struct DeliveriesDocument<'a> {
    pub(crate) deliveries: Vec<DeliveryDocument<'a>>,
    /// Ask with `cursor=` this for the next page; null where nothing follows.
    pub(crate) cursor: Option<String>,
}

impl<'a> DeliveryDocument<'a> {
    /// The document of a delivery.
    pub(crate) fn of(delivery: &'a Delivery) -> Self {
        let last = delivery.last.as_ref();
        Self {
            id: delivery.id.to_string(),
            job: delivery.id.job(),
            batch: match delivery.id {
                DeliveryId::Job { .. } => None,
                DeliveryId::Batch(batch) => Some(batch),
            },
            r#type: delivery.event.name(),
            url: &delivery.url,
            state: state_of(delivery.stage),
            tries: delivery.sent(),
            created_at: delivery.created_at,
            next_at: delivery.next_at(),
            last: last.map(|last| TryDocument {
                at: last.at,
                status: last.status,
                error: last.error.as_deref(),
            }),
        }
    }
}
