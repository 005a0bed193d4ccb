//! `raincheck job result`: redeem a job.

use clap::Args;

use crate::exit::Failed;
use crate::named::Named;
use crate::redeem::{Redeem, redeem};
use crate::session::Session;

const EXAMPLES: &str = "\
Exits with 3 where the job ended without success, with 6 where it is not done (in time).

Examples:
  raincheck job result job_01jd8zq3k5e7rv2m4n6p8s0t1w --wait=30s
  raincheck job result job_01jd8zq3k5e7rv2m4n6p8s0t1w -o small.png
  raincheck job result 'http://127.0.0.1:7246/v1/jobs/job_01jd8zq3k5e7rv2m4n6p8s0t1w/result?ticket=…' --wait";

/// Redeems a job.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Redeemed {
    /// The job: its id, or a link to it
    job: Named,
    #[command(flatten)]
    redeem: Redeem,
}

impl Redeemed {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let session = &self.job.session(session);
        redeem(session, &self.job, &self.redeem, false).await
    }
}
