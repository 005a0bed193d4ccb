//! `raincheck webhook deliveries`: what was sent, is on its way, or was given up.

use clap::Args;
use raincheck::core::time::Timestamp;
use serde::Deserialize;

use crate::document::instant;
use crate::exit::Failed;
use crate::named::Named;
use crate::pages::{HowMuch, Listing};
use crate::session::Session;
use crate::table::Value;

const EXAMPLES: &str = "\
Those of the jobs that are kept, newest job first. In a pipe: id, what it tells, state, tries, when it is tried next
or was tried last, what that try came to, and its URL.

Examples:
  raincheck webhook deliveries --state abandoned
  raincheck webhook deliveries --job job_01jd8zq3k5e7rv2m4n6p8s0t1w --json | jq '.[].last'";

/// Lists webhooks.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Deliveries {
    /// Only those of this job
    #[arg(long, value_name = "JOB")]
    job: Option<Named>,
    /// Only those that stand so: pending, delivered, abandoned
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    #[command(flatten)]
    much: HowMuch,
}

/// A webhook, as far as it is used here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeliveryDocument {
    /// Its name.
    pub(super) id: String,
    r#type: String,
    url: String,
    /// `pending`, `delivered` or `abandoned`.
    pub(super) state: String,
    tries: u32,
    next_at: Option<Timestamp>,
    last: Option<TryDocument>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TryDocument {
    at: Option<Timestamp>,
    status: Option<u16>,
    error: Option<String>,
}

impl Deliveries {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let listing: Listing<'_, DeliveryDocument> = Listing {
            path: "/v1/deliveries",
            field: "deliveries",
            filter: &[("job", self.job.map(|job| job.id)), ("state", self.state)],
            columns: &["ID", "TELLS", "STATE", "TRIES", "TRIED", "ANSWER", "URL"],
            row,
            id: |delivery| &delivery.id,
            none: "No webhook matches.",
        };
        listing.show(self.much, session).await
    }
}

fn row(delivery: &DeliveryDocument, now: Option<Timestamp>) -> Vec<Value> {
    let last = delivery.last.as_ref();
    let tried = delivery.next_at.or(last.and_then(|last| last.at));
    let status = last.and_then(|last| last.status).map(|status| status.to_string());
    let answer = status.or_else(|| last.and_then(|last| last.error.clone()));
    vec![
        Value::text(&delivery.id),
        Value::text(&delivery.r#type),
        Value::state(&delivery.state),
        Value::text(&delivery.tries.to_string()),
        Value::text(&tried.map(|at| instant(at, now)).unwrap_or_default()),
        Value::text(answer.as_deref().unwrap_or("-")),
        Value::text(&delivery.url),
    ]
}
