//! `raincheck master-key …`: what the store's secrets are encrypted under.

mod new;
mod rotate;

use clap::Subcommand;

use crate::exit::Failed;
use crate::output::Output;

/// Commands about the master key.
#[derive(Debug, Subcommand)]
pub(crate) enum MasterKey {
    /// Print a fresh master key
    New(new::New),
    /// Encrypt the secrets of a store, whose server is stopped, under another key
    Rotate(rotate::Rotate),
}

impl MasterKey {
    /// Runs the command.
    pub(crate) async fn run(self, output: Output) -> Result<(), Failed> {
        match self {
            Self::New(new) => new.run(output),
            Self::Rotate(rotate) => rotate.run(output).await,
        }
    }
}
