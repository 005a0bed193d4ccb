//! `raincheck batch results`: what the jobs of a batch gave, in the order in which they ended.
//!
//! Invariant: every result is written once, across disconnects and restarts of the server.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::batch_id;
use super::get::read;
use crate::client::{NoAnswer, Opened, Request};
use crate::exit::Failed;
use crate::output::{Shape, visible};
use crate::refused::refused;
use crate::session::{About, Session};

/// How long a server that was there may stay away before we give up.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How long we wait before we come back.
const PAUSE: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
One JSON object a line, as the server sends it; on a terminal a line of text. Waits for the batch
to be done, unless told otherwise. A result has a seq, by which --after goes on.

Examples:
  raincheck batch results batch_01jd8zq3k5e7rv2m4n6p8s0t1w > results.ndjson
  raincheck batch results batch_01jd8zq3k5e7rv2m4n6p8s0t1w --after 1200 --no-follow";

/// Writes the results of a batch.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Results {
    /// The batch
    #[arg(value_parser = batch_id)]
    batch: String,
    /// Only results behind the one with this seq
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// End when all that ended so far is written
    #[arg(long)]
    no_follow: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResultLine {
    seq: u64,
    id: String,
    index: u64,
    outcome: String,
    status: Option<u16>,
    text: Option<String>,
    json: Option<serde_json::Value>,
    error: Option<crate::document::ErrorDocument>,
}

impl Results {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let (mut after, mut met) = (self.after, false);
        let mut away_since: Option<Instant> = None;
        loop {
            let before = after;
            match self.connection(session, &mut after).await? {
                Ok(()) => {
                    met = true;
                    away_since = None;
                    // A server that leaves ends the stream as well; only an empty rest of a batch that is done is all.
                    let all = after == before && read(session, &self.batch).await?.1.done;
                    if self.no_follow || all {
                        return Ok(());
                    }
                }
                Err(error) if !met && after == before => return Err(session.unanswered(&error)),
                Err(error) => {
                    met = true;
                    if after > before {
                        away_since = None;
                    }
                    let since = *away_since.get_or_insert_with(|| {
                        session
                            .output
                            .note("the server is away; waiting for it to come back");
                        Instant::now()
                    });
                    if since.elapsed() >= AWAY_MAX {
                        let again = format!("batch results {} --after {after}", self.batch);
                        let failed = session.unanswered(&error);
                        return Err(failed.next(format!("Go on: {}", session.command(&again))));
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Writes what one connection gives.
    async fn connection(&self, session: &Session, after: &mut u64) -> Result<Result<(), NoAnswer>, Failed> {
        let follow = !self.no_follow;
        let path = format!("/v1/batches/{}/results?after={after}&follow={follow}", self.batch);
        each_line(session, path, async |line| {
            // A blank line only keeps the connection open.
            if !line.trim_ascii().is_empty() {
                *after = write(session, line)?;
            }
            Ok(())
        })
        .await
    }
}

/// Hands on each line of an answer, as it comes; within, why the connection ended before the answer did.
pub(crate) async fn each_line(
    session: &Session,
    path: String,
    mut take: impl AsyncFnMut(&[u8]) -> Result<(), Failed>,
) -> Result<Result<(), NoAnswer>, Failed> {
    let mut lines = match session.client.open(Request::get(path)).await {
        Ok(Opened::Lines(lines)) => lines,
        Ok(Opened::Whole(answer)) => return Err(refused(session, &answer, About::Server)),
        Err(error) => return Ok(Err(error)),
    };
    loop {
        match lines.next().await {
            Ok(Some(line)) => take(&line).await?,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Writes a result; its place.
fn write(session: &Session, line: &[u8]) -> Result<u64, Failed> {
    let read: ResultLine = serde_json::from_slice(line).map_err(|error| Failed::unreadable(&error))?;
    let output = session.output;
    match output.shape {
        Shape::Json | Shape::Plain => output.bytes(line)?,
        Shape::Quiet => output.line(&read.id)?,
        Shape::Terminal => output.line(&read.shown())?,
    }
    Ok(read.seq)
}

impl ResultLine {
    /// The result as people read it.
    fn shown(&self) -> String {
        const WIDTH: usize = 60;
        let what = match (&self.error, &self.json, &self.text) {
            (Some(error), _, _) if self.outcome == "failed" => error.text(),
            (_, Some(json), _) => json.to_string(),
            (_, None, Some(text)) => visible(text).into_owned(),
            (_, None, None) => String::new(),
        };
        let cut: String = what.chars().take(WIDTH).collect();
        let dots = if cut.len() < what.len() { "…" } else { "" };
        let status = self.status.map(|status| status.to_string()).unwrap_or_default();
        format!(
            "{:>6}  line {:<6}  {}  {:<9}  {status:<3}  {}{dots}",
            self.seq,
            self.index,
            self.id,
            self.outcome,
            visible(&cut)
        )
    }
}
