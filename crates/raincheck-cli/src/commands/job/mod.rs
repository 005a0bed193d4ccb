//! `raincheck job …`: one job, or a list of them.

mod cancel;
mod delete;
mod events;
mod get;
mod input;
mod list;
mod logs;
mod many;
mod patch;
mod result;
mod retry;

use clap::Subcommand;

use crate::exit::Failed;
use crate::session::Session;

/// Commands about jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// List jobs, newest first
    List(list::List),
    /// Show a job
    Get(get::Get),
    /// Redeem a job: write its result to standard output
    Result(result::Redeemed),
    /// Show what happens to a job: states, progress, output, log
    Events(events::Events),
    /// Write a job's log to standard output
    Logs(logs::Logs),
    /// Write a job's input to standard output
    Input(input::Input),
    /// Change a job that has not started: priority, start, tags
    Patch(patch::Patch),
    /// Cancel a job, or many: one that waits at once, a running one is asked to stop
    Cancel(cancel::Cancel),
    /// Submit a finished job again, as a new job, or many
    Retry(retry::Retry),
    /// Forget a finished job with its input and result, or many
    Delete(delete::Delete),
}

impl Job {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Patch(patch) => patch.run(session).await,
            Self::Get(get) => get.run(session).await,
            Self::Result(result) => result.run(session).await,
            Self::Events(events) => events.run(session).await,
            Self::Logs(logs) => logs.run(session).await,
            Self::Input(input) => input.run(session).await,
            Self::Cancel(cancel) => cancel.run(session).await,
            Self::Retry(retry) => retry.run(session).await,
            Self::Delete(delete) => delete.run(session).await,
        }
    }
}
