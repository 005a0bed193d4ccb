//! `raincheck job get`.

use clap::Args;

use crate::client::Request;
use crate::document::JobDocument;
use crate::exit::Failed;
use crate::named::Named;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
In a pipe: lines of name and value, without the attempts, which --json has.

Examples:
  raincheck job get job_01jd8zq3k5e7rv2m4n6p8s0t1w
  raincheck job get job_01jd8zq3k5e7rv2m4n6p8s0t1w --json | jq .state";

/// Shows a job.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    /// The job: its id, or a link to it
    job: Named,
}

impl Get {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let session = &self.job.session(session);
        let request = Request::get(self.job.path("", None));
        let answer = session.call(request, About::Job(&self.job)).await?;
        answer.json::<JobDocument>()?.write(session.output, &answer)
    }
}
