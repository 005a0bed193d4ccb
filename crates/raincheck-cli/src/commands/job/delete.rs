//! `raincheck job delete`.

use clap::Args;
use http::Method;

use crate::client::Request;
use crate::confirm::Confirm;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
Example:
  raincheck job delete job_01jd8zq3k5e7rv2m4n6p8s0t1w --yes";

/// Forgets a finished job with its input and result.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Delete {
    /// The finished job
    #[arg(value_parser = super::job_id)]
    id: String,
    #[command(flatten)]
    confirm: Confirm,
}

impl Delete {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let id = &self.id;
        let question = format!("Forget job {id} with its input and result?");
        self.confirm
            .ask(&question, &session.command(&format!("job delete {id}")))?;
        session
            .call(
                Request::new(Method::DELETE, format!("/v1/jobs/{id}")),
                About::Job(id),
            )
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
