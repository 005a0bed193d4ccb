//! `raincheck queue list`.

use clap::Args;
use raincheck::core::time::Timestamp;

use crate::document::{QueueDocument, instant};
use crate::exit::Failed;
use crate::pages::Listing;
use crate::session::Session;
use crate::table::Value;

const EXAMPLES: &str = "\
In a pipe: name, worker, since when paused, and the numbers of jobs that are scheduled, queued,
running, succeeded, failed, cancelled and expired.

Examples:
  raincheck queue list
  raincheck queue list --json | jq -r '.[] | select(.counts.failed > 0) | .name'";

/// Lists the queues and what is in them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {}

impl List {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let listing: Listing<'_, QueueDocument> = Listing {
            path: "/v1/queues",
            field: "queues",
            filter: &[],
            columns: &[
                "NAME",
                "WORKER",
                "PAUSED",
                "SCHEDULED",
                "QUEUED",
                "RUNNING",
                "SUCCEEDED",
                "FAILED",
                "CANCELLED",
                "EXPIRED",
            ],
            row,
            id: |queue| &queue.name,
            none: &format!(
                "There is no queue yet. Create one: {}",
                session.command("queue set NAME worker=pull")
            ),
        };
        listing.show_whole(session).await
    }
}

fn row(queue: &QueueDocument, now: Option<Timestamp>) -> Vec<Value> {
    let paused = queue
        .paused
        .map_or_else(|| "-".to_owned(), |since| instant(since, now));
    let mut row = vec![
        Value::text(&queue.name),
        Value::text(queue.worker_kind()),
        Value::text(&paused),
    ];
    let counts = &queue.counts;
    let counts = [
        counts.scheduled,
        counts.queued,
        counts.running,
        counts.succeeded,
        counts.failed,
        counts.cancelled,
        counts.expired,
    ];
    row.extend(counts.map(Value::count));
    row
}
