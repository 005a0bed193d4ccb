//! Leases on their way to a worker.
//!
//! Invariant: leases that a claim brought and that were not handed on are given back, with the attempt, whoever drops
//! them and whenever: the answer's future before the claim was answered, or the answer before it was written.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use raincheck_core::decide::Settlement;
use raincheck_core::id::{LeaseId, Nonce};
use raincheck_core::name::Namespace;
use raincheck_core::store::{Answer, Leased, Settle, StoreError};
use tracing::{info, warn};

use super::Pull;
use super::roll::Holder;
use crate::backoff::Backoff;
use crate::settle::digest;

/// So often it is tried to give leases back; those that could not be lapse.
const TRIES_MAX: u32 = 8;

/// A claim that was handed to the store.
pub(crate) struct Claiming {
    pub(super) pull: Pull,
    pub(super) holder: Arc<Holder>,
    pub(super) nonces: Vec<Nonce>,
    /// Taken once it has answered.
    pub(super) answer: Option<Answer<Vec<Leased>>>,
    /// Whether it may wait in the store.
    pub(super) patient: bool,
}

impl Claiming {
    /// Has the store answer at once.
    pub(super) fn withdraw(&self) {
        if let (true, Some(first)) = (self.patient, self.nonces.first()) {
            let store = &self.pull.0.store;
            store.withdraw(&self.holder.namespace, &self.holder.queue, *first);
        }
    }

    /// What the store gave, in a guard.
    fn taken(&mut self, leased: Vec<Leased>) -> Handed {
        let now = self.pull.0.store.now();
        self.pull.0.roll.took(&self.holder, &leased, now);
        // A repeated claim brings what was handed out before: that is its holder's.
        let fresh = leased
            .iter()
            .filter_map(|leased| leased.job.lease_id())
            .filter(|lease| self.nonces.contains(&lease.nonce))
            .collect();
        Handed {
            leased,
            lent: Lent {
                pull: self.pull.clone(),
                namespace: self.holder.namespace.clone(),
                leases: fresh,
            },
        }
    }
}

impl Future for Claiming {
    type Output = Result<Handed, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else {
            return Poll::Pending;
        };
        let answered = ready!(answer.as_mut().poll(cx));
        self.answer = None;
        Poll::Ready(answered.map(|leased| self.taken(leased)))
    }
}

impl Drop for Claiming {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        self.withdraw();
        let mut claiming = Self {
            pull: self.pull.clone(),
            holder: self.holder.clone(),
            nonces: std::mem::take(&mut self.nonces),
            answer: None,
            patient: false,
        };
        self.pull.errand(async move {
            if let Ok(leased) = answer.await {
                drop(claiming.taken(leased));
            }
        });
    }
}

/// What a claim brought.
pub(crate) struct Handed {
    pub(crate) leased: Vec<Leased>,
    pub(crate) lent: Lent,
}

impl Handed {
    /// Takes out up to so many, first come first served.
    pub(crate) fn take(&mut self, count: u32) -> Vec<Leased> {
        let count = self.leased.len().min(count as usize);
        self.leased.drain(..count).collect()
    }

    /// The guard of those that were taken out; the others are given back.
    pub(crate) fn taken(mut self) -> Lent {
        let left: Vec<LeaseId> = self
            .leased
            .iter()
            .filter_map(|leased| leased.job.lease_id())
            .collect();
        let fresh = std::mem::take(&mut self.lent.leases);
        let (back, taken) = fresh.into_iter().partition(|lease| left.contains(lease));
        self.lent.leases = taken;
        drop(Lent {
            pull: self.lent.pull.clone(),
            namespace: self.lent.namespace.clone(),
            leases: back,
        });
        self.lent
    }
}

/// Leases that are given back when this is dropped, unless they were delivered.
pub(crate) struct Lent {
    pull: Pull,
    namespace: Namespace,
    leases: Vec<LeaseId>,
}

impl Lent {
    /// Whether there are any.
    pub(crate) const fn any(&self) -> bool {
        !self.leases.is_empty()
    }

    /// The worker has them now, as far as anybody can tell.
    pub(crate) fn delivered(mut self) {
        self.leases.clear();
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        if !leases.is_empty() {
            let (pull, namespace) = (self.pull.clone(), self.namespace.clone());
            self.pull
                .errand(async move { give_back(&pull, &namespace, leases).await });
        }
    }
}

/// Settles leases as released: the attempts are not charged.
async fn give_back(pull: &Pull, namespace: &Namespace, leases: Vec<LeaseId>) {
    let release = Settlement::Release {
        delay: std::time::Duration::ZERO,
        interrupted: false,
        why: None,
    };
    let digest = digest(&release);
    let mut backoff = Backoff::new(pull.0.random.clone());
    for _ in 0..TRIES_MAX {
        let batch = leases.iter().map(|lease| Settle {
            lease: *lease,
            settlement: release.clone(),
            digest,
            seed: 0,
        });
        match pull.0.store.settle(namespace, batch.collect()).await {
            Ok(_) => {
                info!(
                    leases = leases.len(),
                    "claimed jobs were given back: their answer was not written"
                );
                return;
            }
            Err(StoreError::Failed(_) | StoreError::Closed) => return,
            Err(error) => {
                warn!(%error, leases = leases.len(), "claimed jobs could not be given back yet");
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

impl std::fmt::Debug for Claiming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claiming")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handed")
            .field("leased", &self.leased.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent")
            .field("leases", &self.leases.len())
            .finish_non_exhaustive()
    }
}
