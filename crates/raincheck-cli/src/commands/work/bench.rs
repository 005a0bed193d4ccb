//! What the parts of a pulling worker share: its places, its leases, and how it leaves.
//!
//! Invariant: no more attempts run at once than there are places, and no more are begun than `--max-jobs` allows.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raincheck::core::name::{QueueName, WorkerName};
use raincheck::random::Randomness;
use raincheck::room::Room;
use raincheck::tasks::Group;
use raincheck::workers::process::Program;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::leases::Held;
use super::report::Contact;
use crate::exit::Failed;
use crate::output::{Output, say};
use crate::session::Session;

/// The most jobs of one claim (API.md section 6).
const CLAIM_MAX: usize = 100;

/// The shared part.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) contact: Contact,
    pub(super) queue: QueueName,
    pub(super) worker: WorkerName,
    pub(super) lease_for: Option<Duration>,
    pub(super) result_type: Option<String>,
    pub(super) result_max: u64,
    /// What there is for the results of all attempts.
    pub(super) room: Room,
    pub(super) exit_when_empty: bool,
    pub(super) program: Program,
    pub(super) random: Randomness,
    pub(super) held: Held,
    /// The attempts that run.
    pub(super) attempts: Group,
    pub(super) places: Places,
    /// Rung when a place becomes free.
    pub(super) place_freed: Arc<Notify>,
    /// Cancelled when nothing more is to be claimed.
    pub(super) stopping: CancellationToken,
    /// Set when attempts are to wind down: until when.
    pub(super) closing: watch::Sender<Option<Instant>>,
    /// Cancelled when undelivered settlements are to be let go.
    pub(super) giving_up: CancellationToken,
    pub(super) failed: Mutex<Option<Failed>>,
    pub(super) lost: AtomicUsize,
}

/// Places, and how many jobs may still be taken.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: usize,
    turns: AtomicU64,
}

/// A place in which an attempt runs; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // First free, then told.
        self.permit = None;
        self.freed.notify_one();
    }
}

impl Places {
    /// So many at once, and so many jobs in all; `None` for no end of them.
    pub(super) fn new(all: usize, jobs: Option<u64>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
            turns: AtomicU64::new(jobs.unwrap_or(u64::MAX)),
        }
    }

    /// How many there are.
    pub(super) const fn all(&self) -> usize {
        self.all
    }

    /// Takes up to so many turns.
    fn take_turns(&self, wanted: usize) -> usize {
        let wanted = wanted as u64;
        let take = |turns: u64| (turns != u64::MAX).then(|| turns.saturating_sub(wanted));
        let before = self.turns.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        usize::try_from(before.map_or(wanted, |before| before.min(wanted))).unwrap_or(usize::MAX)
    }

    fn give_turns_back(&self, turns: usize) {
        let give = |before: u64| (before != u64::MAX).then(|| before.saturating_add(turns as u64));
        // Where there is no end of them there is nothing to give back.
        let _ = self.turns.fetch_update(Ordering::SeqCst, Ordering::SeqCst, give);
    }
}

impl Bench {
    /// Where messages go.
    pub(super) const fn output(&self) -> Output {
        self.session.output
    }

    /// A place for an attempt that begins.
    pub(super) fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place {
            permit: Some(permit),
            freed: self.place_freed.clone(),
        }
    }

    /// Waits for a place.
    pub(super) async fn next_place(&self) -> OwnedSemaphorePermit {
        let permit = self.places.free.clone().acquire_owned().await;
        permit.expect("nobody closes the places")
    }

    /// Waits for free places and takes them all with a turn for each, but no more than one claim may bring; `None` when
    /// no further job is to be claimed.
    pub(super) async fn free_places(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        loop {
            let first = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                place = self.next_place() => place,
            };
            let mut places = vec![first];
            while places.len() < CLAIM_MAX
                && let Ok(place) = self.places.free.clone().try_acquire_owned()
            {
                places.push(place);
            }
            let turns = self.places.take_turns(places.len());
            places.truncate(turns);
            if !places.is_empty() {
                return Some(places);
            }
            // A settlement under way may give back the turn that it took for its next job.
            if self.is_idle() {
                return None;
            }
            self.place_freed_or_stopping().await;
        }
    }

    /// Turns that were taken for jobs that did not come.
    pub(super) fn give_turns_back(&self, turns: usize) {
        self.places.give_turns_back(turns);
    }

    /// Takes a turn for the next job in the same place, where there is to be one.
    pub(super) fn take_turn(&self) -> bool {
        !self.stopping.is_cancelled() && self.places.take_turns(1) > 0
    }

    /// Whether no attempt runs.
    pub(super) fn is_idle(&self) -> bool {
        self.places.free.available_permits() == self.places.all
    }

    /// Waits until an attempt has left its place, or nothing more is to be claimed.
    pub(super) async fn place_freed_or_stopping(&self) {
        tokio::select! {
            () = self.place_freed.notified() => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Stops claiming, and remembers why: the first reason counts.
    pub(super) fn fail(&self, failed: Failed) {
        let mut first = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failed);
        self.stopping.cancel();
    }

    /// A settlement could not be brought to the server.
    pub(super) fn undelivered(&self, job: &str, outcome: &str) {
        self.lost.fetch_add(1, Ordering::SeqCst);
        say(&format!(
            "{job} {outcome}, but the server did not hear of it: it will be tried again once its lease is over"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_end_where_they_are_counted_and_only_there() {
        let places = Places::new(4, Some(3));
        assert_eq!((places.take_turns(2), places.take_turns(2)), (2, 1));
        assert_eq!(places.take_turns(1), 0);
        places.give_turns_back(1);
        assert_eq!(places.take_turns(4), 1);
        let endless = Places::new(1, None);
        endless.give_turns_back(5);
        assert_eq!((endless.take_turns(7), endless.take_turns(7)), (7, 7));
    }
}
