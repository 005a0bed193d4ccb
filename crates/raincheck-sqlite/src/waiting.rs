//! Claims that wait in the store: the commit that makes a job claimable hands it to whoever waits for it.
//!
//! A claim that is told of a job, asks for it and is answered costs a trip and a commit more than one that is there before
//! the job. Invariants: a claim that waits costs the file nothing, and a pass only where its queue gained something; those
//! who wait for one queue are served in the order in which they came; what was handed out is answered only after the
//! commit, and where that came to nothing whoever waited waits on.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use raincheck_core::id::Nonce;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::{Answer, Claim, Leased, StoreError};
use tokio::sync::oneshot;

use crate::apply::claim::claim;
use crate::memory::{Memory, Numbered};
use crate::operation::{Operation, received};
use crate::row::QueueKey;
use crate::tx::Tx;

/// One claim, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) namespace: Namespace,
    pub(crate) claim: Claim,
    pub(crate) reply: oneshot::Sender<Result<Vec<Leased>, StoreError>>,
}

/// A claim that is to be answered once the commit is through.
#[derive(Debug)]
pub(crate) struct Served {
    key: Option<QueueKey>,
    waiting: Waiting,
    leased: Vec<Leased>,
}

impl Served {
    pub(crate) fn deliver(self) {
        // A caller that went away does not want it any more.
        let _ = self.waiting.reply.send(Ok(self.leased));
    }
}

/// All claims that wait, by queue.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    lines: Numbered<QueueKey, VecDeque<Waiting>>,
    /// Queues at which somebody began to wait in the transaction under way.
    joined: Vec<QueueKey>,
    /// Those whom the transaction under way serves.
    served: Vec<Served>,
    /// Those whom one that is through has served.
    done: Vec<Served>,
}

impl Waiters {
    /// Answers the claim that brought this nonce, with nothing, where it waits.
    pub(crate) fn withdraw(&mut self, key: QueueKey, first: Nonce) {
        let Entry::Occupied(mut line) = self.lines.entry(key) else {
            return;
        };
        let place = line
            .get()
            .iter()
            .position(|waiting| waiting.claim.nonces.first() == Some(&first));
        if let Some(waiting) = place.and_then(|place| line.get_mut().remove(place)) {
            self.served.push(Served {
                key: None,
                waiting,
                leased: Vec::new(),
            });
        }
        if line.get().is_empty() {
            line.remove();
        }
    }

    /// The queues, of those that gained something, at which somebody waits.
    pub(crate) fn concerned(&self, woken: &[QueueKey]) -> Vec<QueueKey> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        let all = woken.iter().chain(&self.joined);
        let mut keys: Vec<_> = all.copied().filter(|key| self.lines.contains_key(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The transaction came to nothing: whoever it had served waits on, at the place that was his.
    pub(crate) fn wait_on(&mut self) {
        for Served { key, waiting, leased } in std::mem::take(&mut self.served).into_iter().rev() {
            match key {
                Some(key) => {
                    self.lines.entry(key).or_default().push_front(waiting);
                    self.joined.push(key);
                }
                None => self.served.insert(0, Served { key, waiting, leased }),
            }
        }
    }

    /// The transaction is through.
    pub(crate) fn committed(&mut self) {
        self.joined.clear();
        self.done.append(&mut self.served);
    }

    /// Takes out what is to be answered.
    pub(crate) fn take_served(&mut self) -> Vec<Served> {
        std::mem::take(&mut self.done)
    }

    /// Nobody is served any more.
    pub(crate) fn fail(&mut self, error: &StoreError) {
        for waiting in std::mem::take(&mut self.lines).into_values().flatten() {
            let _ = waiting.reply.send(Err(error.clone()));
        }
    }
}

/// Hands out to those who wait at these queues, in the transaction.
pub(crate) fn serve(tx: &mut Tx<'_>, keys: &[QueueKey]) -> rusqlite::Result<()> {
    for key in keys {
        let Some(mut line) = tx.waiters.lines.remove(key) else {
            continue;
        };
        if let Err(error) = serve_line(tx, *key, &mut line) {
            // Whoever else is in this transaction is not to fail with them again.
            let unavailable = StoreError::Unavailable("the claim could not be run".to_owned());
            for waiting in line {
                let _ = waiting.reply.send(Err(unavailable.clone()));
            }
            return Err(error);
        }
        if !line.is_empty() {
            tx.waiters.lines.insert(*key, line);
        }
    }
    Ok(())
}

fn serve_line(tx: &mut Tx<'_>, key: QueueKey, line: &mut VecDeque<Waiting>) -> rusqlite::Result<()> {
    while let Some(first) = line.front() {
        if first.reply.is_closed() {
            line.pop_front();
            continue;
        }
        if !has_ready(tx.memory, key) {
            break;
        }
        let leased = claim(tx, &first.namespace, &first.claim)?;
        if leased.is_empty() {
            break;
        }
        tx.waiters.served.extend(line.pop_front().map(|waiting| Served {
            key: Some(key),
            waiting,
            leased,
        }));
    }
    Ok(())
}

/// Whether the queue has jobs that may have their turn.
pub(crate) fn has_ready(memory: &Memory, key: QueueKey) -> bool {
    memory.queues.get(&key).is_some_and(|memory| memory.ready.any())
}

/// A claim on its way to those who wait.
struct Arrival(Option<Waiting>);

impl Operation for Arrival {
    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        let Some(waiting) = &self.0 else { return Ok(()) };
        let Waiting {
            namespace,
            claim: wanted,
            ..
        } = waiting;
        let key = tx.memory.queue(namespace, &wanted.queue).map(|(key, _)| key);
        let claimer = &wanted.claimer;
        let repeated = key
            .zip(claimer.claim_id.as_ref())
            .is_some_and(|(key, claim_id)| !tx.memory.claimed(key, &claimer.worker, claim_id).is_empty());
        // What it took before and holds is there already: nothing is written for that.
        let held = if repeated {
            claim(tx, namespace, wanted)?
        } else {
            Vec::new()
        };
        let Some(waiting) = self.0.take() else {
            return Ok(());
        };
        let Some(key) = key.filter(|_| !repeated) else {
            tx.waiters.served.push(Served {
                key: None,
                waiting,
                leased: held,
            });
            return Ok(());
        };
        tx.waiters.lines.entry(key).or_default().push_back(waiting);
        tx.waiters.joined.push(key);
        Ok(())
    }

    fn writes(&self) -> bool {
        false
    }

    fn reads(&self) -> bool {
        false
    }

    fn unanswered(&self) -> bool {
        self.0.is_some()
    }

    fn fail(&mut self, error: &StoreError) {
        if let Some(waiting) = self.0.take() {
            let _ = waiting.reply.send(Err(error.clone()));
        }
    }

    fn deliver(self: Box<Self>) {}
}

/// A claim that waits where there is nothing for it, and its answer.
pub(crate) fn arrival(ns: &Namespace, claim: Claim) -> (Box<dyn Operation>, Answer<Vec<Leased>>) {
    let (reply, answer) = oneshot::channel();
    let waiting = Waiting {
        namespace: ns.clone(),
        claim,
        reply,
    };
    (Box::new(Arrival(Some(waiting))), Box::pin(received(answer)))
}

/// Answers a claim that waits, with nothing.
pub(crate) fn withdraw(tx: &mut Tx<'_>, ns: &Namespace, queue: &QueueName, first: Nonce) {
    if let Some(key) = tx.memory.key(ns, queue) {
        tx.waiters.withdraw(key, first);
    }
}
