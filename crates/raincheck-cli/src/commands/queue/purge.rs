//! `raincheck queue purge`: cancels what waits.

use clap::Args;
use raincheck::core::name::QueueName;
use serde::Deserialize;

use crate::client::Request;
use crate::confirm::Confirm;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
Running jobs go on; the cancelled ones are kept as long as finished jobs are.

Examples:
  raincheck queue purge reports --dry-run
  raincheck queue purge reports --yes";

/// Cancels the jobs that wait in a queue.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Purge {
    /// The queue
    queue: QueueName,
    /// Tell how many jobs it would be, change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Deserialize)]
struct Purged {
    cancelled: u64,
}

impl Purge {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let name = &self.queue;
        let (_, queue) = super::read(session, name).await?;
        let waiting = queue.counts.waiting();
        if self.dry_run {
            return write(session, name, "would_cancel", waiting);
        }
        let question = format!("Cancel the {waiting} jobs that wait in queue {name}?");
        self.confirm
            .ask(&question, &session.command(&format!("queue purge {name}")))?;
        let request = Request::post(format!("/v1/queues/{name}/purge"));
        let answer = session.call(request, About::Queue(name)).await?;
        write(session, name, "cancelled", answer.json::<Purged>()?.cancelled)
    }
}

fn write(session: &Session, name: &QueueName, what: &str, count: u64) -> Result<(), Failed> {
    let output = session.output;
    match output.shape {
        Shape::Json => output.line(&serde_json::json!({ what: count }).to_string()),
        Shape::Quiet => output.line(name.as_str()),
        Shape::Terminal => output.line(&format!("{name}  {} {count}", what.replace('_', " "))),
        Shape::Plain => output.fields(&[name.as_str(), what, &count.to_string()]),
    }
}
