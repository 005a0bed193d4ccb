//! Webhooks: which a finished job makes (a batch's is made by [`finish_batch`](super::finish_batch)), when each is tried, and when that ends.
//!
//! Invariant: a try is counted before it is made; one that ends after the next has begun changes nothing.

use std::time::Duration;

use crate::delivery::{Callback, Delivery, DeliveryId, Event, Source, Stage, Try};
use crate::job::{Job, Phase};
use crate::retry::mix;
use crate::time::Timestamp;

/// How long after each failed try the next one follows.
pub const DELIVERY_DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// How long a try may take before another is made in its place.
pub const DELIVERY_TERM: Duration = Duration::from_secs(60);

/// A delivery that is so old and still cannot be sent is given up: somewhat later than one that is tried and fails.
pub const DELIVERY_LIFE: Duration = Duration::from_secs(4 * 24 * 3600);

/// A longer `Retry-After` counts as this much.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryEnd {
    /// The receiver took it.
    Taken {
        /// Its status, 200 to 299.
        status: u16,
    },
    /// It did not, or could not be reached.
    Failed {
        /// Its status, where it answered.
        status: Option<u16>,
        /// Why.
        error: String,
        /// The least delay before the next try.
        retry_after: Option<Duration>,
    },
    /// The receiver wants nothing more: 410.
    Gone,
    /// Nothing was sent: its host has no room.
    Held {
        /// When there may be some.
        until: Timestamp,
    },
}

/// The deliveries that a job makes by ending: its own callback's and its queue's.
#[must_use]
pub fn deliveries(job: &Job, of_queue: Option<&Callback>) -> Vec<Delivery> {
    let Phase::Done {
        outcome, finished_at, ..
    } = job.phase
    else {
        return Vec::new();
    };
    let own = job
        .options
        .callback
        .as_ref()
        .map(|callback| (Source::Job, callback));
    let of_queue = of_queue.map(|callback| (Source::Queue, callback));
    let wanted = own.into_iter().chain(of_queue);
    wanted
        .filter(|(_, callback)| callback.events.contains(&outcome))
        .map(|(source, callback)| Delivery {
            id: DeliveryId::Job { job: job.id, source },
            namespace: job.namespace.clone(),
            url: callback.url.clone(),
            event: Event::Ended(outcome),
            created_at: finished_at,
            stage: Stage::Pending { next_at: finished_at },
            tries: 0,
            tries_before: 0,
            held: 0,
            asked_at: None,
            last: None,
        })
        .collect()
}

/// Begins a try. `None` where none is due.
#[must_use]
pub fn try_delivery(delivery: &Delivery, now: Timestamp) -> Option<Delivery> {
    delivery.next_at().filter(|next_at| *next_at <= now)?;
    Some(Delivery {
        tries: delivery.tries + 1,
        stage: Stage::Pending {
            next_at: now.plus(DELIVERY_TERM),
        },
        ..delivery.clone()
    })
}

/// Ends the try that was the `n`-th to begin. `None` where it was over already: another has begun, or the delivery has
/// ended.
#[must_use]
pub fn end_try(delivery: &Delivery, n: u32, end: &TryEnd, seed: u64, now: Timestamp) -> Option<Delivery> {
    delivery.next_at().filter(|_| delivery.tries == n)?;
    let (stage, status, error) = match end {
        TryEnd::Taken { status } => (Stage::Delivered, Some(*status), None),
        TryEnd::Gone => (
            Stage::Abandoned,
            Some(410),
            Some("the receiver wants nothing more".to_owned()),
        ),
        TryEnd::Failed {
            status,
            error,
            retry_after,
        } => {
            let stage = next_try(delivery, *retry_after, seed, now);
            (stage, *status, Some(error.clone()))
        }
        TryEnd::Held { until } => return Some(put_back(delivery, *until, now)),
    };
    Some(Delivery {
        stage,
        last: Some(Try {
            at: now,
            status,
            error,
        }),
        ..delivery.clone()
    })
}

/// What was not sent does not count; but it is not put back for ever, or nothing of its job could ever be pruned.
fn put_back(delivery: &Delivery, until: Timestamp, now: Timestamp) -> Delivery {
    let old = now.since(delivery.asked_at.unwrap_or(delivery.created_at)) > DELIVERY_LIFE;
    let gave_up = || Try {
        at: now,
        status: None,
        error: Some("given up unsent: its host has had no room for days".to_owned()),
    };
    Delivery {
        stage: if old {
            Stage::Abandoned
        } else {
            Stage::Pending { next_at: until }
        },
        held: delivery.held + 1,
        last: if old {
            Some(gave_up())
        } else {
            delivery.last.clone()
        },
        ..delivery.clone()
    }
}

/// The schedule, each delay a tenth shorter or longer by chance, and no shorter than the receiver asked for.
fn next_try(delivery: &Delivery, retry_after: Option<Duration>, seed: u64, now: Timestamp) -> Stage {
    let failed = delivery.sent().saturating_sub(delivery.tries_before);
    let delay = failed
        .checked_sub(1)
        .and_then(|n| DELIVERY_DELAYS.get(usize::try_from(n).ok()?));
    let Some(delay) = delay else {
        return Stage::Abandoned;
    };
    let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let jittered = Duration::from_millis(millis - millis / 10 + mix(seed) % (millis / 5 + 1));
    let floor = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    Stage::Pending {
        next_at: now.plus(jittered.max(floor)),
    }
}

/// Has a delivery tried at once, with the whole schedule before it again.
#[must_use]
pub fn redeliver(delivery: &Delivery, now: Timestamp) -> Delivery {
    Delivery {
        stage: Stage::Pending { next_at: now },
        tries_before: delivery.sent(),
        asked_at: Some(now),
        ..delivery.clone()
    }
}
