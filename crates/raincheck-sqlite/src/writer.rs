//! The one thread that writes.
//!
//! A pass takes all that was handed over, runs it in one transaction, syncs once, then answers everybody. Invariants: no
//! answer of a writing pass leaves before its commit returned; after a rollback the memory is built from the rows
//! again; after a failed write or sync nothing is tried again and nothing more is taken ([`StoreError::Failed`]).

use std::sync::{Arc, PoisonError, RwLock};

use raincheck_core::batch::Batch;
use raincheck_core::clock::Clock;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::Namespace;
use raincheck_core::output::Chunk;
use raincheck_core::store::{Change, Missing, Observer, StoreError};
use raincheck_core::time::Timestamp;
use rusqlite::{Connection, ErrorCode};

use crate::apply::{batches, deliveries, settle, unique};
use crate::body;
use crate::checkpoint::Checkpoint;
use crate::handover::{Handover, Round, Taken};
use crate::memory::Memory;
use crate::operation::Operation;
use crate::row::{self, QueueKey, QueueNames};
use crate::told::Told;

/// What the writer shares with the handles of the store.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Whom to tell of commits.
    pub(crate) observer: RwLock<Option<Arc<dyn Observer>>>,
    /// Who each queue's key stands for, as far as committed.
    pub(crate) names: RwLock<Arc<QueueNames>>,
}

/// What an operation works with inside the transaction.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) memory: &'a mut Memory,
    /// The stamp of every operation of this pass.
    pub(crate) now: Timestamp,
    /// What the observer is told after the commit.
    told: &'a mut Told,
}

impl Tx<'_> {
    /// Reads a job.
    pub(crate) fn load(
        &self,
        ns: &Namespace,
        id: JobId,
    ) -> rusqlite::Result<Result<(QueueKey, Arc<Job>), Missing>> {
        if let Some((key, job, _)) = self.memory.kept(id.seq())
            && job.id == id
            && job.namespace == *ns
        {
            return Ok(Ok((*key, Arc::clone(job))));
        }
        let found = row::load(self.conn, &self.memory.names, ns, id)?;
        Ok(found.map(|(key, job)| (key, Arc::new(job))))
    }

    /// Reads a job that the memory knows.
    pub(crate) fn load_seq(&self, seq: u64) -> rusqlite::Result<Option<(QueueKey, Arc<Job>)>> {
        if let Some((key, job, _)) = self.memory.kept(seq) {
            return Ok(Some((*key, Arc::clone(job))));
        }
        Ok(
            match row::load_key(self.conn, &self.memory.names, seq.cast_signed())? {
                Some(row::Found::Job(key, job)) => Some((key, Arc::from(job))),
                Some(row::Found::Gone(..)) | None => None,
            },
        )
    }

    /// Reads a job's input.
    pub(crate) fn input(&self, id: JobId) -> rusqlite::Result<Input> {
        if let Some((_, job, Some(input))) = self.memory.kept(id.seq())
            && job.id == id
        {
            return Ok(input.clone());
        }
        Ok(body::input(self.conn, id)?.unwrap_or_default())
    }

    /// Writes a transition back, in the row and in memory.
    pub(crate) fn store(&mut self, key: QueueKey, before: &Job, after: &Arc<Job>) -> rusqlite::Result<()> {
        self.store_ended(key, before, after, None)
    }

    /// The same with the result that the attempt's end left, where that goes into the row.
    pub(crate) fn store_ended(
        &mut self,
        key: QueueKey,
        before: &Job,
        after: &Arc<Job>,
        result: Option<&JobResult>,
    ) -> rusqlite::Result<()> {
        row::write(self.conn, after, result)?;
        if after.done() && !before.done() {
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
        self.memory.leave(key, before);
        self.memory.enter(key, after, self.now);
        if !after.done() {
            self.memory.keep(key, after, None);
        }
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

    /// Has the observer told of a change once it is committed.
    pub(crate) fn tell(&mut self, change: Change) {
        self.told.changes.push(change);
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

/// Why a transaction came to nothing.
enum Fault {
    /// No space is left; rolled back.
    Full,
    /// The file cannot be relied on any more. Whether the commit happened is not known if `in_doubt`.
    Broken { reason: String, in_doubt: bool },
    /// One operation cannot be run; rolled back.
    Operation(rusqlite::Error),
}

fn fault(error: rusqlite::Error, committing: bool) -> Fault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Fault::Full,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen,
        ) => Fault::Broken {
            reason: error.to_string(),
            in_doubt: committing,
        },
        _ if committing => Fault::Broken {
            reason: error.to_string(),
            in_doubt: true,
        },
        _ => Fault::Operation(error),
    }
}

/// The writing thread's state.
pub(crate) struct Writer {
    conn: Connection,
    memory: Memory,
    handover: Arc<Handover>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    checkpoint: Checkpoint,
    failed: Option<String>,
    told: Told,
}

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        memory: Memory,
        handover: Arc<Handover>,
        clock: Arc<dyn Clock>,
        shared: &Arc<Shared>,
        checkpoint: Checkpoint,
    ) -> Self {
        *shared.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&memory.names);
        let shared = Arc::clone(shared);
        Self {
            conn,
            memory,
            handover,
            clock,
            shared,
            checkpoint,
            failed: None,
            told: Told::default(),
        }
    }

    fn tx(&mut self, now: Timestamp) -> Tx<'_> {
        Tx {
            conn: &self.conn,
            memory: &mut self.memory,
            now,
            told: &mut self.told,
        }
    }

    /// Ends or mends the attempts that a former process left behind, before anybody can ask for anything.
    pub(crate) fn end_former_attempts(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        let running = self.memory.running();
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut tx = self.tx(now);
        settle::interrupt_on_open(&mut tx, &running, rand::random())?;
        batches::flush(&mut tx)?;
        self.conn.execute_batch("COMMIT")?;
        self.memory.release_staged();
        // Nobody listens yet, and who comes later asks for everything first.
        self.told = Told::default();
        Ok(())
    }

    /// Runs until the store is closed and everything pushed was answered.
    pub(crate) fn run(mut self) {
        loop {
            let now = self.clock.now();
            let patience = self.memory.next_timer().map(|due| due.since(now));
            match self.handover.take(patience) {
                Taken::Rounds(rounds) => self.pass(rounds),
                Taken::Closing => break,
            }
        }
        self.checkpoint.stop();
    }

    fn pass(&mut self, mut rounds: Vec<Round>) {
        let now = self.clock.now();
        self.told.woken.extend(self.memory.promote(now));
        if let Some(reason) = self.checkpoint.failure() {
            self.fail(reason);
        }
        if self.failed.is_none() {
            self.run_all(&mut rounds, now);
        }
        if let Some(reason) = &self.failed {
            let error = StoreError::Failed(reason.clone());
            requests(&mut rounds)
                .filter(|request| request.unanswered())
                .for_each(|request| request.fail(&error));
        }
        self.publish();
        rounds.into_iter().for_each(Round::finish);
        if self.failed.is_none()
            && let Err(error) = self.checkpoint.after_commit(&self.conn)
        {
            self.fail(error.to_string());
        }
    }

    /// Runs the pass in one transaction; where one operation cannot be run, each in one of its own.
    fn run_all(&mut self, rounds: &mut [Round], now: Timestamp) {
        if requests(rounds).next().is_none() {
            return;
        }
        let outcome = self.transact(&mut requests(rounds), now);
        match outcome {
            Ok(()) => {}
            Err(Fault::Operation(_)) => {
                for request in requests(rounds) {
                    let mut alone = std::iter::once(&mut *request);
                    if let Err(fault) = self.transact(&mut alone, now) {
                        self.answer_fault(fault, &mut std::iter::once(request));
                    }
                }
            }
            Err(fault) => self.answer_fault(fault, &mut requests(rounds)),
        }
    }

    fn answer_fault(&mut self, fault: Fault, requests: &mut dyn Iterator<Item = &mut Box<dyn Operation>>) {
        let error = match fault {
            Fault::Full => StoreError::DiskFull,
            Fault::Broken { reason, in_doubt } => {
                self.fail(reason.clone());
                if in_doubt {
                    StoreError::Unknown
                } else {
                    StoreError::Failed(reason)
                }
            }
            Fault::Operation(error) => {
                tracing::error!(error = %error, "an operation could not be run");
                StoreError::Unavailable("the operation could not be run".to_owned())
            }
        };
        requests.for_each(|request| request.fail(&error));
    }

    fn transact(
        &mut self,
        requests: &mut dyn Iterator<Item = &mut Box<dyn Operation>>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let place = self.told.place();
        let outcome = self.try_transact(requests, now);
        if outcome.is_err() {
            self.told.forget_since(place);
        }
        outcome
    }

    fn try_transact(
        &mut self,
        requests: &mut dyn Iterator<Item = &mut Box<dyn Operation>>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if let Some(reason) = &self.failed {
            return Err(Fault::Broken {
                reason: reason.clone(),
                in_doubt: false,
            });
        }
        let mut writing = false;
        for request in requests {
            if request.writes() && !writing {
                writing = true;
                let begun = self
                    .conn
                    .prepare_cached("BEGIN IMMEDIATE")
                    .and_then(|mut begin| begin.execute([]));
                begun.map_err(|error| fault(error, false))?;
            }
            if let Err(error) = request.apply(&mut self.tx(now)) {
                let fault = fault(error, false);
                self.roll_back(now)?;
                return Err(fault);
            }
        }
        if writing {
            if let Err(error) = batches::flush(&mut self.tx(now)) {
                let fault = fault(error, false);
                self.roll_back(now)?;
                return Err(fault);
            }
            let committed = self
                .conn
                .prepare_cached("COMMIT")
                .and_then(|mut commit| commit.execute([]));
            if let Err(error) = committed {
                let fault = fault(error, true);
                if matches!(fault, Fault::Full) {
                    self.roll_back(now)?;
                }
                return Err(fault);
            }
        }
        let woken = self.memory.release_staged();
        self.told.woken.extend(woken);
        Ok(())
    }

    fn roll_back(&mut self, now: Timestamp) -> Result<(), Fault> {
        let broken = |error: rusqlite::Error| Fault::Broken {
            reason: error.to_string(),
            in_doubt: false,
        };
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK").map_err(broken)?;
        }
        self.memory = Memory::load(&self.conn, now).map_err(broken)?;
        Ok(())
    }

    fn fail(&mut self, reason: String) {
        if self.failed.is_some() {
            return;
        }
        tracing::error!(
            reason,
            "the store failed and takes nothing more; it must be opened anew"
        );
        if let Some(observer) = &*self
            .shared
            .observer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
        {
            observer.failed(&reason);
        }
        self.failed = Some(reason);
    }

    /// Tells readers of new queues and the observer of what was committed.
    fn publish(&mut self) {
        let known = Arc::clone(&self.shared.names.read().unwrap_or_else(PoisonError::into_inner));
        if !Arc::ptr_eq(&known, &self.memory.names) {
            *self.shared.names.write().unwrap_or_else(PoisonError::into_inner) =
                Arc::clone(&self.memory.names);
        }
        let told = std::mem::take(&mut self.told);
        if told.is_empty() {
            return;
        }
        let observer = self
            .shared
            .observer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(observer) = observer {
            told.tell(&*observer, &self.memory.names);
        }
    }
}

fn requests(rounds: &mut [Round]) -> impl Iterator<Item = &mut Box<dyn Operation>> {
    rounds.iter_mut().flat_map(|round| round.requests.iter_mut())
}
