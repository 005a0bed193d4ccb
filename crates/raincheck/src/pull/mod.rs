//! Pull workers, beyond HTTP: claiming with patience, and knowing who works.
//!
//! ```text
//! Observer::ready ─► bell ─► waiter ─► Store::claim ─► handed ─► answer
//!                                                        └─ dropped before it was written: given back
//! ```
//!
//! Invariants: a waiter is in line before it looks for jobs, so that no job falls between; whoever waits is sent away
//! when the node leaves; leases are in a worker's hands or on their way back.

pub(crate) mod bell;
pub(crate) mod handed;
pub(crate) mod roll;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::decide::Claimer;
use raincheck_core::id::Nonce;
use raincheck_core::lease::WorkerKind;
use raincheck_core::store::{Claim, Store, StoreError};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::bell::Bells;
use self::handed::{Claiming, Handed};
use self::roll::{Holder, Roll};
use crate::node::Node;
use crate::random::Randomness;
use crate::tasks::{Group, TaskKind};

/// The most jobs of one claim (GUARANTEES.md section 2 item 11).
pub(crate) const CLAIM_MAX: u32 = 100;
/// How long a line of waiters goes without anybody asking the store: hints may be lost.
const POLL: Duration = Duration::from_secs(5);
/// So many more are woken by one whose claim came back full.
const MORE: usize = 2;

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    bells: Bells,
    roll: Roll,
    tasks: Group,
    random: Randomness,
    leaving: CancellationToken,
}

/// The pull workers of a node. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Pull(Arc<Inner>);

/// What a worker wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Who wants it, and from which queue.
    pub(crate) holder: Arc<Holder>,
    /// At most so many jobs.
    pub(crate) max: u32,
    /// The term of the leases.
    pub(crate) term: Duration,
    /// What the worker calls this claim.
    pub(crate) claim_id: Option<String>,
}

impl Pull {
    pub(crate) fn new(store: Arc<dyn Store>, tasks: Group, random: Randomness) -> Self {
        Self(Arc::new(Inner {
            store,
            bells: Bells::default(),
            roll: Roll::default(),
            tasks,
            random,
            leaving: CancellationToken::new(),
        }))
    }

    /// Who waits.
    pub(crate) fn bells(&self) -> &Bells {
        &self.0.bells
    }

    /// Who works.
    pub(crate) fn roll(&self) -> &Roll {
        &self.0.roll
    }

    /// The seed of a settlement: what a retry's jitter comes from.
    pub(crate) fn seed(&self) -> u64 {
        self.0.random.bits()
    }

    /// Sends everybody who waits away; from now on nobody waits.
    pub(crate) fn leave(&self) {
        self.0.leaving.cancel();
    }

    /// Claims what is there. Handed over by the call; leases that the future or what it gives back is dropped with are
    /// given back.
    pub(crate) fn claim(&self, wanted: &Wanted) -> Claiming {
        self.ask(wanted, false)
    }

    fn ask(&self, wanted: &Wanted, patient: bool) -> Claiming {
        let (holder, store) = (wanted.holder.clone(), &self.0.store);
        self.0.roll.seen(&holder);
        let nonces: Vec<Nonce> = (0..wanted.max).map(|_| self.0.random.nonce()).collect();
        let claim = Claim {
            queue: holder.queue.clone(),
            claimer: Claimer {
                worker: holder.worker.clone(),
                kind: WorkerKind::Pull,
                term: wanted.term,
                claim_id: wanted.claim_id.clone(),
            },
            nonces: nonces.clone(),
            running_max: None,
            passing_over: Vec::new(),
        };
        let answer = if patient {
            store.claim_when_ready(&holder.namespace, claim)
        } else {
            store.claim(&holder.namespace, claim)
        };
        Claiming {
            answer: Some(answer),
            pull: self.clone(),
            holder,
            nonces,
            patient,
        }
    }

    /// Claims, and where there is nothing waits for it until then. Gives back nothing when the time is over, the node
    /// leaves, or whoever waits is gone. Those who wait do so in the store, in the order in which they came; where it holds
    /// no claims, in a line of their own: whoever finds others there goes to its end, unless it may be repeating a claim.
    ///
    /// # Cancel safety
    /// Safe: the place in line, or what was claimed, goes to the next.
    pub(crate) async fn claim_by(
        &self,
        wanted: &Wanted,
        until: Instant,
        gone: impl Future<Output = ()>,
    ) -> Result<Option<Handed>, StoreError> {
        let mut gone = pin!(gone);
        let queue = (wanted.holder.namespace.clone(), wanted.holder.queue.clone());
        let place = self.0.bells.join(queue.clone());
        let mut my_turn = place.first() || wanted.claim_id.is_some() || self.0.store.holds_claims();
        loop {
            if my_turn {
                let (claimed, over) = self.claim_until(wanted, until, gone.as_mut()).await;
                let full = claimed
                    .as_ref()
                    .is_ok_and(|handed| handed.leased.len() >= wanted.max as usize);
                if claimed.as_ref().is_ok_and(|handed| handed.leased.is_empty()) {
                    if over {
                        return Ok(None);
                    }
                    my_turn = false;
                    continue;
                }
                drop(place);
                // Whom an error met did not see whether there are jobs: the next looks.
                let more = if full { MORE } else { usize::from(claimed.is_err()) };
                self.0.bells.ring_more(&queue, more);
                return claimed.map(Some);
            }
            tokio::select! {
                biased;
                () = self.0.leaving.cancelled() => return Ok(None),
                // Before a job is taken that nobody would get.
                () = &mut gone => return Ok(None),
                () = place.rung() => my_turn = true,
                () = sleep_until(until) => return Ok(None),
            }
        }
    }

    /// Claims, waiting in the store as long as that holds the claim and somebody wants it; whether nobody does any more.
    async fn claim_until(
        &self,
        wanted: &Wanted,
        until: Instant,
        gone: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> (Result<Handed, StoreError>, bool) {
        let mut claiming = self.ask(wanted, true);
        tokio::select! {
            biased;
            claimed = &mut claiming => return (claimed, false),
            () = self.0.leaving.cancelled() => {}
            () = gone => {}
            () = sleep_until(until) => {}
        }
        claiming.withdraw();
        (claiming.await, true)
    }

    /// Does something that outlives whoever caused it.
    fn errand(&self, errand: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the process is about to end: the leases lapse.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.0.tasks.spawn(TaskKind::Errand, errand);
        }
    }
}

impl Node {
    /// How many claims wait for jobs now.
    #[must_use]
    pub fn claims_waiting(&self) -> usize {
        self.pull().bells().waiting()
    }
}

/// Has every line look for jobs now and then.
pub(crate) async fn poll(bells: Bells, random: Randomness) {
    loop {
        sleep(POLL + POLL.mul_f32(random.fraction())).await;
        bells.ring_all();
    }
}
