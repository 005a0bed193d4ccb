//! `raincheck key …`: API keys.

mod create;
mod list;
mod revoke;

use clap::Subcommand;

use crate::exit::Failed;
use crate::session::Session;

/// Commands about API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key; its secret is shown once
    Create(Box<create::Create>),
    /// List the keys, without their secrets
    List(list::List),
    /// Revoke a key: it opens nothing from then on
    Revoke(revoke::Revoke),
}

impl Key {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::List(list) => list.run(session).await,
            Self::Revoke(revoke) => revoke.run(session).await,
        }
    }
}
