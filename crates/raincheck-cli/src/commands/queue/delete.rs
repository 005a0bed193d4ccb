//! `raincheck queue delete`.

use clap::Args;
use http::Method;
use raincheck::core::name::QueueName;

use crate::client::Request;
use crate::confirm::Confirm;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
A queue with unfinished jobs is refused. Its finished jobs stay as long as they would have.

Example:
  raincheck queue delete reports --yes";

/// Deletes a queue that has no unfinished jobs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Delete {
    /// The queue
    queue: QueueName,
    #[command(flatten)]
    confirm: Confirm,
}

impl Delete {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let name = &self.queue;
        let question = format!("Delete queue {name} and its settings?");
        self.confirm
            .ask(&question, &session.command(&format!("queue delete {name}")))?;
        let request = Request::new(Method::DELETE, format!("/v1/queues/{name}"));
        session.call(request, About::Queue(name)).await?;
        let output = session.output;
        match output.shape {
            Shape::Json => {
                output.line(&serde_json::json!({ "name": name.as_str(), "deleted": true }).to_string())
            }
            Shape::Quiet => output.line(name.as_str()),
            Shape::Terminal => output.line(&format!("{name}  deleted")),
            Shape::Plain => output.fields(&[name.as_str(), "deleted"]),
        }
    }
}
