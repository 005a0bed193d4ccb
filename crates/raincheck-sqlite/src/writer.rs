//! The one thread that writes.
//!
//! A pass takes all that was handed over, runs it in one transaction, syncs once, then answers everybody. Invariants: no
//! answer of a writing pass leaves before its commit returned; after a rollback the memory is built from the rows
//! again; after a failed write or sync nothing is tried again and nothing more is taken ([`StoreError::Failed`]).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use raincheck_core::clock::Clock;
use raincheck_core::store::{StoreError, Trouble, Vitals};
use raincheck_core::time::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::apply::settle;
use crate::back;
use crate::busy::Busy;
use crate::checkpoint::Checkpoint;
use crate::fresh::Fresh;
use crate::handover::{Handover, Round, Taken};
use crate::look::Look;
use crate::memory::Memory;
use crate::operation::Operation;
use crate::row::{QueueNames, Rows};
use crate::seal::Seal;
use crate::space::Space;
use crate::told::Told;
use crate::tx::Tx;
use crate::vault::Sealer;
use crate::waiting::{self, Served, Waiters};

mod damage;
mod fault;
mod full;
mod wall;

use fault::{Fault, fault};

/// What the writer shares with the handles of the store.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Who each queue's key stands for, as far as committed.
    pub(crate) names: RwLock<Arc<QueueNames>>,
    /// What was committed last.
    pub(crate) fresh: Fresh,
    /// Numbers for those who watch the store.
    pub(crate) vitals: Arc<Vitals>,
    /// Whether there is space for new work.
    pub(crate) space: Space,
    /// Seals secrets.
    pub(crate) sealer: Sealer,
    /// How long the writer has been at it.
    pub(crate) busy: Busy,
}

impl Shared {
    pub(crate) fn new(recent_jobs: usize, vitals: Vitals, space: Space, sealer: Sealer, busy: Busy) -> Self {
        Self {
            sealer,
            busy,
            space,
            vitals: Arc::new(vitals),
            names: RwLock::default(),
            fresh: Fresh::new(recent_jobs),
        }
    }
}

/// The threads that work beside the writer, each of which may find that nothing can be relied on any more.
#[derive(Debug)]
pub(crate) struct Beside {
    /// Moves the log.
    pub(crate) checkpoint: Checkpoint,
    /// Looks through the rows, where that was not done before.
    pub(crate) look: Option<Look>,
}

impl Beside {
    fn failure(&self) -> Option<String> {
        let look = self.look.as_ref().and_then(Look::failure);
        look.or_else(|| self.checkpoint.failure())
    }

    fn stop(&mut self) {
        if let Some(look) = &mut self.look {
            look.stop();
        }
        self.checkpoint.stop();
    }
}

/// The writing thread's state.
pub(crate) struct Writer<'c> {
    conn: &'c Connection,
    rows: Rows<'c>,
    memory: Memory,
    handover: Arc<Handover>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    beside: Beside,
    failed: Option<String>,
    told: Told,
    waiters: Waiters,
    seal: Seal,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(
        conn: &'c Connection,
        memory: Memory,
        handover: Arc<Handover>,
        clock: Arc<dyn Clock>,
        shared: &Arc<Shared>,
        beside: Beside,
        seal: Seal,
    ) -> Self {
        *shared.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&memory.names);
        let shared = Arc::clone(shared);
        Self {
            rows: Rows::new(conn),
            conn,
            memory,
            handover,
            clock,
            shared,
            beside,
            failed: None,
            told: Told::default(),
            waiters: Waiters::default(),
            seal,
        }
    }

    fn tx(&mut self, now: Timestamp) -> Tx<'_> {
        Tx {
            conn: self.conn,
            rows: &self.rows,
            memory: &mut self.memory,
            now,
            told: &mut self.told,
            waiters: &mut self.waiters,
            fresh: &self.shared.fresh,
            sealer: &self.shared.sealer,
        }
    }

    /// Ends or mends the attempts that a former process left behind, before anybody can ask for anything.
    pub(crate) fn end_former_attempts(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        self.name_known();
        self.follow_damage(now);
        let running = self.memory.running();
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut tx = self.tx(now);
        settle::interrupt_on_open(&mut tx, &running, rand::random())?;
        tx.flush()?;
        self.conn.execute_batch("COMMIT")?;
        self.memory.release_staged(now);
        // Nobody listens yet, and who comes later asks for everything first.
        self.told = Told::default();
        Ok(())
    }

    /// Runs until the store is closed and everything pushed was answered. The connection is to be closed last: that moves the log
    /// into the database.
    pub(crate) fn run(mut self) {
        loop {
            let now = self.clock.now();
            let patience = self.memory.next_timer().map(|due| due.since(now));
            match self.handover.take(patience, self.memory.nothing_ready()) {
                Taken::Rounds(rounds) => {
                    self.shared.busy.begin();
                    self.pass(rounds);
                    let refused = self.shared.busy.end();
                    if refused > 0 {
                        tracing::warn!(refused, "the disk keeps up again");
                    }
                }
                Taken::Closing => break,
            }
        }
        self.beside.stop();
        if self.failed.is_none()
            && let Err(error) = back::at_close(self.conn, self.clock.now())
        {
            tracing::warn!(%error, "the time is not noted");
        }
        if self.failed.is_some() || !self.shared.space.measure(self.conn) {
            // Nothing is written after a failure, and a disk is not filled to the brim: a clean open recovers from the log.
            let _ = self
                .conn
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        } else if let Err(error) = self.seal.lift() {
            // The log must not go before the note of it.
            tracing::warn!(%error, "the log is kept");
            let _ = self
                .conn
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }

    fn pass(&mut self, mut rounds: Vec<Round>) {
        if self.failed.is_none()
            && let Some(by) = self.clock.set_by()
        {
            self.follow_wall(by);
        }
        let now = self.clock.now();
        self.told.woken.extend(self.memory.promote(now));
        if let Some(reason) = self.beside.failure() {
            self.fail(reason);
        }
        self.follow_look();
        if self.failed.is_none() {
            self.run_all(&mut rounds, now);
            self.follow_damage(now);
        }
        if let Some(reason) = &self.failed {
            let error = StoreError::Failed(reason.clone());
            requests(&mut rounds)
                .filter(|request| request.unanswered())
                .for_each(|request| request.fail(&error));
            self.waiters.fail(&error);
        }
        self.publish();
        let served = self.waiters.take_served();
        match rounds.first_mut() {
            Some(round) => round.served = served,
            None => {
                self.handover.outbox.tell();
                served.into_iter().for_each(Served::deliver);
            }
        }
        rounds
            .into_iter()
            .for_each(|round| round.finish(&self.handover.outbox));
        if self.failed.is_none()
            && let Err(error) = self.beside.checkpoint.after_commit(self.conn)
        {
            self.fail(error.to_string());
        }
    }

    /// Runs the pass in one transaction; where one operation cannot be run, each in one of its own.
    fn run_all(&mut self, rounds: &mut [Round], now: Timestamp) {
        if requests(rounds).next().is_none() && self.waiters.concerned(&self.told.woken).is_empty() {
            return;
        }
        let outcome = self.transact(&mut requests(rounds), now);
        match outcome {
            Ok(()) => {}
            Err(Fault::Operation(_)) => self.each_alone(&mut requests(rounds), now),
            Err(Fault::Full) => self.make_do(requests(rounds).collect(), now),
            Err(fault) => self.answer_fault(fault, &mut requests(rounds)),
        }
    }

    fn each_alone(&mut self, requests: &mut dyn Iterator<Item = &mut Box<dyn Operation>>, now: Timestamp) {
        for request in requests {
            match self.transact(&mut std::iter::once(&mut *request), now) {
                Ok(()) => {}
                Err(Fault::Full) => self.make_do(vec![request], now),
                Err(fault) => self.answer_fault(fault, &mut std::iter::once(request)),
            }
        }
    }

    fn answer_fault(&mut self, fault: Fault, requests: &mut dyn Iterator<Item = &mut Box<dyn Operation>>) {
        let error = match fault {
            Fault::Full => {
                self.shared.vitals.count(Trouble::Full);
                StoreError::DiskFull
            }
            Fault::Broken { reason, in_doubt } => {
                self.shared.vitals.count(Trouble::Commit);
                self.fail(reason.clone());
                if in_doubt {
                    StoreError::Unknown
                } else {
                    StoreError::Failed(reason)
                }
            }
            Fault::Operation(error) => {
                self.shared.vitals.count(Trouble::Apply);
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
            self.waiters.wait_on();
        } else {
            self.waiters.committed();
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
            if request.writes() {
                self.begin(&mut writing)?;
            }
            let mut tx = self.tx(now);
            let written = if request.reads() { tx.write_new() } else { Ok(()) };
            let applied = written.and_then(|()| request.apply(&mut tx));
            self.or_roll_back(applied, now)?;
        }
        let woken = self.memory.release_staged(now);
        self.told.woken.extend(woken);
        let concerned = self.waiters.concerned(&self.told.woken);
        if concerned.iter().any(|key| waiting::has_ready(&self.memory, *key)) {
            self.begin(&mut writing)?;
            let served = waiting::serve(&mut self.tx(now), &concerned);
            self.or_roll_back(served, now)?;
            // Nobody needs to look for what is gone already.
            let memory = &self.memory;
            self.told
                .woken
                .retain(|key| !concerned.contains(key) || waiting::has_ready(memory, *key));
        }
        if writing { self.commit(now) } else { Ok(()) }
    }

    /// Begins the transaction, unless it was begun.
    fn begin(&self, writing: &mut bool) -> Result<(), Fault> {
        if std::mem::replace(writing, true) {
            return Ok(());
        }
        let begun = self
            .conn
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]));
        begun.map(drop).map_err(|error| fault(error, false))
    }

    fn or_roll_back(&mut self, outcome: rusqlite::Result<()>, now: Timestamp) -> Result<(), Fault> {
        let Err(error) = outcome else { return Ok(()) };
        let fault = fault(error, false);
        self.roll_back(now)?;
        Err(fault)
    }

    fn commit(&mut self, now: Timestamp) -> Result<(), Fault> {
        let flushed = self.tx(now).flush();
        self.or_roll_back(flushed, now)?;
        let begun = instant();
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
        self.committed(begun.elapsed());
        self.seal.note().map_err(|error| Fault::Broken {
            reason: error.to_string(),
            in_doubt: true,
        })
    }

    /// Counts a commit.
    fn committed(&self, took: Duration) {
        let transitions = self.told.advanced.len() + self.told.changes.len();
        let vitals = &self.shared.vitals;
        vitals.commit_seconds.observe(took.as_secs_f64());
        vitals
            .commit_jobs
            .observe(u32::try_from(transitions).unwrap_or(u32::MAX).into());
    }

    fn roll_back(&mut self, now: Timestamp) -> Result<(), Fault> {
        let broken = |error: rusqlite::Error| Fault::Broken {
            reason: error.to_string(),
            in_doubt: false,
        };
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK").map_err(broken)?;
        }
        let damaged = std::mem::take(&mut self.memory.damaged);
        let recent_jobs = self.memory.recent_jobs();
        self.memory = Memory::load(self.conn, recent_jobs, now, damaged).map_err(broken)?;
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
        if let Some(observer) = self.handover.outbox.observer() {
            observer.failed(&reason);
        }
        self.failed = Some(reason);
    }

    /// Tells readers of new queues, and leaves what was committed to be told to the observer.
    fn publish(&mut self) {
        let known = Arc::clone(&self.shared.names.read().unwrap_or_else(PoisonError::into_inner));
        if !Arc::ptr_eq(&known, &self.memory.names) {
            *self.shared.names.write().unwrap_or_else(PoisonError::into_inner) =
                Arc::clone(&self.memory.names);
        }
        let mut told = std::mem::take(&mut self.told);
        self.shared.fresh.take_in(std::mem::take(&mut told.fresh));
        self.handover.outbox.put(told, &self.memory.names);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measured for people; nothing is decided by it"
)]
fn instant() -> Instant {
    Instant::now()
}

fn requests(rounds: &mut [Round]) -> impl Iterator<Item = &mut Box<dyn Operation>> {
    rounds.iter_mut().flat_map(|round| round.requests.iter_mut())
}
