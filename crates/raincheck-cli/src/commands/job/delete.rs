//! `raincheck job delete`.

use clap::Args;
use http::Method;

use super::many::{Deed, Which};
use crate::client::Request;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
Examples:
  raincheck job delete job_01jd8zq3k5e7rv2m4n6p8s0t1w --yes
  raincheck job delete --queue thumbs --state succeeded --before 12h --dry-run";

const DEED: Deed = Deed {
    action: "delete",
    ask: "Forget",
    done: "deleted",
};

/// Forgets a finished job with its input and result, or all that a filter matches.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,
}

impl Delete {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let Some(job) = &self.which.job else {
            return self.which.run(session, DEED).await;
        };
        let (session, id) = (&job.session(session), &job.id);
        let question = format!("Forget job {id} with its input and result?");
        self.which
            .confirm
            .ask(&question, &session.command(&format!("job delete {job}")))?;
        session
            .call(Request::new(Method::DELETE, job.path("", None)), About::Job(job))
            .await?;
        match session.output.shape {
            Shape::Json => session
                .output
                .line(&serde_json::json!({ "id": id, "deleted": true }).to_string()),
            Shape::Quiet => session.output.line(id),
            Shape::Terminal => session.output.line(&format!("{id}  deleted")),
            Shape::Plain => session.output.fields(&[id, "deleted"]),
        }
    }
}
