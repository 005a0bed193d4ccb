//! One run: the store, the model beside it, and everything that was seen of the two.
//!
//! Invariant: a failure names the seed, the step and the last commands, so that anybody can see it again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex, MutexGuard};

use super::command::Command;
use super::compare::{Plain, equal, same};
use super::draw::{Pool, World, draw, namespaces};
use super::rng::Rng;
use super::turns::Turns;
use crate::clock::{Clock, ManualClock};
use crate::conformance::Opened;
use crate::conformance::invariants::{History, one_holder};
use crate::conformance::model::Model;
use crate::conformance::promises::kit::{PATIENCE, breathe};
use crate::id::JobId;
use crate::job::Job;
use crate::name::{GroupName, Namespace, QueueName};
use crate::output::Chunk;
use crate::store::{Change, Missing, Observer, Store, StoreError};
use crate::time::Timestamp;

/// How many commands a failure shows.
const SHOWN: usize = 12;
/// After how many commands everything is compared.
const SWEEP: u32 = 40;

/// What happened in a run, so that a generator that has gone blind is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// How often this happened.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

/// Why a run ended early.
#[derive(Debug)]
pub(super) struct Failure {
    seed: u64,
    step: u32,
    commands: VecDeque<Command>,
    what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            step,
            commands,
            what,
        } = self;
        writeln!(
            f,
            "step {step} of seed {seed} (again: RAINCHECK_SEED={seed}): {what}"
        )?;
        writeln!(f, "the last commands:")?;
        commands
            .iter()
            .try_for_each(|command| writeln!(f, "  {command:?}"))
    }
}

/// What the store tells.
#[derive(Debug, Default)]
struct Heard {
    changes: Vec<Change>,
    advanced: Vec<Arc<Job>>,
    chunks: Vec<Arc<Chunk>>,
}

/// Keeps what the store tells.
#[derive(Debug, Default)]
struct Ear(Mutex<Heard>);

impl Ear {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().expect("nothing panics in here")
    }
}

impl Observer for Ear {
    fn changed(&self, changes: Vec<Change>) {
        self.heard().changes.extend(changes);
    }

    fn advanced(&self, jobs: Vec<Arc<Job>>) {
        self.heard().advanced.extend(jobs);
    }

    fn emitted(&self, chunks: Vec<Arc<Chunk>>) {
        self.heard().chunks.extend(chunks);
    }

    fn ready(&self, _: Vec<(Namespace, QueueName)>) {}

    fn failed(&self, reason: &str) {
        panic!("the store failed: {reason}");
    }
}

/// A store in the middle of a run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) opened: Option<Opened>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) model: Model,
    pub(super) pool: Pool,
    pub(super) turns: Turns,
    pub(super) coverage: Coverage,
    rng: Rng,
    seed: u64,
    step: u32,
    history: History,
    commands: VecDeque<Command>,
    /// The greatest id that the store gave out.
    pub(super) last_seq: u64,
    ear: Arc<Ear>,
    /// Every change that the store owes its observer, by job and version.
    owed: BTreeMap<(JobId, u32), Job>,
    /// Every job that the store owes its observer for having advanced, and every chunk.
    owed_advances: Vec<Job>,
    owed_chunks: Vec<Arc<Chunk>>,
}

/// What went wrong, in words.
pub(super) type Checked = Result<(), String>;

/// An answer that every operation must give.
pub(super) fn answered<T>(answer: Result<T, StoreError>) -> Result<T, String> {
    answer.map_err(|error| format!("the store refused to work: {error}"))
}

impl Run {
    pub(super) fn new(opened: Opened, seed: u64) -> Self {
        let ear = Arc::new(Ear::default());
        opened.store.observe(ear.clone());
        Self {
            clock: opened.clock.clone(),
            opened: Some(opened),
            model: Model::default(),
            pool: Pool::default(),
            turns: Turns::default(),
            coverage: Coverage::default(),
            rng: Rng::new(seed),
            seed,
            step: 0,
            history: History::default(),
            commands: VecDeque::new(),
            last_seq: 0,
            ear,
            owed: BTreeMap::new(),
            owed_advances: Vec::new(),
            owed_chunks: Vec::new(),
        }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.opened
            .as_ref()
            .expect("it is only taken out to be opened again")
            .store
            .clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn cover(&mut self, what: &'static str) {
        *self.coverage.0.entry(what).or_default() += 1;
    }

    /// Holds a job that an answer shows against all that was seen of it.
    pub(super) fn see(&mut self, job: &Job) -> Checked {
        self.history.see(job).map_err(|broken| broken.to_string())
    }

    /// Checks that an id that the store has just given out comes after all before it.
    pub(super) fn fresh(&mut self, id: JobId) -> Checked {
        let last = std::mem::replace(&mut self.last_seq, id.seq());
        if id.seq() <= last {
            return Err(format!("{id} does not come after the ids before it"));
        }
        Ok(())
    }

    /// Runs `steps` commands.
    pub(super) async fn drive<F, R>(mut self, steps: u32, reopen: Option<&F>) -> Result<Coverage, Failure>
    where
        F: Fn(Opened) -> R,
        R: IntoFuture<Output = Opened>,
    {
        while self.step < steps {
            if let Err(what) = self.step(reopen).await {
                let Self {
                    seed, step, commands, ..
                } = self;
                return Err(Failure {
                    seed,
                    step,
                    commands,
                    what,
                });
            }
        }
        Ok(self.coverage)
    }

    async fn step<F, R>(&mut self, reopen: Option<&F>) -> Checked
    where
        F: Fn(Opened) -> R,
        R: IntoFuture<Output = Opened>,
    {
        self.step += 1;
        let store = self.store();
        let world = World {
            pool: &self.pool,
            model: &self.model,
            store: &*store,
            durable: reopen.is_some(),
        };
        let command = draw(&mut self.rng, &world);
        drop(store);
        self.commands.push_back(command.clone());
        if self.commands.len() > SHOWN {
            self.commands.pop_front();
        }
        match (&command, reopen) {
            (Command::Reopen, Some(reopen)) => self.reopen(reopen).await?,
            _ => self.operate(command).await?,
        }
        // Where tombstones are over a store may forget them by itself; pruning leaves nothing to guess.
        if self.model.tombstone_due(self.now()) {
            self.operate(Command::Prune(7)).await?;
        }
        if self.step.is_multiple_of(SWEEP) {
            self.sweep().await?;
        }
        Ok(())
    }

    /// One operation, with what was possible before and after it.
    async fn operate(&mut self, command: Command) -> Checked {
        let now = self.now();
        let claimable = self.open(now);
        self.turns.clock(&claimable);
        self.apply(command).await?;
        let told = self.model.tell(now);
        self.owed_advances
            .extend(told.advanced.into_iter().map(Plain::plain));
        self.owed_chunks.extend(told.emitted);
        for change in told.changes {
            self.see(&change.job)?;
            self.owed
                .insert((change.job.id, change.job.version), Job::clone(&change.job));
        }
        self.settle_turns();
        Ok(())
    }

    /// Takes note of what can be claimed now that an operation ended.
    pub(super) fn settle_turns(&mut self) {
        let now = self.now();
        let (there, open) = (self.places(|_| true), self.open(now));
        self.turns.operation(&there, &open);
    }

    /// The groups that have jobs which may start now.
    fn open(&self, now: Timestamp) -> BTreeSet<(Namespace, QueueName, Option<GroupName>)> {
        let queues = self.model.all_queues();
        let names = queues
            .iter()
            .map(|queue| (queue.namespace.clone(), queue.name.clone()));
        names
            .flat_map(|name| {
                let groups: Vec<_> = self
                    .model
                    .open(&name, now)
                    .iter()
                    .map(|job| job.group.clone())
                    .collect();
                let (ns, queue) = name;
                groups
                    .into_iter()
                    .map(move |group| (ns.clone(), queue.clone(), group))
            })
            .collect()
    }

    pub(super) fn places(
        &self,
        pick: impl Fn(&Job) -> bool,
    ) -> BTreeSet<(Namespace, QueueName, Option<GroupName>)> {
        let jobs = self.model.jobs().filter(|job| pick(job));
        jobs.map(|job| (job.namespace.clone(), job.queue.clone(), job.group.clone()))
            .collect()
    }

    pub(super) fn listen(&mut self) {
        self.store().observe(self.ear.clone());
    }

    /// Compares everything there is.
    pub(super) async fn sweep(&mut self) -> Checked {
        self.jobs_agree().await?;
        one_holder(self.model.jobs().map(AsRef::as_ref)).map_err(|broken| broken.to_string())?;
        for ns in namespaces() {
            self.queues_agree(&ns).await?;
        }
        self.observer_agrees().await
    }

    async fn jobs_agree(&mut self) -> Checked {
        let store = self.store();
        for (ns, id) in self.pool.jobs.clone() {
            let found = answered(store.result(&ns, id).await)?;
            match &found {
                Ok(change) => self.see(&change.job)?,
                Err(Missing::Deleted | Missing::Expired) => self.cover("read a tombstone"),
                Err(Missing::Unknown) => self.cover("read after the tombstone"),
            }
            same("a job and its result", found, self.model.result(&ns, id))?;
            same(
                "a job",
                answered(store.get(&ns, id).await)?,
                self.model.find(&ns, id),
            )?;
            equal(
                "an input",
                &answered(store.input(&ns, id).await)?,
                &self.model.input(&ns, id),
            )?;
            self.output_agrees(&ns, id, u32::MAX).await?;
        }
        // What is forgotten for good was looked at often enough.
        let known = |(ns, id): &(Namespace, JobId)| self.model.find(ns, *id) != Err(Missing::Unknown);
        self.pool.jobs.retain(known);
        Ok(())
    }

    /// Compares a job's chunks, read in pages of this size.
    pub(super) async fn output_agrees(&mut self, ns: &Namespace, id: JobId, limit: u32) -> Checked {
        let mut after = 0;
        loop {
            let found = answered(self.store().output(ns, id, after, limit).await)?;
            let expected = self.model.output(ns, id, after, limit);
            let last = expected
                .as_ref()
                .ok()
                .and_then(|output| output.chunks.last())
                .map(|chunk| chunk.n);
            same("an output", found, expected)?;
            match last {
                Some(n) => after = n,
                None => return Ok(()),
            }
        }
    }

    /// Compares queues and counts, with some patience: counts may be a moment old.
    pub(super) async fn queues_agree(&mut self, ns: &Namespace) -> Checked {
        let store = self.store();
        let expected = self.model.queues(ns, self.now());
        let mut found = answered(store.queues(ns).await)?;
        for _ in 0..PATIENCE {
            if found == expected {
                break;
            }
            breathe().await;
            found = answered(store.queues(ns).await)?;
        }
        equal("the queues", &found, &expected)?;
        for status in found {
            let one = answered(store.queue(ns, &status.queue.name).await)?;
            equal("a queue", &one.map(|one| one.queue), &Some(status.queue))?;
        }
        let all = answered(store.all_queues().await)?.len();
        equal("the number of all queues", &all, &self.model.all_queues().len())
    }

    /// Whether the observer was told of every change, and of none that was not.
    async fn observer_agrees(&mut self) -> Checked {
        for patience in (0..PATIENCE).rev() {
            let heard = std::mem::take(&mut *self.ear.heard());
            for told in heard.advanced {
                let told = told.plain();
                let place = self.owed_advances.iter().position(|owed| *owed == told);
                let place = place.ok_or_else(|| format!("the observer was told that {told:?} advanced"))?;
                self.owed_advances.remove(place);
            }
            // In the order in which they were kept.
            for told in heard.chunks {
                let owed = self.owed_chunks.first().cloned();
                equal("a chunk that was told", &Some(told), &owed)?;
                self.owed_chunks.remove(0);
            }
            for told in heard.changes {
                let name = (told.job.id, told.job.version);
                match self.owed.remove(&name) {
                    Some(owed) => equal(
                        "a change that was told",
                        &told.job.plain(),
                        &Arc::new(owed).plain(),
                    )?,
                    None => return Err(format!("the observer was told of {told:?}, which is not new")),
                }
            }
            if self.owed.is_empty() && self.owed_advances.is_empty() && self.owed_chunks.is_empty() {
                return Ok(());
            }
            if patience > 0 {
                breathe().await;
            }
        }
        Err(format!(
            "the observer was not told of {:?}, {:?}, {:?}",
            self.owed, self.owed_advances, self.owed_chunks
        ))
    }
}
