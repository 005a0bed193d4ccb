//! `raincheck audit list`.

use std::time::Duration;

use clap::Args;
use raincheck::clock::SystemClock;
use raincheck::core::clock::Clock as _;
use raincheck::core::time::{Timestamp, parse_duration};
use serde::Deserialize;

use crate::document::instant;
use crate::exit::Failed;
use crate::pages::{HowMuch, Listing};
use crate::session::Session;
use crate::table::Value;

const EXAMPLES: &str = "\
Newest first. In a pipe: when, who (a key's id, or local), from where, namespace, what, on what, done or the
code of the refusal, and the request's id. The server keeps them for --audit-keep, 90 days unless set.

Examples:
  raincheck audit list --since 24h
  raincheck audit list --key Zk3v9QxT --all
  raincheck audit list --action createKey --json | jq -r '.[] | [.at, .key, .target] | @tsv'";

/// Lists what administrators did.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Only those of this key: its id; or local, which is who needed no key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only this operation, by its name in the OpenAPI document, such as putQueue
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// Only those since then: a time such as 2026-11-21T02:00:00Z, or so long ago, such as 24h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    #[command(flatten)]
    much: HowMuch,
}

/// An instant, or so long ago.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(span) = parse_duration(text) {
        return Ok(ago(span));
    }
    let wrong = |_| "neither a time such as 2026-11-21T02:00:00Z nor a span such as 24h".to_owned();
    text.parse().map_err(wrong)
}

fn ago(span: Duration) -> Timestamp {
    let now = SystemClock::new().now();
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(millis).max(0))
}

/// An act, as far as it is used here.
#[derive(Debug, Deserialize)]
struct ActDocument {
    at: Timestamp,
    key: String,
    address: Option<String>,
    namespace: String,
    action: String,
    target: String,
    code: Option<String>,
    request_id: Option<String>,
}

impl List {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let listing: Listing<'_, ActDocument> = Listing {
            path: "/v1/audit",
            field: "acts",
            filter: &[
                ("key", self.key),
                ("action", self.action),
                ("since", self.since.map(|since| since.to_string())),
            ],
            columns: &[
                "AT",
                "WHO",
                "FROM",
                "NAMESPACE",
                "ACTION",
                "ON",
                "OUTCOME",
                "REQUEST",
            ],
            row,
            id: |act| act.request_id.as_deref().unwrap_or("-"),
            none: "Nothing was recorded that matches.",
        };
        listing.show(self.much, session).await
    }
}

fn row(act: &ActDocument, now: Option<Timestamp>) -> Vec<Value> {
    vec![
        Value::text(&instant(act.at, now)),
        Value::text(&act.key),
        Value::text(act.address.as_deref().unwrap_or("-")),
        Value::text(&act.namespace),
        Value::text(&act.action),
        Value::text(&act.target),
        Value::text(act.code.as_deref().unwrap_or("done")),
        Value::text(act.request_id.as_deref().unwrap_or("-")),
    ]
}
