//! `raincheck job retry`: a new job with the same input and options.

use clap::Args;

use crate::client::Request;
use crate::document::JobDocument;
use crate::exit::Failed;
use crate::redeem;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
The finished job stays as it is; the new one has an id of its own, which is printed.

Example:
  raincheck job result $(raincheck job retry job_01jd8zq3k5e7rv2m4n6p8s0t1w -q) --wait";

/// Submits a finished job again, as a new job.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Retry {
    /// The finished job
    #[arg(value_parser = super::job_id)]
    id: String,
}

impl Retry {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let request = Request::post(format!("/v1/jobs/{}/retry", self.id));
        let answer = session.call(request, About::Job(&self.id)).await?;
        let job: JobDocument = answer.json()?;
        job.write_brief(session.output, &answer)?;
        redeem::hint(session, &job.id);
        Ok(())
    }
}
