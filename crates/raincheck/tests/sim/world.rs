//! What everybody in a schedule shares: time, the disk, the checker, and which run of the node it is.
//!
//! Invariant: an operation takes effect in one place, [`World::carry_out`], under one lock, and the checker sees it there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raincheck::Node;
use raincheck::tasks::Group;
use raincheck_core::clock::{Clock, ManualClock};
use raincheck_core::id::{IdGenerator, JobId};
use raincheck_core::list::{Filter, PAGE_MAX, Page};
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::{Answer, Change, Observer, Store, StoreError};
use raincheck_core::time::Timestamp;
use tokio::time::Instant;

use crate::broken::Bug;
use crate::check::Checker;
use crate::disk::Disk;
use crate::door::Door;
use crate::log::{Event, Log};
use crate::plan::{Faults, Plan};
use crate::rng::Rng;

/// What changes, behind one lock.
#[derive(Debug)]
pub(crate) struct State {
    disk: Disk,
    /// The store of the present run; none between two runs.
    store: Option<Arc<dyn Store>>,
    pub(crate) epoch: u64,
    /// Whether the present run's store takes nothing any more.
    pub(crate) poisoned: bool,
    pub(crate) node: Option<Node>,
    /// The present run's node, as far as it listens.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) faults: Faults,
    pub(crate) rng: Rng,
    pub(crate) checker: Checker,
    pub(crate) log: Log,
}

/// One schedule's world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) bug: Option<Bug>,
    pub(crate) ns: Namespace,
    /// Tasks of the simulation itself.
    pub(crate) tasks: Group,
    began: Instant,
    origin: Timestamp,
    clock: Arc<ManualClock>,
    ids: IdGenerator,
    minted: AtomicU64,
    /// Whether the faults have stopped and everybody behaves.
    quiet: AtomicBool,
    tap: Arc<Tap>,
    state: Mutex<State>,
}

/// Hears what the store tells while an operation is carried out.
#[derive(Debug, Default)]
struct Tap(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    changes: Vec<Change>,
    ready: Vec<(Namespace, QueueName)>,
}

impl Tap {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Tap {
    fn changed(&self, changes: Vec<Change>) {
        self.told().changes.extend(changes);
    }

    fn ready(&self, queues: Vec<(Namespace, QueueName)>) {
        self.told().ready.extend(queues);
    }

    fn failed(&self, _: &str) {}
}

impl World {
    pub(crate) fn new(plan: Plan, bug: Option<Bug>) -> Arc<Self> {
        let clock = Arc::new(ManualClock::default());
        let mut rng = plan.rng.clone();
        let state = State {
            disk: Disk::new(plan.sqlite, clock.clone()),
            store: None,
            epoch: 0,
            poisoned: false,
            node: None,
            observer: None,
            faults: Faults::default(),
            rng: rng.fork(),
            checker: Checker::default(),
            log: Log::default(),
        };
        Arc::new(Self {
            plan,
            bug,
            ns: Namespace::default(),
            tasks: Group::new("simulation"),
            began: Instant::now(),
            origin: clock.now(),
            clock,
            ids: IdGenerator::after(0),
            minted: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            tap: Arc::default(),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present instant: the runtime's paused time, to which the store's clock is turned first.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.origin.plus(self.began.elapsed());
        self.clock.advance(now.since(self.clock.now()));
        now
    }

    pub(crate) fn mint(&self) -> JobId {
        let number = self.minted.fetch_add(1, Ordering::Relaxed) + 1;
        self.ids.next(self.now(), number)
    }

    pub(crate) fn quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    /// The faults stop, and everybody behaves from now on.
    pub(crate) fn calm_down(&self) {
        self.quiet.store(true, Ordering::Relaxed);
        self.state().faults = Faults::default();
    }

    /// Whether a rule was broken.
    pub(crate) fn broken(&self) -> bool {
        self.state().checker.broken.is_some()
    }

    pub(crate) fn hit(&self, what: &'static str) {
        self.state().checker.cover.hit(what);
    }

    pub(crate) fn event(&self, what: &'static str, job: Option<JobId>, outcome: &'static str) {
        let mut state = self.state();
        self.log(&mut state, what, job, outcome);
    }

    fn log(&self, state: &mut State, what: &'static str, job: Option<JobId>, outcome: &'static str) {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let epoch = state.epoch;
        state.log.push(Event {
            at,
            epoch,
            what,
            job,
            outcome,
        });
    }

    /// The door to the store as whoever comes now finds it.
    pub(crate) fn door(self: &Arc<Self>) -> Arc<Door> {
        let epoch = self.state().epoch;
        Arc::new(Door::new(self.clone(), epoch))
    }

    /// Opens the store for the next run, and looks at everything in it.
    pub(crate) fn open(self: &Arc<Self>) -> Arc<Door> {
        self.now();
        let mut guard = self.state();
        let state = &mut *guard;
        state.epoch += 1;
        state.poisoned = false;
        let seed = state.rng.next();
        let store = state.disk.open(seed);
        store.observe(self.tap.clone());
        state.store = Some(store);
        self.log(state, "open", None, "");
        self.sweep(state, true);
        drop(guard);
        self.door()
    }

    /// Ends the present run: what it knew is gone, and so is every answer under way.
    pub(crate) fn end(&self, how: &'static str) {
        let mut guard = self.state();
        let state = &mut *guard;
        self.log(state, "end", None, how);
        state.epoch += 1;
        state.observer = None;
        if state.store.take().is_some() {
            state.disk.end();
        }
        let node = state.node.take();
        drop(guard);
        if let Some(node) = node {
            node.abort();
        }
    }

    /// Reads every job there is or was.
    pub(crate) fn look_at_all(&self) {
        self.now();
        let mut guard = self.state();
        self.sweep(&mut guard, false);
    }

    fn sweep(&self, state: &mut State, opened: bool) {
        let Some(store) = state.store.clone() else { return };
        let ns = &self.ns;
        for id in state.checker.ids() {
            let found = state.disk.carry_out(&store, |store| store.result(ns, id));
            let found = found.expect("an open store reads");
            if opened {
                state.checker.reopened(id, &found);
            } else {
                state.checker.read_result(id, &found);
            }
        }
        let mut page = Page {
            filter: Filter::default(),
            cursor: None,
            limit: PAGE_MAX,
        };
        let mut listed = Vec::new();
        loop {
            let part = state.disk.carry_out(&store, |store| store.list(ns, page.clone()));
            let part = part.expect("an open store reads");
            listed.extend(part.jobs);
            page.cursor = part.cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        state.checker.listed(&listed);
        let _ = std::mem::take(&mut *self.tap.told());
    }

    /// Carries one operation out for a caller of the run `epoch`: `Err` where that run is over. `judge` tells the checker
    /// and gives back what the log says.
    pub(crate) fn carry_out<T: Send>(
        &self,
        epoch: u64,
        what: &'static str,
        job: Option<JobId>,
        operation: impl FnOnce(&dyn Store) -> Answer<T> + Send,
        judge: impl FnOnce(&mut Checker, &T, &[Change], Timestamp) -> &'static str,
    ) -> Result<T, StoreError> {
        let now = self.now();
        let mut guard = self.state();
        let state = &mut *guard;
        if state.epoch != epoch {
            return Err(StoreError::Closed);
        }
        let Some(store) = state.store.clone() else {
            return Err(StoreError::Closed);
        };
        let answer = state.disk.carry_out(&store, operation)?;
        let told = std::mem::take(&mut *self.tap.told());
        let outcome = judge(&mut state.checker, &answer, &told.changes, now);
        state.checker.told(&told.changes);
        self.log(state, what, job, outcome);
        let lost = state.rng.below(1000) < state.faults.hint_lost;
        let observer = state.observer.clone().filter(|_| !lost);
        if lost && !(told.changes.is_empty() && told.ready.is_empty()) {
            state.checker.cover.hit("hint lost");
        }
        drop(guard);
        if let Some(observer) = observer {
            if !told.changes.is_empty() {
                observer.changed(told.changes);
            }
            if !told.ready.is_empty() {
                observer.ready(told.ready);
            }
        }
        Ok(answer)
    }
}
