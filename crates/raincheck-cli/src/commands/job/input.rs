//! `raincheck job input`: the bytes that were submitted.

use std::path::PathBuf;

use clap::Args;

use crate::client::Request;
use crate::exit::Failed;
use crate::named::Named;
use crate::parcel::{Parcel, hand_over};
use crate::session::{About, Session};

const EXAMPLES: &str = "\
Examples:
  raincheck job input job_01jd8zq3k5e7rv2m4n6p8s0t1w | jq .
  raincheck job input job_01jd8zq3k5e7rv2m4n6p8s0t1w -o photo.png";

/// Writes a job's input to standard output.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Input {
    /// The job: its id, or a link to it
    job: Named,
    /// Write the input to this file instead
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Input {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let session = &self.job.session(session);
        let request = Request::get(self.job.path("/input", None));
        let answer = session.call(request, About::Job(&self.job)).await?;
        let parcel = Parcel {
            what: "input",
            job: &self.job,
            outcome: None,
        };
        hand_over(session, &parcel, &answer, self.output.as_deref())
    }
}
