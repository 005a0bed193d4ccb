//! `raincheck webhook deliveries`: what was sent, is on its way, or was given up.

use clap::Args;
use raincheck::core::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Request, encoded};
use crate::document::instant;
use crate::exit::Failed;
use crate::named::Named;
use crate::output::Shape;
use crate::session::{About, Session};
use crate::table::{Table, Value};

const EXAMPLES: &str = "\
Those of the jobs that are kept, newest job first. In a pipe: id, what it tells, state, tries, when it is tried next
or was tried last, what that try came to, and its URL.

Examples:
  raincheck webhook deliveries --state abandoned
  raincheck webhook deliveries --job job_01jd8zq3k5e7rv2m4n6p8s0t1w --json | jq '.[].last'";

/// The most webhooks on one page.
const PAGE_MAX: u32 = 200;

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
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    deliveries: Vec<&'a RawValue>,
    cursor: Option<String>,
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
    /// Runs the command. Each page is written as it comes, but on a terminal, where columns line up over all.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let output = session.output;
        let mut left = if self.all { u32::MAX } else { self.limit };
        let mut cursor = None;
        let mut table = Table::new(&["ID", "TELLS", "STATE", "TRIES", "TRIED", "ANSWER", "URL"]);
        let mut found = 0_u64;
        if output.shape == Shape::Json {
            output.bytes(b"[")?;
        }
        while left > 0 {
            let path = self.path(left.min(PAGE_MAX), cursor.as_deref());
            let answer = session.call(Request::get(path), About::Server).await?;
            let page: Page<'_> = read(&answer.body)?;
            let now = answer.date().filter(|_| output.shape == Shape::Terminal);
            for raw in &page.deliveries {
                found += 1;
                if output.shape == Shape::Json {
                    let comma = if found > 1 { "," } else { "" };
                    output.bytes(format!("{comma}{}", raw.get()).as_bytes())?;
                    continue;
                }
                let delivery: DeliveryDocument = read(raw.get().as_bytes())?;
                if output.shape == Shape::Quiet {
                    output.line(&delivery.id)?;
                } else {
                    table.row(row(&delivery, now));
                }
            }
            if output.shape == Shape::Plain {
                table.flush(output)?;
            }
            left -= u32::try_from(page.deliveries.len()).unwrap_or(left).min(left);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        if output.shape == Shape::Json {
            return output.line("]");
        }
        table.flush(output)?;
        if found == 0 {
            output.note("No webhook matches.");
        } else if cursor.is_some() {
            output.note("There are more: --limit N, or --all");
        }
        Ok(())
    }

    /// The page to ask for; the server judges the filter.
    fn path(&self, limit: u32, cursor: Option<&str>) -> String {
        let mut path = format!("/v1/deliveries?limit={limit}");
        for (name, value) in [
            ("job", self.job.as_ref().map(|job| &*job.id)),
            ("state", self.state.as_deref()),
            ("cursor", cursor),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        path
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(json).map_err(|error| Failed::unreadable(&error))
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
