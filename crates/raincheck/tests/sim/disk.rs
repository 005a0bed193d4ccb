//! What survives a crash: the model or the embedded store, opened and opened again.
//!
//! Invariant: an operation is carried out to its end before the caller goes on, so that threads of a store cannot make two
//! runs of one seed differ.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use raincheck_core::clock::ManualClock;
use raincheck_core::conformance::ModelStore;
use raincheck_core::store::{Answer, Store, StoreError};
use tempfile::TempDir;

/// Where the jobs are while no store is open.
#[derive(Debug)]
enum Kind {
    Model(Option<Arc<ModelStore>>),
    Sqlite(TempDir),
}

/// A store's disk, and the store while it is open.
#[derive(Debug)]
pub(crate) struct Disk {
    kind: Kind,
    clock: Arc<ManualClock>,
    open: Option<Arc<dyn Store>>,
}

impl Disk {
    pub(crate) fn new(sqlite: bool, clock: Arc<ManualClock>) -> Self {
        let kind = if sqlite {
            Kind::Sqlite(tempfile::tempdir().expect("a temporary directory can be made"))
        } else {
            Kind::Model(None)
        };
        Self {
            kind,
            clock,
            open: None,
        }
    }

    /// Opens the store; `seed` brings the jitter of attempts that the former process left behind.
    pub(crate) fn open(&mut self, seed: u64) -> Arc<dyn Store> {
        let clock = self.clock.clone();
        let store: Arc<dyn Store> = match &mut self.kind {
            Kind::Model(kept) => {
                let store = kept
                    .take()
                    .map_or_else(|| ModelStore::new(clock), |old| old.reopened(seed));
                let store = Arc::new(store);
                *kept = Some(store.clone());
                store
            }
            Kind::Sqlite(dir) => {
                raincheck::store::open(dir.path(), clock).expect("the directory is free and sound")
            }
        };
        self.open = Some(store.clone());
        store
    }

    /// Ends the process that had the store open.
    pub(crate) fn end(&mut self) {
        let Some(store) = self.open.take() else { return };
        if matches!(self.kind, Kind::Sqlite(_)) {
            // All it took is committed: closing adds nothing, it only waits until the directory is free.
            self.carry_out(&store, |store| store.close())
                .expect("a store that is open closes");
        }
    }

    /// Carries one operation out.
    pub(crate) fn carry_out<T: Send>(
        &self,
        store: &Arc<dyn Store>,
        operation: impl FnOnce(&dyn Store) -> Answer<T> + Send,
    ) -> Result<T, StoreError> {
        match self.kind {
            Kind::Model(_) => wait(operation(&**store)),
            // Outside of the runtime, whose one thread waits here.
            Kind::Sqlite(_) => thread::scope(|scope| {
                let thread = scope.spawn(|| wait(operation(&**store)));
                thread.join().expect("a store does not panic")
            }),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer on this thread.
fn wait<T>(answer: Answer<T>) -> Result<T, StoreError> {
    let mut answer = pin!(answer);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
