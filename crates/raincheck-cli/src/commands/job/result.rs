//! `raincheck job result`: redeem a job.

use clap::Args;

use crate::exit::Failed;
use crate::redeem::{Redeem, redeem};
use crate::session::Session;

const EXAMPLES: &str = "\
Exits with 3 where the job ended without success, with 6 where it is not done (in time).

Examples:
  raincheck job result job_01jd8zq3k5e7rv2m4n6p8s0t1w --wait=30s
  raincheck job result job_01jd8zq3k5e7rv2m4n6p8s0t1w -o small.png";

/// Redeems a job.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Redeemed {
    /// The job
    #[arg(value_parser = super::job_id)]
    id: String,
    #[command(flatten)]
    redeem: Redeem,
}

impl Redeemed {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        redeem(session, &self.id, &self.redeem, false).await
    }
}
