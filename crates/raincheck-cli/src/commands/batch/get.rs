//! `raincheck batch get` and `raincheck batch cancel`.

use clap::Args;
use http::StatusCode;

use super::batch_id;
use super::document::BatchDocument;
use crate::client::{Answer, Request};
use crate::confirm::Confirm;
use crate::exit::Failed;
use crate::session::{About, Session};

/// Shows a batch.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The batch
    #[arg(value_parser = batch_id)]
    batch: String,
}

/// Reads a batch.
pub(super) async fn read(session: &Session, batch: &str) -> Result<(Answer, BatchDocument), Failed> {
    let request = Request::get(format!("/v1/batches/{batch}"));
    let answer = session.call(request, About::Server).await?;
    let document = answer.json()?;
    Ok((answer, document))
}

impl Get {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let (answer, batch) = read(session, &self.batch).await?;
        batch.write(session.output, &answer)
    }
}

const EXAMPLES: &str = "\
Jobs that wait are cancelled at once, running ones are asked to stop; those that are finished stay
as they are. An upload of the batch that is under way is refused the rest.

Examples:
  raincheck batch cancel batch_01jd8zq3k5e7rv2m4n6p8s0t1w --dry-run
  raincheck batch cancel batch_01jd8zq3k5e7rv2m4n6p8s0t1w --yes";

/// Cancels all of a batch that is not finished.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cancel {
    /// The batch
    #[arg(value_parser = batch_id)]
    batch: String,
    /// Tell how the batch stands, change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
}

impl Cancel {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let id = &self.batch;
        let (answer, batch) = read(session, id).await?;
        let unfinished = batch.counts.unfinished();
        if self.dry_run {
            session
                .output
                .note(&format!("{unfinished} jobs would be cancelled"));
            return batch.write_brief(session.output, &answer);
        }
        let question = format!("Cancel the {unfinished} jobs of {id} that are not finished?");
        self.confirm
            .ask(&question, &session.command(&format!("batch cancel {id}")))?;
        let request = Request::post(format!("/v1/batches/{id}/cancel"));
        let answer = session.call(request, About::Server).await?;
        let batch: BatchDocument = answer.json()?;
        if answer.status == StatusCode::ACCEPTED {
            session
                .output
                .note("some of it is running; its workers are being told to stop");
        }
        batch.write_brief(session.output, &answer)
    }
}
