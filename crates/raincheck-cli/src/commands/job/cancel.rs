//! `raincheck job cancel`.

use clap::Args;
use http::StatusCode;

use super::many::{Deed, Which};
use crate::client::Request;
use crate::document::JobDocument;
use crate::exit::Failed;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
A job that waits is cancelled at once. A running one is asked to stop; where it succeeds all the
same, that counts. A finished one stays as it is. With a filter, all jobs that match when the
command begins are cancelled, after a question.

Examples:
  raincheck job cancel job_01jd8zq3k5e7rv2m4n6p8s0t1w
  raincheck job cancel --queue thumbs --state queued --dry-run
  raincheck job cancel --tag nightly --yes";

const DEED: Deed = Deed {
    action: "cancel",
    ask: "Cancel",
    done: "cancelled",
};

/// Cancels a job, or all that a filter matches.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cancel {
    #[command(flatten)]
    which: Which,
}

impl Cancel {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let Some(job) = &self.which.job else {
            return self.which.run(session, DEED).await;
        };
        let session = &job.session(session);
        let request = Request::post(job.path("/cancel", None));
        let answer = session.call(request, About::Job(job)).await?;
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
