//! `raincheck webhook …`: what a server tells of finished jobs, from both ends.

mod deliveries;
mod listen;
mod receive;
mod redeliver;
mod secret;

use clap::Subcommand;

use crate::exit::Failed;
use crate::session::Session;

/// Commands about webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum Webhook {
    /// Receive webhooks on this machine: verify each and print it
    Listen(listen::Listen),
    /// Print the secret by which receivers verify pushes and webhooks
    Secret(secret::Show),
    /// Replace the secret; the former one goes on for 24 hours
    Rotate(secret::Rotate),
    /// List webhooks and how far they are, newest job first
    Deliveries(deliveries::Deliveries),
    /// Send a webhook again, at once
    Redeliver(redeliver::Redeliver),
}

impl Webhook {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        match self {
            Self::Listen(listen) => listen.run(session).await,
            Self::Secret(show) => show.run(session).await,
            Self::Rotate(rotate) => rotate.run(session).await,
            Self::Deliveries(deliveries) => deliveries.run(session).await,
            Self::Redeliver(redeliver) => redeliver.run(session).await,
        }
    }
}
