//! How a submitter wants to be answered: when, with what ticket, and for how long he may be.
//!
//! Invariant: a wait ends with the key that its submitter came with, and nothing that came meanwhile is told.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::id::JobId;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Change, StoreError};
use tokio::time::Instant;

use super::Api;
use super::prefer::Prefer;
use super::ticket::Ticket;
use super::until::Until;
use super::wait::Waiter;
use crate::keys::Kept;

/// How a submitter wants to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Whose wait it is: it ends with the key.
    pub(crate) key: Option<Arc<Kept>>,
    pub(crate) prefer: Prefer,
    /// How long a ticket in the answer's URLs shall be good.
    pub(crate) ticket: Option<Duration>,
    /// When the request came; the wait counts from it.
    pub(crate) received: Instant,
}

impl Wish {
    /// Waits for the job. With the key the wait is over, and nothing that came meanwhile is told.
    pub(crate) async fn wait(&self, api: &Api, waiter: &mut Waiter) -> Waited {
        let ended = |change: Option<Change>| change.map_or(Waited::Enough, Waited::Done);
        let Some(key) = &self.key else {
            return ended(waiter.done().await);
        };
        let mut until = Until::of_key(key, api.node.store().now());
        tokio::select! {
            biased;
            () = until.over() => Waited::Alone,
            change = waiter.done() => ended(change),
        }
    }

    /// The ticket that was asked for, for this job.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(crate) async fn ticket(
        &self,
        api: &Api,
        ns: &Namespace,
        id: JobId,
    ) -> Result<Option<Ticket>, StoreError> {
        match self.ticket {
            None => Ok(None),
            Some(span) => api.tickets.issue(&api.node, ns, id, span).await.map(Some),
        }
    }
}

/// What a wait came to.
pub(crate) enum Waited {
    /// The job is done.
    Done(Change),
    /// Time is over.
    Enough,
    /// Whoever waited may hear no more.
    Alone,
}
