//! The handle on an open store, and how it asks.
//!
//! Invariant: a handle holds no state of its own but the act that is done through it; dropping the last one lets the writer finish and end.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use raincheck_core::audit::Act;
use raincheck_core::clock::Clock;
use raincheck_core::id::{IdGenerator, Nonce};
use raincheck_core::name::{Namespace, QueueName};
#[cfg(doc)]
use raincheck_core::store::Store;
use raincheck_core::store::{Answer, Claim, Leased, StoreError};
use rusqlite::Connection;

use crate::apply::acts;
use crate::handover::Handover;
use crate::operation::{Does, request};
use crate::reader::Readers;
use crate::row::QueueNames;
use crate::tx::Tx;
use crate::waiting;
use crate::writer::Shared;

/// A store in a directory. Cheap to clone; see [`Store`] for the operations and what is durable when they return.
///
/// ```
/// use std::sync::Arc;
/// use raincheck_core::clock::ManualClock;
/// use raincheck_core::store::Store;
/// use raincheck_sqlite::{Options, SqliteStore};
///
/// let dir = tempfile::tempdir()?;
/// let store = SqliteStore::open(Options::new(dir.path(), Arc::new(ManualClock::default())))?;
/// assert!(store.mint().seq() < store.mint().seq());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStore(pub(crate) Arc<Inner>, pub(crate) Option<Arc<Act>>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) handover: Arc<Handover>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdGenerator,
    /// Resolves when the writer has ended and the directory is free again.
    pub(crate) ended: Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
}

const WRITES: Does = Does {
    writes: true,
    reads: true,
    new: false,
};

const NEW: Does = Does { new: true, ..WRITES };

impl Drop for Inner {
    fn drop(&mut self) {
        self.handover.close();
    }
}

impl SqliteStore {
    fn request<T, F>(&self, does: Does, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (request, answer) = request(does, run);
        self.0.handover.push(request);
        answer
    }

    pub(crate) fn write<T, F>(&self, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.request(WRITES, run)
    }

    /// What writes and finds rows of jobs by their ids alone, through the memory: jobs that are accepted beside it need none
    /// yet.
    pub(crate) fn write_by_id<T, F>(&self, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let does = Does {
            reads: false,
            ..WRITES
        };
        self.request(does, run)
    }

    /// What accepts jobs, and looks at no rows of others but through the memory: refused where new work is.
    pub(crate) fn accept<T, F>(&self, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        if let Some(refused) = self.refused() {
            return Box::pin(ready(Err(refused)));
        }
        let does = Does {
            writes: true,
            reads: false,
            new: true,
        };
        self.request(does, run)
    }

    /// Why nothing new is taken now.
    fn refused(&self) -> Option<StoreError> {
        let shared = &self.0.shared;
        if shared.space.low() {
            return Some(StoreError::DiskFull);
        }
        self.stalled()
    }

    /// Why nobody who waits for the disk is let in now: said in the log once for each time.
    fn stalled(&self) -> Option<StoreError> {
        let busy = &self.0.shared.busy;
        if !busy.stalled() {
            return None;
        }
        if busy.refuse() {
            tracing::warn!(
                "the disk does not keep up: new work, and what asks the writer, is refused until it does"
            );
        }
        Some(StoreError::Unavailable("the disk does not keep up".to_owned()))
    }

    /// What makes something new: refused where space is low, or the disk stalls.
    pub(crate) fn write_new<T, F>(&self, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        if let Some(refused) = self.refused() {
            return Box::pin(ready(Err(refused)));
        }
        self.request(NEW, run)
    }

    /// What an administrator does: its row is kept where `done` tells so of the answer, in the same transaction.
    pub(crate) fn act<T, F>(&self, done: fn(&Act, &T) -> Option<Act>, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.act_that(WRITES, done, run)
    }

    fn act_that<T, F>(&self, does: Does, done: fn(&Act, &T) -> Option<Act>, mut run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let Some(act) = self.1.clone() else {
            return self.request(does, run);
        };
        self.request(does, move |tx| {
            let answer = run(tx)?;
            if let Some(act) = done(&act, &answer) {
                acts::keep(tx, &act, None)?;
            }
            Ok(answer)
        })
    }

    /// The same for what makes something new.
    pub(crate) fn act_new<T, F>(&self, done: fn(&Act, &T) -> Option<Act>, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        if let Some(refused) = self.refused() {
            return Box::pin(ready(Err(refused)));
        }
        self.act_that(NEW, done, run)
    }

    /// A question that the writer answers from its memory, without a sync. Refused while it waits for a disk that stalls.
    pub(crate) fn ask<T, F>(&self, run: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        if let Some(refused) = self.stalled() {
            return Box::pin(ready(Err(refused)));
        }
        let does = Does {
            reads: true,
            ..Does::default()
        };
        self.request(does, run)
    }

    pub(crate) fn read<T, F>(&self, query: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &QueueNames) -> rusqlite::Result<T> + Send + 'static,
    {
        self.0.readers.read(query)
    }

    /// A claim that waits where there is nothing for it.
    pub(crate) fn claim_patiently(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>> {
        let named = claim.claimer.claim_id.is_some();
        let (arrival, answer) = waiting::arrival(ns, claim);
        if named {
            // It may be a repetition, whose jobs are there already.
            self.0.handover.push(arrival);
        } else {
            self.0.handover.push_patient(arrival);
        }
        answer
    }

    /// Takes such a claim back.
    pub(crate) fn take_back(&self, ns: &Namespace, queue: &QueueName, first: Nonce) {
        let (ns, queue) = (ns.clone(), queue.clone());
        // Whoever claimed is answered; nobody waits for this.
        drop(self.request(Does::default(), move |tx| {
            waiting::withdraw(tx, &ns, &queue, first);
            Ok(())
        }));
    }

    /// Lets the writer finish, and waits until it has.
    pub(crate) fn end(&self) -> Answer<()> {
        self.0.handover.close();
        let ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            let Some(ended) = ended else {
                return Err(StoreError::Closed);
            };
            // An error means that the writer is gone, which is what was asked for.
            let _ = ended.await;
            Ok(())
        })
    }
}
