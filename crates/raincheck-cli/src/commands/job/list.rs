//! `raincheck job list`.

use clap::Args;
use raincheck::clock::SystemClock;
use raincheck::core::clock::Clock as _;
use raincheck::core::time::{Timestamp, parse_duration};

use crate::document::{JobDocument, instant};
use crate::exit::Failed;
use crate::pages::{HowMuch, Listing};
use crate::session::Session;
use crate::table::Value;

const EXAMPLES: &str = "\
Newest first. In a pipe: id, queue, state, attempt, when it was submitted, and its tags.

Examples:
  raincheck job list --state failed
  raincheck job list --queue thumbs --tag eu --after 1h --all
  raincheck job list --state queued --group tenant-7 -q --all | xargs -n1 raincheck job get";

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
    #[command(flatten)]
    much: HowMuch,
}

impl List {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let time = |text: Option<String>| text.map(|text| ago(&text).unwrap_or(text));
        let listing: Listing<'_, JobDocument> = Listing {
            path: "/v1/jobs",
            field: "jobs",
            filter: &[
                ("queue", self.queue),
                ("state", self.state),
                ("tag", self.tag),
                ("group", self.group),
                ("batch", self.batch),
                ("submitted_after", time(self.after)),
                ("submitted_before", time(self.before)),
            ],
            columns: &["ID", "QUEUE", "STATE", "ATTEMPT", "SUBMITTED", "TAGS"],
            row,
            id: |job| &job.id,
            none: "No job matches.",
        };
        listing.show(self.much, session).await
    }
}

/// The instant that lies so long back: `1h`.
pub(super) fn ago(text: &str) -> Option<String> {
    let span = parse_duration(text).ok()?;
    let now = SystemClock::new().now();
    let back = i64::try_from(span.as_millis()).ok()?;
    Some(Timestamp::from_millis(now.as_millis().saturating_sub(back)).to_string())
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
    fn a_span_is_the_instant_that_lies_so_long_back() {
        assert_eq!(ago("2026-11-21T06:00:00Z"), None);
        assert!(ago("1h").is_some_and(|then| then.parse::<Timestamp>().is_ok()));
    }
}
