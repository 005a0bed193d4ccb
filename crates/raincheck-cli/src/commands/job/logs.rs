//! `raincheck job logs`: what a job's attempts said.

use clap::Args;

use crate::exit::Failed;
use crate::follow::{Until, follow, write};
use crate::named::Named;
use crate::session::Session;

const EXAMPLES: &str = "\
The log of all attempts as their workers wrote it. With --json one JSON object for each piece, with its attempt
and time.

Examples:
  raincheck job logs job_01jd8zq3k5e7rv2m4n6p8s0t1w
  raincheck job logs job_01jd8zq3k5e7rv2m4n6p8s0t1w --follow";

/// Writes a job's log to standard output.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Logs {
    /// The job: its id, or a link to it
    job: Named,
    /// Go on until the job is done
    #[arg(short, long)]
    follow: bool,
}

impl Logs {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let session = &self.job.session(session);
        follow(session, &self.job, Until::told(self.follow), |event| {
            if event.name == "log" {
                write(session.output, event)
            } else {
                Ok(())
            }
        })
        .await
        .map(drop)
    }
}
