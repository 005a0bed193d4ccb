//! What the writer keeps in RAM beside the rows: ready queues, timers, leases, counts.
//!
//! Invariant: it is a function of the rows. [`Memory::load`] builds it from them, [`Memory::leave`] and
//! [`Memory::enter`] follow each transition, and after a rollback it is built anew; so nothing in it can be lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use raincheck_core::content::Input;
use raincheck_core::job::{Job, Phase};
use raincheck_core::name::{GroupName, Namespace, QueueName, WorkerName};
use raincheck_core::output::Mark;
use raincheck_core::queue::Queue;
use raincheck_core::time::Timestamp;

use crate::ready::Place;
use crate::recent::Recent;
use crate::row::{QueueKey, QueueNames};

mod batches;
mod damaged;
mod due;
mod groups;
mod load;
mod queue;
mod rates;
mod unwritten;

pub(crate) use batches::{BatchKey, LiveBatch, ended};
pub(crate) use damaged::Damaged;
pub(crate) use queue::QueueMemory;
use queue::slot;
pub(crate) use rates::Rates;
pub(crate) use unwritten::{New, Unwritten};

/// A map whose keys are names: its seed is another in every process.
type Named<K, V> = HashMap<K, V, foldhash::quality::RandomState>;

/// A map whose keys are numbers that this store gave out: nobody can choose them to collide, so hashing them is cheap.
pub(crate) type Numbered<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A job that waits for its `run_at`.
#[derive(Debug)]
struct Timer {
    queue: QueueKey,
    priority: u8,
    group: Option<GroupName>,
    batch: Option<BatchKey>,
}

/// What a worker called its claim.
type ClaimKey = (QueueKey, WorkerName, String);

/// See the module.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Who each queue's key stands for; shared with the readers whenever it grows.
    pub(crate) names: Arc<QueueNames>,
    keys: Named<Namespace, Named<QueueName, QueueKey>>,
    pub(crate) queues: Numbered<QueueKey, QueueMemory>,
    timers: BTreeMap<(i64, u64), Timer>,
    /// Waiting jobs that will be overdue, by when.
    overdue: BTreeMap<(i64, u64), (QueueKey, Option<GroupName>, Place)>,
    /// Waiting jobs that are overdue, their queue, and whether it counts them as `aside` (else as scheduled).
    aside: BTreeMap<u64, (QueueKey, bool)>,

    leases: BTreeSet<(i64, u64)>,
    /// When each running job's lease ends.
    held: Numbered<u64, i64>,
    claims: Named<ClaimKey, Vec<u64>>,
    /// By how much the clock was set, in all, while the store was open.
    pub(crate) moved: i64,
    /// The last key of a result that lies beside its job's row.
    last_result: i64,
    /// Where the rates that are set stand.
    pub(crate) rates: Rates,
    staged: Vec<(QueueKey, Option<GroupName>, Place)>,
    /// Jobs of which a row is not as it was written.
    pub(crate) damaged: Damaged,
    /// Whether one of them is counted here still, so that this is to be built anew.
    stale: bool,
    /// Queues of which the transaction under way took a ready job out of turn.
    parted: Vec<QueueKey>,
    recent: Recent<(QueueKey, Arc<Job>, Option<Input>)>,
    /// Jobs that the transaction under way accepted and has not written yet.
    pub(crate) unwritten: Unwritten,
    /// Where running jobs' chunks have got to, of those that emitted since this was built; else their last row tells.
    marks: Numbered<u64, Mark>,
    /// Batches that are not done.
    pub(crate) batches: Numbered<BatchKey, LiveBatch>,
    /// Those of them whose rows are older.
    touched_batches: Vec<BatchKey>,
    /// How often a group's limits were looked at.
    #[cfg(test)]
    looked: std::sync::atomic::AtomicU64,
}

/// The largest input kept with its job.
const RECENT_INPUT_BYTES: usize = 4096;

/// Before the keys of results that lie beside their jobs' rows: no job has such a key, for theirs are below 2^60, so that those which an
/// earlier version kept at their jobs' keys stay where they are.
const FIRST_RESULT: i64 = 1 << 60;

fn batch_of(job: &Job) -> Option<BatchKey> {
    job.member.map(|member| member.batch.seq())
}

pub(crate) fn place(job: &Job) -> Place {
    (job.priority, job.run_at.as_millis(), job.id.seq())
}

impl Memory {
    /// Without jobs; the newest are kept beside their rows, at most so many.
    fn new(recent_jobs: usize) -> Self {
        Self {
            names: Arc::default(),
            keys: Named::default(),
            queues: Numbered::default(),
            timers: BTreeMap::new(),
            overdue: BTreeMap::new(),
            aside: BTreeMap::new(),
            leases: BTreeSet::new(),
            held: Numbered::default(),
            claims: Named::default(),
            moved: 0,
            last_result: FIRST_RESULT,
            rates: Rates::default(),
            staged: Vec::new(),
            damaged: Damaged::default(),
            stale: false,
            parted: Vec::new(),
            recent: Recent::new(recent_jobs),
            unwritten: Unwritten::default(),
            marks: Numbered::default(),
            batches: Numbered::default(),
            touched_batches: Vec::new(),
            #[cfg(test)]
            looked: std::sync::atomic::AtomicU64::default(),
        }
    }

    /// How many jobs are kept beside their rows at most.
    pub(crate) const fn recent_jobs(&self) -> usize {
        self.recent.capacity()
    }

    /// The key of a queue, deleted ones included.
    pub(crate) fn key(&self, ns: &Namespace, name: &QueueName) -> Option<QueueKey> {
        self.keys.get(ns)?.get(name).copied()
    }

    /// A queue that exists.
    pub(crate) fn queue(&self, ns: &Namespace, name: &QueueName) -> Option<(QueueKey, Arc<Queue>)> {
        let key = self.key(ns, name)?;
        Some((key, Arc::clone(self.queues.get(&key)?.queue.as_ref()?)))
    }

    /// The settings that hold for a job of this queue: its own, or the defaults once it was deleted.
    pub(crate) fn settings(&self, key: QueueKey, job: &Job) -> Arc<Queue> {
        self.queues
            .get(&key)
            .and_then(|memory| memory.queue.clone())
            .unwrap_or_else(|| {
                let spec = raincheck_core::queue::QueueSpec::default();
                Arc::new(Queue::new(
                    job.namespace.clone(),
                    job.queue.clone(),
                    spec,
                    job.created_at,
                ))
            })
    }

    /// Notes a queue's settings, or that it was deleted.
    pub(crate) fn set_queue(
        &mut self,
        key: QueueKey,
        ns: &Namespace,
        name: &QueueName,
        queue: Option<Arc<Queue>>,
    ) {
        if !self.names.contains_key(&key) {
            Arc::make_mut(&mut self.names).insert(key, (ns.clone(), name.clone()));
            self.keys.entry(ns.clone()).or_default().insert(name.clone(), key);
        }
        self.queues
            .entry(key)
            .or_insert_with(|| QueueMemory::new(None))
            .queue = queue;
    }

    /// Follows a job into its next phase.
    pub(crate) fn enter(&mut self, key: QueueKey, job: &Job, now: Timestamp) {
        let seq = job.id.seq();
        match &job.phase {
            Phase::Waiting => {
                self.enter_waiting(key, place(job), job.group.clone(), batch_of(job), now);
                if let Some(overdue) = job.overdue_at() {
                    let entry = (key, job.group.clone(), place(job));
                    self.overdue.insert((overdue.as_millis(), seq), entry);
                }
            }
            Phase::Running(lease) => {
                let ends_at = lease.ends_at().as_millis();
                self.leases.insert((ends_at, seq));
                self.held.insert(seq, ends_at);
                if let Some(claim_id) = &lease.claim_id {
                    self.claims
                        .entry((key, lease.worker.clone(), claim_id.clone()))
                        .or_default()
                        .push(seq);
                }
                let memory = self.at(key);
                memory.running += 1;
                memory.groups.ran(job.group.as_ref(), true);
                self.member_runs(batch_of(job), true);
            }
            Phase::Done { outcome, .. } => self.at(key).finished[slot(*outcome)] += 1,
        }
    }

    fn enter_waiting(
        &mut self,
        key: QueueKey,
        place: Place,
        group: Option<GroupName>,
        batch: Option<BatchKey>,
        now: Timestamp,
    ) {
        let (priority, run_at, seq) = place;
        if run_at > now.as_millis() {
            self.timers.insert(
                (run_at, seq),
                Timer {
                    queue: key,
                    priority,
                    group,
                    batch,
                },
            );
            self.at(key).scheduled += 1;
            self.member_scheduled(batch, true);
        } else {
            self.staged.push((key, group, place));
            self.at(key).staged += 1;
        }
    }

    /// Keeps a job that was just written for its next step; its input, where that is at hand and small, too.
    pub(crate) fn keep(&mut self, key: QueueKey, job: &Arc<Job>, input: Option<&Input>) {
        let input = input
            .filter(|input| input.body.len() <= RECENT_INPUT_BYTES)
            .cloned();
        self.recent.put(job.id.seq(), (key, Arc::clone(job), input));
    }

    /// A job that was just written.
    pub(crate) fn kept(&self, seq: u64) -> Option<&(QueueKey, Arc<Job>, Option<Input>)> {
        self.recent.get(seq)
    }

    /// The key for the next result. They only grow: each page of results is filled after the other, where the order of the jobs
    /// would split full ones.
    pub(crate) const fn next_result(&mut self) -> i64 {
        self.last_result += 1;
        self.last_result
    }

    /// Where a job's chunks have got to, where that is known here.
    pub(crate) fn mark(&self, seq: u64) -> Option<&Mark> {
        self.marks.get(&seq)
    }

    /// Notes where a running job's chunks have got to.
    pub(crate) fn set_mark(&mut self, seq: u64, mark: Mark) {
        self.marks.insert(seq, mark);
    }

    /// The job's lease is over: what it emits next is another claim's.
    pub(crate) fn forget_mark(&mut self, seq: u64) {
        self.marks.remove(&seq);
    }

    /// Takes a job out of the phase it is in.
    pub(crate) fn leave(&mut self, key: QueueKey, job: &Job) {
        let seq = job.id.seq();
        self.recent.take(seq);
        match &job.phase {
            Phase::Waiting => {
                self.leave_waiting(key, job);
                if let Some(overdue) = job.overdue_at() {
                    self.overdue.remove(&(overdue.as_millis(), seq));
                }
            }
            Phase::Running(lease) => {
                if let Some(ends_at) = self.held.remove(&seq) {
                    self.leases.remove(&(ends_at, seq));
                }
                if let Some(claim_id) = &lease.claim_id {
                    self.forget_claim((key, lease.worker.clone(), claim_id.clone()), seq);
                }
                let memory = self.at(key);
                memory.running -= 1;
                memory.groups.ran(job.group.as_ref(), false);
                self.member_runs(batch_of(job), false);
            }
            Phase::Done { outcome, .. } => self.at(key).finished[slot(*outcome)] -= 1,
        }
    }

    fn leave_waiting(&mut self, key: QueueKey, job: &Job) {
        let place = place(job);
        if self.aside.remove(&place.2).is_some_and(|(_, counted)| counted) {
            self.at(key).aside -= 1;
        } else if self.timers.remove(&(place.1, place.2)).is_some() {
            self.at(key).scheduled -= 1;
            self.member_scheduled(batch_of(job), false);
        } else if self.at(key).ready.remove(&job.group, &place) {
            self.parted.push(key);
        } else {
            // Neither: it was popped for a claim, or it is staged by this very transaction.
            let before = self.staged.len();
            self.staged.retain(|(_, _, staged)| *staged != place);
            let gone = (before - self.staged.len()) as u64;
            self.at(key).staged -= gone;
        }
    }

    fn forget_claim(&mut self, claim: ClaimKey, seq: u64) {
        if let std::collections::hash_map::Entry::Occupied(mut entry) = self.claims.entry(claim) {
            entry.get_mut().retain(|held| *held != seq);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
    }

    fn at(&mut self, key: QueueKey) -> &mut QueueMemory {
        self.queues.entry(key).or_insert_with(|| QueueMemory::new(None))
    }

    /// Jobs that a claim of this name took and still holds.
    pub(crate) fn claimed(&self, key: QueueKey, worker: &WorkerName, claim_id: &str) -> Vec<u64> {
        self.claims
            .get(&(key, worker.clone(), claim_id.to_owned()))
            .cloned()
            .unwrap_or_default()
    }

    /// Sets a job aside that cannot be read, so that the others go on. Unless it was taken out of here before
    /// (`popped`), it counts until this is built anew.
    pub(crate) fn set_aside(&mut self, seq: u64, why: String, popped: bool) {
        if let Some(ends_at) = self.held.remove(&seq) {
            self.leases.remove(&(ends_at, seq));
        }
        self.aside.remove(&seq);
        self.recent.take(seq);
        self.stale |= !popped;
        self.damaged.add(seq, why);
    }

    /// Whether a job that was set aside is counted here still.
    pub(crate) const fn is_stale(&self) -> bool {
        self.stale
    }

    /// The jobs that run.
    pub(crate) fn running(&self) -> Vec<u64> {
        self.held.keys().copied().collect()
    }

    /// The jobs that run, and those that wait and may become overdue.
    pub(crate) fn timed(&self) -> BTreeSet<u64> {
        let limited = self.overdue.keys().map(|(_, seq)| seq);
        self.held
            .keys()
            .chain(limited)
            .chain(self.aside.keys())
            .copied()
            .collect()
    }

    /// The next job whose lease has lapsed at `now`.
    pub(crate) fn lapsed(&self, now: Timestamp) -> Option<u64> {
        self.leases
            .first()
            .filter(|(ends_at, _)| *ends_at <= now.as_millis())
            .map(|(_, seq)| *seq)
    }

    /// A waiting job that is overdue.
    pub(crate) fn overdue(&self) -> Option<u64> {
        self.aside.first_key_value().map(|(seq, _)| *seq)
    }

    /// When the next lease lapses or the next waiting job is overdue; `now` where one is already.
    pub(crate) fn next_reclaim(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.aside.is_empty() {
            return Some(now);
        }
        let next = [
            self.leases.first(),
            self.overdue.first_key_value().map(|(key, _)| key),
        ];
        next.into_iter()
            .flatten()
            .map(|(at, _)| Timestamp::from_millis(*at))
            .min()
    }

    /// Jobs of a queue that wait, at most `limit`: ready ones first, scheduled ones last.
    pub(crate) fn waiting(&self, key: QueueKey, limit: usize) -> Vec<u64> {
        let ready = self
            .queues
            .get(&key)
            .into_iter()
            .flat_map(|memory| memory.ready.iter());
        let staged = self
            .staged
            .iter()
            .filter(|staged| staged.0 == key)
            .map(|(_, _, place)| place.2);
        let overdue = self
            .aside
            .iter()
            .filter(|(_, aside)| **aside == (key, true))
            .map(|(seq, _)| *seq);
        let scheduled = self
            .timers
            .iter()
            .filter(|(_, timer)| timer.queue == key)
            .map(|((_, seq), _)| *seq);
        ready
            .chain(staged)
            .chain(overdue)
            .chain(scheduled)
            .take(limit)
            .collect()
    }
}
