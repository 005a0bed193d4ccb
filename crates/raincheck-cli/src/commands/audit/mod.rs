//! `raincheck audit …`: what administrators did.

mod list;

use clap::Subcommand;

use crate::exit::Failed;
use crate::session::Session;

/// Commands about what administrators did.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List what administrators did and were refused
    List(list::List),
}

impl Audit {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        match self {
            Self::List(list) => list.run(session).await,
        }
    }
}
