//! `raincheck queue …`: queues, their settings and what is in them.

mod delete;
mod get;
mod group;
mod list;
mod pause;
mod purge;
pub(crate) mod set;
mod wait;

use clap::Subcommand;
use raincheck::core::name::QueueName;

use crate::client::{Answer, Request};
use crate::document::QueueDocument;
use crate::exit::Failed;
use crate::session::{About, Session};

/// Commands about queues.
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// List the queues and what is in them
    List(list::List),
    /// Show a queue: its settings, where they come from, what is in it
    Get(get::Get),
    /// Create a queue, or change some of its settings
    Set(set::Set),
    /// Show or change what bounds one group of a queue
    Group(group::Group),
    /// Stop giving out its jobs; submits go on
    Pause(pause::Pause),
    /// Give out its jobs again
    Resume(pause::Resume),
    /// Cancel the jobs that wait
    Purge(purge::Purge),
    /// Wait until it has no unfinished jobs
    Wait(wait::Wait),
    /// Delete a queue that has no unfinished jobs
    Delete(delete::Delete),
}

impl Queue {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Get(get) => get.run(session).await,
            Self::Set(set) => set.run(session).await,
            Self::Group(group) => group.run(session).await,
            Self::Pause(pause) => pause.run(session).await,
            Self::Resume(resume) => resume.run(session).await,
            Self::Purge(purge) => purge.run(session).await,
            Self::Wait(wait) => wait.run(session).await,
            Self::Delete(delete) => delete.run(session).await,
        }
    }
}

/// Reads the queue.
async fn read(session: &Session, name: &QueueName) -> Result<(Answer, QueueDocument), Failed> {
    let answer = session
        .call(Request::get(format!("/v1/queues/{name}")), About::Queue(name))
        .await?;
    let queue = answer.json()?;
    Ok((answer, queue))
}
