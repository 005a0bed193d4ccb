//! What an operation works with inside the transaction.
//!
//! Invariant: a job changes in its row, in the memory and in what is told in one call, so that the three cannot part.

use std::sync::Arc;

use raincheck_core::batch::Batch;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::{Job, Phase};
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::Namespace;
use raincheck_core::output::Chunk;
use raincheck_core::store::{Change, Missing};
use raincheck_core::time::Timestamp;
use rusqlite::Connection;

use crate::apply::{batches, deliveries, unique};
use crate::fresh::{Fresh, Step};
use crate::memory::Memory;
use crate::row::{self, Left, QueueKey, WriteRows};
use crate::told::Told;
use crate::vault::Sealer;
use crate::waiting::Waiters;
use crate::{body, sum};

/// What an operation works with inside the transaction.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    /// Writes the rows of jobs.
    pub(crate) rows: &'a dyn WriteRows,
    pub(crate) memory: &'a mut Memory,
    /// The stamp of every operation of this pass.
    pub(crate) now: Timestamp,
    /// What the observer is told after the commit.
    pub(crate) told: &'a mut Told,
    /// Claims that wait.
    pub(crate) waiters: &'a mut Waiters,
    /// What was committed before.
    pub(crate) fresh: &'a Fresh,
    /// Seals what must not lie in the clear.
    pub(crate) sealer: &'a Sealer,
}

impl Tx<'_> {
    /// Writes what is written once a transaction, at its end.
    pub(crate) fn flush(&mut self) -> rusqlite::Result<()> {
        self.write_new()?;
        batches::flush(self)?;
        self.memory.rates.flush(self.conn, self.now)
    }

    /// An instant as rows have it that say from when something may go.
    pub(crate) const fn without_moves(&self, at: Timestamp) -> i64 {
        at.as_millis().saturating_sub(self.memory.moved)
    }

    /// Writes the rows of jobs that have none yet: before anything looks at the rows.
    pub(crate) fn write_new(&mut self) -> rusqlite::Result<()> {
        if !self.memory.unwritten.is_empty() {
            let new: Vec<_> = self.memory.unwritten.take().collect();
            self.rows.insert(&new)?;
        }
        Ok(())
    }

    /// A job that was just written, or is about to be.
    fn at_hand(&self, seq: u64) -> Option<(QueueKey, &Arc<Job>, Option<&Input>)> {
        if let Some((key, job, input)) = self.memory.kept(seq) {
            return Some((*key, job, input.as_ref()));
        }
        let new = self.memory.unwritten.get(seq)?;
        Some((new.queue, &new.job, new.input.as_ref()))
    }

    /// Reads a job.
    pub(crate) fn load(
        &self,
        ns: &Namespace,
        id: JobId,
    ) -> rusqlite::Result<Result<(QueueKey, Arc<Job>), Missing>> {
        if let Some((key, job, _)) = self.at_hand(id.seq())
            && job.id == id
            && job.namespace == *ns
        {
            return Ok(Ok((key, Arc::clone(job))));
        }
        let found = row::load(self.conn, &self.memory.names, ns, id)?;
        Ok(found.map(|(key, job)| (key, Arc::new(job))))
    }

    /// Reads a job that the memory knows.
    pub(crate) fn load_seq(&self, seq: u64) -> rusqlite::Result<Option<(QueueKey, Arc<Job>)>> {
        if let Some((key, job, _)) = self.at_hand(seq) {
            return Ok(Some((key, Arc::clone(job))));
        }
        Ok(
            match row::load_key(self.conn, &self.memory.names, seq.cast_signed())? {
                Some(row::Found::Job(key, job)) => Some((key, Arc::from(job))),
                Some(row::Found::Gone(..)) | None => None,
            },
        )
    }

    /// Sets a job aside of which this error says that it is not as it was written, so that the others go on; `popped`
    /// where the memory does not count it any more.
    ///
    /// # Errors
    /// The error, where it says something else.
    pub(crate) fn set_aside(
        &mut self,
        seq: u64,
        error: rusqlite::Error,
        popped: bool,
    ) -> rusqlite::Result<()> {
        if !sum::is_damage(&error) {
            return Err(error);
        }
        self.memory.set_aside(seq, sum::told(&error), popped);
        Ok(())
    }

    /// Reads a job's input.
    pub(crate) fn input(&self, id: JobId) -> rusqlite::Result<Input> {
        if let Some((_, job, Some(input))) = self.at_hand(id.seq())
            && job.id == id
        {
            return Ok(input.clone());
        }
        Ok(body::input(self.conn, id)?.unwrap_or_default())
    }

    /// Writes a transition back, in the row and in memory.
    pub(crate) fn store(&mut self, key: QueueKey, before: &Job, after: &Arc<Job>) -> rusqlite::Result<()> {
        self.store_ended(key, before, after, Left::Nothing)
    }

    /// Keeps a result beside its job's row; gives back where.
    pub(crate) fn put_result(
        &mut self,
        id: JobId,
        result: &JobResult,
        emitted: Option<Fence>,
    ) -> rusqlite::Result<i64> {
        let at = self.memory.next_result();
        self.rows.insert_result(at, id, result, emitted)?;
        Ok(at)
    }

    /// The same with what the attempt's end left.
    pub(crate) fn store_ended(
        &mut self,
        key: QueueKey,
        before: &Job,
        after: &Arc<Job>,
        left: Left<'_>,
    ) -> rusqlite::Result<()> {
        let later = self.follow_new(key, before, after)?;
        let ends = after.done() && !before.done();
        let place = if ends {
            batches::count_end(self, after)
        } else {
            None
        };
        if !later {
            self.rows.write(before, after, left, place, self.memory.moved)?;
        }
        if ends {
            let queue = self
                .memory
                .queues
                .get(&key)
                .and_then(|memory| memory.queue.clone());
            deliveries::record(self, queue.as_deref(), after)?;
            if after.member.is_some() {
                batches::member_ended(self, after)?;
            }
        }
        unique::follow(self.conn, key, before, after)?;
        if matches!(before.phase, Phase::Waiting) != matches!(after.phase, Phase::Waiting) {
            self.count_bytes(key, before, after)?;
        }
        self.memory.leave(key, before);
        self.memory.enter(key, after, self.now);
        if !after.done() {
            self.memory.keep(key, after, None);
        }
        if before.lease().is_some() != after.lease().is_some()
            && let Some(group) = &after.group
            && self
                .memory
                .queues
                .get(&key)
                .is_some_and(|memory| memory.groups.counted())
            && self.memory.weigh(key, group, self.now)
        {
            self.wake(key);
        }
        self.told.fresh.push(Step::moved(after));
        if before.lease().is_some() {
            if after.lease().is_none() {
                self.memory.forget_mark(after.id.seq());
            }
            // Bounds that are not written are kept by those who work the queue, and they do not see an endpoint leave.
            let handed_over = |job: &Job| {
                job.lease()
                    .is_some_and(|lease| lease.kind == WorkerKind::Deferred)
            };
            if self.memory.has_room_again(key) || (handed_over(before) && !handed_over(after)) {
                self.wake(key);
            }
        }
        Ok(())
    }

    /// Whether the job is claimed by the transaction that accepts it: its row is written once, as it is then. For anything
    /// else it is written here.
    fn follow_new(&mut self, key: QueueKey, before: &Job, after: &Arc<Job>) -> rusqlite::Result<bool> {
        if self.memory.unwritten.get(after.id.seq()).is_none() {
            return Ok(false);
        }
        let claimed = matches!((&before.phase, &after.phase), (Phase::Waiting, Phase::Running(_)));
        // Where bytes are bounded, what the row holds is asked for.
        let counted = self
            .memory
            .queues
            .get(&key)
            .is_some_and(|memory| memory.bytes.is_some());
        if claimed && !counted {
            return Ok(self.memory.unwritten.follow(after));
        }
        self.write_new()?;
        Ok(false)
    }

    /// Follows how many bytes wait in a queue that bounds them.
    fn count_bytes(&mut self, key: QueueKey, before: &Job, after: &Job) -> rusqlite::Result<()> {
        let Some(bytes) = self.memory.queues.get(&key).and_then(|memory| memory.bytes) else {
            return Ok(());
        };
        let size = body::input_bytes(self.conn, after.id)?;
        let bytes = if matches!(before.phase, Phase::Waiting) {
            bytes.saturating_sub(size)
        } else {
            bytes.saturating_add(size)
        };
        if let Some(memory) = self.memory.queues.get_mut(&key) {
            memory.bytes = Some(bytes);
        }
        Ok(())
    }

    /// Has the observer told of a change once it is committed.
    pub(crate) fn tell(&mut self, change: Change) {
        self.told.fresh.extend(Step::told(&change));
        self.told.changes.push(change);
    }

    /// Follows a job that was just accepted.
    pub(crate) fn accepted(&mut self, key: QueueKey, job: Arc<Job>, input: &Input) {
        if let Some(bytes) = self
            .memory
            .queues
            .get_mut(&key)
            .and_then(|memory| memory.bytes.as_mut())
        {
            *bytes += input.body.len() as u64;
        }
        self.memory.enter(key, &job, self.now);
        self.memory.keep(key, &job, Some(input));
        self.told.fresh.push(Step::moved(&job));
        self.tell_advanced(job);
    }

    /// Follows a finished job of which only a tombstone is left.
    pub(crate) fn buried(&mut self, key: QueueKey, job: &Job) {
        self.memory.leave(key, job);
        self.told.fresh.push(Step::Drop(job.id.seq()));
    }

    /// Has the observer told that a job was accepted, claimed or renewed with progress, once that is committed.
    pub(crate) fn tell_advanced(&mut self, job: Arc<Job>) {
        self.told.advanced.push(job);
    }

    /// Has the observer told of a chunk once it is committed.
    pub(crate) fn tell_emitted(&mut self, chunk: Arc<Chunk>) {
        self.told.emitted.push(chunk);
    }

    /// Has the observer told how a batch is once that is committed.
    pub(crate) fn tell_batch(&mut self, batch: Arc<Batch>) {
        self.told.batches.push(batch);
    }

    /// Has the observer told that a queue has jobs to claim again.
    pub(crate) fn wake(&mut self, key: QueueKey) {
        self.told.woken.push(key);
    }
}
