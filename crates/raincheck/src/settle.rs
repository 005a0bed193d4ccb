//! The end of attempts: settlements are gathered, so that those which end together share one commit.
//!
//! Invariant: a settlement is handed to the store until the store has answered it or the lease under which it ran is
//! over; after that the attempt is dropped and its lease lapses. Handing it over twice is harmless (the digest tells).

use std::collections::HashMap;
use std::sync::Arc;

use raincheck_core::decide::Settlement;
use raincheck_core::id::LeaseId;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Settle, Store, StoreError};
use raincheck_core::time::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::random::Randomness;

/// Settlements that wait to be handed over; beyond it attempts wait to end, holding their slots.
const WAITING_MAX: usize = 1024;
/// Settlements handed over together; bounds what one commit carries.
const BATCH_MAX: usize = 256;

/// One attempt that has ended.
struct Entry {
    ns: Namespace,
    settle: Settle,
    /// When the lease is over as far as this node knows.
    until: Timestamp,
    /// Whether it was in a batch that failed: it may be the reason, and is handed over alone from then on.
    alone: bool,
    done: oneshot::Sender<Option<Arc<Job>>>,
}

/// Hands settlements to the one who gathers them. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Settler {
    entries: mpsc::Sender<Entry>,
    random: Randomness,
}

/// Gathers settlements: the service behind [`Settler`].
#[derive(Debug)]
pub(crate) struct Gatherer {
    store: Arc<dyn Store>,
    entries: mpsc::Receiver<Entry>,
    random: Randomness,
}

/// A handle and the service behind it.
pub(crate) fn settler(store: Arc<dyn Store>, random: &Randomness) -> (Settler, Gatherer) {
    let (sender, entries) = mpsc::channel(WAITING_MAX);
    let settler = Settler {
        entries: sender,
        random: random.clone(),
    };
    let gatherer = Gatherer {
        store,
        entries,
        random: random.clone(),
    };
    (settler, gatherer)
}

impl Settler {
    /// Settles an attempt; durable where it gives back the job as it is then. `None` where the lease was over, or the
    /// store could not be reached for as long as it lived: then nothing has changed.
    pub(crate) async fn settle(
        &self,
        ns: Namespace,
        lease: LeaseId,
        settlement: Settlement,
        until: Timestamp,
    ) -> Option<Arc<Job>> {
        let (done, answer) = oneshot::channel();
        let settle = Settle {
            lease,
            digest: digest(&settlement),
            settlement,
            seed: self.random.bits(),
        };
        let entry = Entry {
            ns,
            settle,
            until,
            alone: false,
            done,
        };
        self.entries.send(entry).await.ok()?;
        answer.await.ok().flatten()
    }
}

impl Gatherer {
    /// Settles until `stopping` is cancelled and nothing is left.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        let mut batch = Vec::new();
        let mut backoff = Backoff::new(self.random.clone());
        loop {
            if batch.is_empty() {
                tokio::select! {
                    biased;
                    received = self.entries.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
                    () = stopping.cancelled() => return,
                }
            }
            batch = self.hand_over(batch).await;
            if batch.is_empty() {
                backoff.reset();
            } else {
                tokio::time::sleep(backoff.next()).await;
                self.drop_lapsed(&mut batch);
            }
        }
    }

    /// Hands a batch over and gives back what is to be tried again.
    async fn hand_over(&self, batch: Vec<Entry>) -> Vec<Entry> {
        let mut together: HashMap<Namespace, Vec<Entry>> = HashMap::new();
        let mut groups = Vec::new();
        for entry in batch {
            if entry.alone {
                groups.push(vec![entry]);
            } else {
                together.entry(entry.ns.clone()).or_default().push(entry);
            }
        }
        groups.extend(together.into_values());
        let mut again = Vec::new();
        for group in groups {
            again.extend(self.settle(group).await);
        }
        again
    }

    /// Settles attempts of one namespace in one step, and gives them back where that is to be tried again.
    async fn settle(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let Some(ns) = entries.first().map(|entry| entry.ns.clone()) else {
            return entries;
        };
        let settles = entries.iter().map(|entry| entry.settle.clone()).collect();
        match self.store.settle(&ns, settles).await {
            Ok(answers) => {
                for (entry, answer) in entries.into_iter().zip(answers) {
                    let job = answer.inspect_err(|refused| {
                        info!(job.id = %entry.settle.lease.job, %refused, "an attempt ended after its lease");
                    });
                    // The attempt may have been cut meanwhile.
                    let _ = entry.done.send(job.ok());
                }
                Vec::new()
            }
            // Nothing will be taken any more: dropping the entries tells those who wait.
            Err(StoreError::Failed(_) | StoreError::Closed) => Vec::new(),
            Err(error) => {
                warn!(%error, attempts = entries.len(), "attempts could not be settled yet");
                for entry in &mut entries {
                    entry.alone = true;
                }
                entries
            }
        }
    }

    fn drop_lapsed(&self, batch: &mut Vec<Entry>) {
        let now = self.store.now();
        batch.retain(|entry| {
            let live = entry.until > now;
            if !live {
                warn!(job.id = %entry.settle.lease.job, "an attempt is dropped: its lease lapsed before it could be settled");
            }
            live
        });
    }
}

/// Stands for verb and content of a settlement.
pub(crate) fn digest(settlement: &Settlement) -> [u8; 16] {
    let mut hash = Sha256::new();
    match settlement {
        Settlement::Succeed(result) => {
            hash.update(b"succeed");
            hash.update(result.digest);
        }
        Settlement::Fail {
            failure,
            retry,
            result,
            timed_out,
        } => {
            hash.update(b"fail");
            for part in [&failure.code, &failure.detail] {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
            hash.update(failure.status.unwrap_or(0).to_be_bytes());
            hash.update([u8::from(retry.is_some()), u8::from(*timed_out)]);
            hash.update(retry.unwrap_or_default().as_millis().to_be_bytes());
            hash.update(result.as_ref().map_or([0; 16], |result| result.digest));
        }
        Settlement::Release { delay, interrupted } => {
            hash.update(b"release");
            hash.update(delay.as_millis().to_be_bytes());
            hash.update([u8::from(*interrupted)]);
        }
        Settlement::Cancel => hash.update(b"cancel"),
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

#[cfg(test)]
mod tests;
