//! `raincheck job cancel`.

use clap::Args;
use http::StatusCode;

use crate::client::Request;
use crate::document::JobDocument;
use crate::exit::Failed;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
A job that waits is cancelled at once. A running one is asked to stop; where it succeeds all the
same, that counts. A finished one stays as it is.

Example:
  raincheck job cancel job_01jd8zq3k5e7rv2m4n6p8s0t1w";

/// Cancels a job.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cancel {
    /// The job
    #[arg(value_parser = super::job_id)]
    id: String,
}

impl Cancel {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let request = Request::post(format!("/v1/jobs/{}/cancel", self.id));
        let answer = session.call(request, About::Job(&self.id)).await?;
        let job: JobDocument = answer.json()?;
        if answer.status == StatusCode::ACCEPTED {
            session
                .output
                .note("it is running; its worker is being told to stop");
        } else if job.done && job.outcome.as_deref() != Some("cancelled") {
            session.output.note("it was finished already");
        }
        job.write_brief(session.output, &answer)
    }
}
