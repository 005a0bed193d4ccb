//! `raincheck job list`.

use clap::Args;
use raincheck::clock::SystemClock;
use raincheck::core::clock::Clock as _;
use raincheck::core::time::{Timestamp, parse_duration};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Request, encoded};
use crate::document::{JobDocument, instant};
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};
use crate::table::{Table, Value};

const EXAMPLES: &str = "\
Newest first. In a pipe: id, queue, state, attempt, when it was submitted, and its tags.

Examples:
  raincheck job list --state failed
  raincheck job list --queue thumbs --tag eu --after 1h --all
  raincheck job list --state queued --group tenant-7 -q --all | xargs -n1 raincheck job get";

/// The most jobs on one page.
const PAGE_MAX: u32 = 200;

/// Lists jobs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Only jobs of this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Only jobs that stand so: scheduled, queued, running, succeeded, failed, cancelled, expired
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only jobs with this label
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only jobs of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only jobs of this batch
    #[arg(long, value_name = "BATCH")]
    batch: Option<String>,
    /// Only jobs submitted after this: 2026-11-21T06:00:00Z, @1795240800, or so long ago: 1h
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Only jobs submitted before this
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// At most so many jobs
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    jobs: Vec<&'a RawValue>,
    cursor: Option<String>,
}

impl List {
    /// Runs the command. Each page is written as it comes, but on a terminal, where columns line up over all.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let output = session.output;
        let filter = self.filter();
        let mut left = if self.all { u32::MAX } else { self.limit };
        let mut cursor = None;
        let mut table = Table::new(&["ID", "QUEUE", "STATE", "ATTEMPT", "SUBMITTED", "TAGS"]);
        let mut found = 0_u64;
        if output.shape == Shape::Json {
            output.bytes(b"[")?;
        }
        while left > 0 {
            let path = path(&filter, left.min(PAGE_MAX), cursor.as_deref());
            let answer = session.call(Request::get(path), About::Server).await?;
            let page: Page<'_> = read(&answer.body)?;
            let now = answer.date().filter(|_| output.shape == Shape::Terminal);
            for raw in &page.jobs {
                found += 1;
                if output.shape == Shape::Json {
                    let comma = if found > 1 { "," } else { "" };
                    output.bytes(format!("{comma}{}", raw.get()).as_bytes())?;
                    continue;
                }
                let job: JobDocument = read(raw.get().as_bytes())?;
                if output.shape == Shape::Quiet {
                    output.line(&job.id)?;
                } else {
                    table.row(row(&job, now));
                }
            }
            if output.shape == Shape::Plain {
                table.flush(output)?;
            }
            left -= u32::try_from(page.jobs.len()).unwrap_or(left).min(left);
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
            output.note("No job matches.");
        } else if cursor.is_some() {
            output.note("There are more: --limit N, or --all");
        }
        Ok(())
    }

    /// The query's parameters; the server judges them.
    fn filter(&self) -> String {
        let time = |text: &Option<String>| {
            text.as_ref()
                .map(|text| ago(text).unwrap_or_else(|| text.clone()))
        };
        let mut filter = String::new();
        for (name, value) in [
            ("queue", self.queue.clone()),
            ("state", self.state.clone()),
            ("tag", self.tag.clone()),
            ("group", self.group.clone()),
            ("batch", self.batch.clone()),
            ("submitted_after", time(&self.after)),
            ("submitted_before", time(&self.before)),
        ] {
            if let Some(value) = value {
                filter.push_str(&format!("&{name}={}", encoded(&value)));
            }
        }
        filter
    }
}

/// The instant that lies so long back: `1h`.
pub(super) fn ago(text: &str) -> Option<String> {
    let span = parse_duration(text).ok()?;
    let now = SystemClock::new().now();
    let back = i64::try_from(span.as_millis()).ok()?;
    Some(Timestamp::from_millis(now.as_millis().saturating_sub(back)).to_string())
}

fn path(filter: &str, limit: u32, cursor: Option<&str>) -> String {
    let cursor = cursor.map(|cursor| format!("&cursor={}", encoded(cursor)));
    format!("/v1/jobs?limit={limit}{filter}{}", cursor.unwrap_or_default())
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(json).map_err(|error| Failed::unreadable(&error))
}

fn row(job: &JobDocument, now: Option<Timestamp>) -> Vec<Value> {
    vec![
        Value::text(&job.id),
        Value::text(&job.queue),
        Value::state(&job.state),
        Value::text(&job.attempt.to_string()),
        Value::text(&job.created_at.map(|at| instant(at, now)).unwrap_or_default()),
        Value::text(&job.tags.join(",")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reaches_the_server_as_it_was_typed() {
        assert_eq!(path("&tag=x", 7, Some("c1")), "/v1/jobs?limit=7&tag=x&cursor=c1");
        assert_eq!(ago("2026-11-21T06:00:00Z"), None);
        assert!(ago("1h").is_some_and(|then| then.parse::<Timestamp>().is_ok()));
    }
}
