//! `raincheck queue list`.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Request;
use crate::document::{QueueDocument, instant};
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};
use crate::table::{Table, Value};

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

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    queues: Vec<&'a RawValue>,
}

impl List {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let output = session.output;
        let answer = session.call(Request::get("/v1/queues"), About::Server).await?;
        let listing: Listing<'_> = read(&answer.body)?;
        if output.shape == Shape::Json {
            let queues: Vec<_> = listing.queues.iter().map(|queue| queue.get()).collect();
            return output.line(&format!("[{}]", queues.join(",")));
        }
        let now = answer.date().filter(|_| output.shape == Shape::Terminal);
        let mut table = Table::new(&[
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
        ]);
        for queue in &listing.queues {
            let queue: QueueDocument = read(queue.get().as_bytes())?;
            if output.shape == Shape::Quiet {
                output.line(&queue.name)?;
                continue;
            }
            let counts = queue.counts;
            let mut row = vec![
                Value::text(&queue.name),
                Value::text(queue.worker_kind()),
                Value::text(
                    &queue
                        .paused
                        .map_or_else(|| "-".to_owned(), |since| instant(since, now)),
                ),
            ];
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
            table.row(row);
        }
        if listing.queues.is_empty() {
            output.note(&format!(
                "There is no queue yet. Create one: {}",
                session.command("queue set NAME worker=pull")
            ));
        }
        table.write(output)
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failed> {
    serde_json::from_slice(json).map_err(|error| Failed::unreadable(&error))
}
