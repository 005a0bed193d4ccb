//! `raincheck job patch`.

use bytes::Bytes;
use clap::Args;
use http::Method;
use http::header::HeaderValue;
use serde_json::{Map, Value};

use crate::client::Request;
use crate::document::JobDocument;
use crate::exit::Failed;
use crate::named::Named;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
Only a job that was never started can be changed.

Examples:
  raincheck job patch job_01jd8zq3k5e7rv2m4n6p8s0t1w --priority 0
  raincheck job patch job_01jd8zq3k5e7rv2m4n6p8s0t1w --at 2026-11-21T06:00:00Z --tag eu --tag nightly
  raincheck job patch job_01jd8zq3k5e7rv2m4n6p8s0t1w --no-tags";

/// Changes a job that has not started.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Patch {
    /// The job: its id, or a link to it
    job: Named,
    /// 0 goes first, 9 last
    #[arg(long, value_name = "0-9", value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// Start no earlier than this instant: 2026-11-21T06:00:00Z, or @1795240800
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// A label instead of those it has; repeat it for several
    #[arg(long = "tag", value_name = "TAG", conflicts_with = "no_tags")]
    tags: Vec<String>,
    /// Remove all labels
    #[arg(long)]
    no_tags: bool,
}

impl Patch {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let session = &self.job.session(session);
        let mut change = Map::new();
        if let Some(priority) = self.priority {
            change.insert("priority".to_owned(), priority.into());
        }
        if let Some(at) = self.at {
            change.insert("run_at".to_owned(), at.into());
        }
        if self.no_tags || !self.tags.is_empty() {
            change.insert("tags".to_owned(), self.tags.into());
        }
        if change.is_empty() {
            return Err(
                Failed::usage("there is nothing to change").next("Give --priority, --at, --tag or --no-tags")
            );
        }
        let request = Request::new(Method::PATCH, self.job.path("", None)).body(
            Some(HeaderValue::from_static("application/json")),
            Bytes::from(Value::Object(change).to_string()),
        );
        let answer = session.call(request, About::Job(&self.job)).await?;
        let job: JobDocument = answer.json()?;
        job.write_brief(session.output, &answer)
    }
}
