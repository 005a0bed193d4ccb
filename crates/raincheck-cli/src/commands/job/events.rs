//! `raincheck job events`: what happens to a job.

use clap::Args;

use crate::exit::Failed;
use crate::follow::{Until, follow};
use crate::named::Named;
use crate::output::Shape;
use crate::session::Session;

const EXAMPLES: &str = "\
A line for each event: its name, and what it says. With --json the events as the server writes them, one JSON
object a line. Goes on by itself where the server was away.

Examples:
  raincheck job events job_01jd8zq3k5e7rv2m4n6p8s0t1w
  raincheck job events job_01jd8zq3k5e7rv2m4n6p8s0t1w --follow
  raincheck job events job_01jd8zq3k5e7rv2m4n6p8s0t1w --follow --json | jq -r 'select(.event==\"progress\").data'";

/// Shows what happens to a job.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Events {
    /// The job: its id, or a link to it
    job: Named,
    /// Go on until the job is done
    #[arg(short, long)]
    follow: bool,
}

impl Events {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let session = &self.job.session(session);
        let output = session.output;
        follow(
            session,
            &self.job,
            Until::told(self.follow),
            |event| match output.shape {
                Shape::Json => output.line(&event.line),
                Shape::Quiet => output.line(&event.name),
                Shape::Terminal | Shape::Plain => output.fields(&[&event.name, &event.summary()]),
            },
        )
        .await
        .map(drop)
    }
}
