//! `raincheck job retry`: a new job with the same input and options.

use clap::Args;

use super::many::{Deed, Which};
use crate::client::Request;
use crate::document::JobDocument;
use crate::exit::Failed;
use crate::redeem;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
The finished job stays as it is; the new one has an id of its own, which is printed.

With a filter, all failed jobs that match (or those in the --state given) are submitted again, each
once, after a question.

Examples:
  raincheck job retry --queue reports --after 1h --yes
  raincheck job result $(raincheck job retry job_01jd8zq3k5e7rv2m4n6p8s0t1w -q) --wait";

const DEED: Deed = Deed {
    action: "retry",
    ask: "Submit again",
    done: "retried",
};

/// Submits a finished job again, as a new job, or all that a filter matches.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Retry {
    #[command(flatten)]
    which: Which,
}

impl Retry {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let Some(job) = &self.which.job else {
            return self.which.run(session, DEED).await;
        };
        let session = &job.session(session);
        let request = Request::post(job.path("/retry", None));
        let answer = session.call(request, About::Job(job)).await?;
        let job: JobDocument = answer.json()?;
        job.write_brief(session.output, &answer)?;
        redeem::hint(session, &job.id);
        Ok(())
    }
}
