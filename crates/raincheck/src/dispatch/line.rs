//! One queue's line: claims for its free slots and starts the attempts.
//!
//! Invariants: it never asks the store again without a reason (a slot, a hint, a change, some seconds), nor for jobs that
//! could not begin at once; a claim is never dropped half way, and jobs that were claimed too late, or for a worker that is not the queue's any more, are
//! given back unbegun.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::decide::Claimer;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::{GroupName, WorkerName};
use raincheck_core::queue::{Queue, Worker};
use raincheck_core::store::{Claim, Leased, StoreError};
use raincheck_core::time::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Dispatch, Slots};
use crate::backoff::Backoff;
use crate::workers::attempt::{self, Attempt};
use crate::workers::{Place, Reserved, Runner, Shop};

/// The most jobs of one claim (GUARANTEES.md section 2 item 11).
pub(super) const CLAIM_MAX: usize = 100;
/// How long a line goes without asking; hints may be lost. Jitter of the same size again comes on top.
const POLL: Duration = Duration::from_secs(5);
/// The least time that it leaves alone who has no room.
const HELD_MIN: Duration = Duration::from_millis(1);

pub(super) struct Line {
    pub(super) shop: Arc<Shop>,
    pub(super) stopping: CancellationToken,
    pub(super) settings: watch::Receiver<Option<Arc<Queue>>>,
    pub(super) slots: Arc<Slots>,
    cores: u32,
    worker: WorkerName,
    /// Whether the store may have more jobs than it gave so far.
    pub(super) hungry: bool,
    /// Whether nobody can tell it anything any more.
    pub(super) orphaned: bool,
    /// When those whom the jobs go to have room again, where they have none now.
    pub(super) held_until: Option<Timestamp>,
    pub(super) backoff: Backoff,
    runner: Option<Arc<dyn Runner>>,
    /// For which settings the runner was made, and whether the server's configuration wrote them.
    pub(super) made_for: Option<(Worker, bool)>,
}

/// What a line does next.
enum Step {
    Leave,
    Wait { poll: bool },
    Pause(Duration),
    Claim(Arc<Queue>, Arc<dyn Runner>, usize),
    Stand(Arc<Queue>, Arc<dyn Runner>),
}

impl Line {
    pub(super) fn new(
        dispatch: &Dispatch,
        settings: watch::Receiver<Option<Arc<Queue>>>,
        slots: Arc<Slots>,
    ) -> Self {
        Self {
            shop: dispatch.shop.clone(),
            stopping: dispatch.tasks.stopping().clone(),
            settings,
            slots,
            cores: dispatch.cores,
            worker: dispatch.worker.clone(),
            hungry: true,
            orphaned: false,
            held_until: None,
            backoff: Backoff::new(dispatch.shop.random.clone()),
            runner: None,
            made_for: None,
        }
    }

    /// Works until the queue is deleted, dispatch stops or the store has failed.
    pub(super) async fn run(mut self) {
        loop {
            match self.step() {
                Step::Leave => return,
                Step::Wait { poll } => self.wait(poll).await,
                Step::Pause(pause) => {
                    tokio::select! {
                        biased;
                        () = self.stopping.cancelled() => {}
                        () = sleep(pause) => {}
                    }
                }
                Step::Claim(queue, runner, free) => {
                    if self.claim(&queue, &runner, free).await.is_err() {
                        return;
                    }
                }
                Step::Stand(queue, runner) => {
                    if self.stand(&queue, &runner).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn step(&mut self) -> Step {
        let queue = self.settings.borrow_and_update().clone();
        let leaving = self.orphaned || self.stopping.is_cancelled();
        let Some(queue) = queue.filter(|_| !leaving) else {
            return Step::Leave;
        };
        let settings = works(&queue);
        // A function may have come for a queue that had nobody.
        if self.made_for.as_ref() != Some(&settings) || self.runner.is_none() {
            self.runner = self.shop.runner(&queue);
            self.made_for = Some(settings);
        }
        let Some(runner) = self.runner.clone().filter(|_| queue.paused.is_none()) else {
            return Step::Wait { poll: false };
        };
        if self.shop.unrenewed.any() {
            return Step::Pause(self.backoff.next());
        }
        if self.hungry && attempt::leaves_early(&self.shop, &queue, &*runner) {
            return Step::Stand(queue, runner);
        }
        let free = self.free(&queue);
        if free == 0 || !self.hungry {
            return Step::Wait { poll: free > 0 };
        }
        Step::Claim(queue, runner, free.min(CLAIM_MAX))
    }

    /// How many attempts more may run.
    pub(super) fn free(&self, queue: &Queue) -> usize {
        let concurrency = queue.concurrency(self.cores).map_or(usize::MAX, |n| n as usize);
        concurrency.saturating_sub(self.slots.taken())
    }

    /// How long it goes without asking.
    fn poll(&self) -> Duration {
        POLL + POLL.mul_f32(self.shop.random.fraction())
    }

    /// The same, but no longer than until then.
    pub(super) fn pause_until(&self, until: Option<Timestamp>) -> Duration {
        let left = until.map(|until| until.since(self.shop.store.now()).max(HELD_MIN));
        left.map_or_else(|| self.poll(), |left| left.min(self.poll()))
    }

    async fn wait(&mut self, poll: bool) {
        let until = self.held_until.take();
        let pause = self.pause_until(until);
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => {}
            // Fails only where dispatch itself is gone.
            changed = self.settings.changed() => self.orphaned |= changed.is_err(),
            () = self.slots.wake.notified() => {}
            () = sleep(pause), if poll => {}
        }
        self.hungry = true;
    }

    /// Claims and starts. `Err` where the store takes nothing any more.
    async fn claim(&mut self, queue: &Arc<Queue>, runner: &Arc<dyn Runner>, free: usize) -> Result<(), ()> {
        let (places, free) = match runner.reserve(queue, free, &self.slots.wake, self.shop.store.now()) {
            Reserved::Free => (Vec::new(), free),
            Reserved::At(places) => {
                let free = places.len();
                (places, free)
            }
            Reserved::Held(held) => {
                (self.held_until, self.hungry) = (held.until, false);
                return Ok(());
            }
        };
        let passed = runner.passing_over(self.shop.store.now());
        let until = passed.iter().map(|(_, until)| *until).min();
        let claim = self.claim_of(queue, runner, free, &passed);
        let patient = runner.waits() && self.shop.store.holds_claims();
        let asked = Instant::now();
        let claimed = if patient {
            self.claim_when_ready(queue, claim).await
        } else {
            self.shop.store.claim(&queue.namespace, claim).await
        };
        match claimed {
            Ok(leased) => {
                self.backoff.reset();
                if !patient {
                    self.hungry = leased.len() >= free;
                }
                if !self.hungry {
                    self.held_until = until;
                }
                self.start(queue, runner, asked, leased, places);
                Ok(())
            }
            Err(error) => self.refused(queue, &error).await,
        }
    }

    /// The store gave no jobs out. `Err` where it takes nothing any more, else after a pause.
    pub(super) async fn refused(&mut self, queue: &Queue, error: &StoreError) -> Result<(), ()> {
        if matches!(error, StoreError::Failed(_) | StoreError::Closed) {
            return Err(());
        }
        warn!(queue = %queue.name, %error, "jobs could not be claimed");
        let pause = self.backoff.next();
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => {}
            () = sleep(pause) => {}
        }
        Ok(())
    }

    /// A claim for so many, but for those who want to be left alone.
    pub(super) fn claim_of(
        &self,
        queue: &Queue,
        runner: &Arc<dyn Runner>,
        wanted: usize,
        passed: &[(GroupName, Timestamp)],
    ) -> Claim {
        // Where no bound is written, ours must count the jobs that endpoints settle later: they hold no slot here.
        let pushes = runner.kind() == WorkerKind::Push;
        Claim {
            queue: queue.name.clone(),
            running_max: queue.concurrency(self.cores).filter(|_| pushes),
            claimer: Claimer {
                worker: self.worker.clone(),
                kind: runner.kind(),
                term: queue.lease_for(),
                claim_id: None,
            },
            nonces: (0..wanted).map(|_| self.shop.random.nonce()).collect(),
            passing_over: passed.iter().map(|(group, _)| group.clone()).collect(),
        }
    }

    /// Claims, and waits in the store for jobs to come; taken back once there is a reason to ask anew.
    async fn claim_when_ready(&mut self, queue: &Queue, claim: Claim) -> Result<Vec<Leased>, StoreError> {
        let store = self.shop.store.clone();
        let (first, wanted) = (claim.nonces.first().copied(), claim.nonces.len());
        let mut answer = store.claim_when_ready(&queue.namespace, claim);
        tokio::select! {
            biased;
            answered = &mut answer => {
                // A claim that waits says by itself that there is nothing more; where it does not, a hint does.
                self.hungry = answered.as_ref().is_ok_and(|leased| !leased.is_empty());
                return answered;
            }
            () = self.asks_anew(queue, wanted) => {}
        }
        if let Some(first) = first {
            store.withdraw(&queue.namespace, &queue.name, first);
        }
        answer.await
    }

    /// Until a claim of so many that waits is not what is wanted any more.
    async fn asks_anew(&mut self, queue: &Queue, wanted: usize) {
        let poll = sleep(self.poll());
        tokio::select! {
            biased;
            // Not for each slot that becomes free: a claim for half of them does for a while.
            () = self.told(|line| line.free(queue).min(CLAIM_MAX) >= 2 * wanted) => {}
            () = poll => {}
        }
    }

    /// Until the line is to leave, its settings have changed, or a slot became free and this is so.
    pub(super) async fn told(&mut self, so: impl Fn(&Self) -> bool) {
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                changed = self.settings.changed() => {
                    // Fails only where dispatch itself is gone.
                    self.orphaned |= changed.is_err();
                    return;
                }
                () = self.slots.wake.notified() => if so(self) {
                    return;
                }
            }
        }
    }

    fn start(
        &self,
        queue: &Arc<Queue>,
        runner: &Arc<dyn Runner>,
        asked: Instant,
        leased: Vec<Leased>,
        places: Vec<Place>,
    ) {
        let asked = claimed_at(asked, &leased, self.shop.store.now());
        let late = asked.elapsed() > queue.lease_for().mul_f32(0.8);
        let interrupted = self.stopping.is_cancelled();
        let former = self.settings.borrow().as_deref().map(works) != self.made_for;
        for (leased, place) in with_places(leased, places) {
            if late || interrupted || former {
                attempt::give_back(&self.shop, &leased, interrupted, self.slots.take());
                continue;
            }
            if let Some(place) = &place {
                runner.begun(place);
            }
            self.begin(queue, runner, asked, leased, place);
        }
    }

    pub(super) fn begin(
        &self,
        queue: &Arc<Queue>,
        runner: &Arc<dyn Runner>,
        asked: Instant,
        leased: Leased,
        place: Option<Place>,
    ) {
        let attempt = Attempt {
            leased,
            queue: queue.clone(),
            runner: runner.clone(),
            asked,
            slot: self.slots.take(),
            place,
        };
        attempt::start(&self.shop, attempt);
    }
}

/// When these were claimed, or somewhat earlier: a claim may have waited for them.
pub(super) fn claimed_at(asked: Instant, leased: &[Leased], now: Timestamp) -> Instant {
    let lease = leased.first().and_then(|leased| leased.job.lease());
    let age = lease.map(|lease| now.since(lease.started_at));
    let claimed = age.and_then(|age| Instant::now().checked_sub(age));
    claimed.map_or(asked, |claimed| claimed.max(asked))
}

/// Each job with where it goes, where that was reserved; places that are left are given back.
fn with_places(leased: Vec<Leased>, places: Vec<Place>) -> impl Iterator<Item = (Leased, Option<Place>)> {
    let places = places.into_iter().map(Some);
    leased
        .into_iter()
        .zip(places.chain(std::iter::repeat_with(|| None)))
}

/// What decides how a queue's jobs are worked.
pub(super) fn works(queue: &Queue) -> (Worker, bool) {
    (queue.worker(), queue.managed)
}
