//! The end of attempts: settlements are gathered, so that those which end together share one commit.
//!
//! Invariant: a settlement is handed to the store until the store has answered it or the lease under which it ran is
//! over; after that the attempt is dropped and its lease lapses. Handing it over twice is harmless (the digest tells).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use raincheck_core::decide::{SettleRefused, Settlement};
use raincheck_core::id::LeaseId;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Answer, Settle, Store, StoreError};
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
/// So many times the store is handed settlements before it has answered the first: those that end while it commits share the next
/// commit, with whatever was asked together with them.
const UNDER_WAY_MAX: usize = 8;

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
        let (mut under_way, mut again, mut over) = (VecDeque::new(), Vec::new(), false);
        let mut backoff = Backoff::new(self.random.clone());
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                received = self.entries.recv_many(&mut batch, BATCH_MAX),
                    if !over && again.is_empty() && under_way.len() < UNDER_WAY_MAX =>
                {
                    over = received == 0;
                    self.hand_over(batch, &mut under_way);
                }
                (entries, answers) = answered(&mut under_way) => {
                    let left = told(entries, answers);
                    if left.is_empty() {
                        backoff.reset();
                    }
                    again.extend(left);
                }
                () = stopping.cancelled(), if under_way.is_empty() && again.is_empty() => return,
            }
            if over && under_way.is_empty() && again.is_empty() {
                return;
            }
            if under_way.is_empty() && !again.is_empty() {
                tokio::time::sleep(backoff.next()).await;
                self.drop_lapsed(&mut again);
                self.hand_over(std::mem::take(&mut again), &mut under_way);
            }
        }
    }

    /// Hands a batch over, those of one namespace together, but for those that are alone.
    fn hand_over(&self, batch: Vec<Entry>, under_way: &mut VecDeque<UnderWay>) {
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
        for entries in groups {
            let Some(ns) = entries.first().map(|entry| entry.ns.clone()) else {
                continue;
            };
            let settles = entries.iter().map(|entry| entry.settle.clone()).collect();
            let answer = self.store.settle(&ns, settles);
            under_way.push_back(UnderWay { entries, answer });
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

/// Settlements with the store.
struct UnderWay {
    entries: Vec<Entry>,
    answer: Answer<Vec<Answered>>,
}

type Answered = Result<Arc<Job>, SettleRefused>;

/// The first that the store answers, and its answer; never where it has nothing to answer.
///
/// # Cancel safety
/// Safe: what is not answered stays.
async fn answered(under_way: &mut VecDeque<UnderWay>) -> (Vec<Entry>, Result<Vec<Answered>, StoreError>) {
    let Some(first) = under_way.front_mut() else {
        return std::future::pending().await;
    };
    let answers = (&mut first.answer).await;
    let entries = under_way.pop_front().map(|first| first.entries);
    (entries.unwrap_or_default(), answers)
}

/// Tells those who wait what the store answered, and gives them back where it is to be asked again.
fn told(mut entries: Vec<Entry>, answers: Result<Vec<Answered>, StoreError>) -> Vec<Entry> {
    match answers {
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
        Settlement::Release {
            delay,
            interrupted,
            why,
        } => {
            hash.update(b"release");
            hash.update(delay.as_millis().to_be_bytes());
            hash.update([u8::from(*interrupted)]);
            for part in why.iter().flat_map(|why| [&why.code, &why.detail]) {
                hash.update(part.as_bytes());
                hash.update([0]);
            }
        }
        Settlement::Cancel => hash.update(b"cancel"),
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

#[cfg(test)]
mod tests;
