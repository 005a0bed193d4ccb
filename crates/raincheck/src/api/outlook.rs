//! What a job that is not done waits for, its place among those who wait, and when it is worth asking again.
//!
//! Invariant: all of it is told to who reads a job, and found out for nobody else: no submit, claim or settlement pays for
//! it but by one look-up ([`pace`](crate::pace)).

use std::time::Duration;

use http::HeaderMap;
use http::header::{self, HeaderValue};
use raincheck_core::host::HostHeldBy;
use raincheck_core::job::{Job, State};
use raincheck_core::limit::{Held, HeldBy};
use raincheck_core::queue::Queue;
use raincheck_core::store::StoreError;
use raincheck_core::time::Timestamp;

use super::Api;
use super::answer::seconds_until;
use super::wire::job::WaitingFor;
use crate::bound::in_time;

/// The longest that a caller is told to stay away from a job that is due.
const STAY_AWAY_MAX: u64 = 60;
/// How long a caller is told to stay away while nobody knows when the queue will be resumed.
const WHILE_PAUSED: u64 = 10;

/// How things look for a job that is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// What it waits for, where it waits.
    pub(crate) waiting_for: Option<WaitingFor>,
    /// Its place among those who wait, from 1, where that is known.
    pub(crate) position: Option<u64>,
    /// After how many seconds asking again is worth it.
    retry_after: Option<u64>,
}

impl Outlook {
    /// Tells when to ask again.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// How things look for the job at `now`.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) async fn outlook(
    api: &Api,
    job: &Job,
    queue: Option<&Queue>,
    now: Timestamp,
) -> Result<Outlook, StoreError> {
    let pace = || api.node.paces().of(&job.namespace, &job.queue, now);
    let state = job.state(now);
    if state == State::Scheduled {
        return Ok(Outlook {
            waiting_for: Some(if job.met_nobody() {
                WaitingFor::Circuit
            } else {
                WaitingFor::RunAt
            }),
            position: None,
            retry_after: Some(seconds_until(job.run_at, now)),
        });
    }
    if let Some(lease) = job.lease() {
        let ran = now.since(lease.started_at);
        let left = pace().map_or(Duration::ZERO, |pace| pace.left(ran));
        return Ok(Outlook {
            retry_after: Some(within(left)),
            ..Outlook::default()
        });
    }
    if state != State::Queued {
        return Ok(Outlook::default());
    }
    let standing = match in_time(api.node.store().standing(&job.namespace, job)).await {
        // The job itself was read, and is told without.
        Err(StoreError::Unavailable(_)) => {
            return Ok(Outlook {
                retry_after: Some(1),
                ..Outlook::default()
            });
        }
        standing => standing?,
    };
    let Some(standing) = standing else {
        return Ok(Outlook {
            waiting_for: Some(WaitingFor::Worker),
            position: None,
            retry_after: Some(1),
        });
    };
    let counts = standing.status.counts;
    let room = standing.status.queue.concurrency(api.node.options().cores);
    let paused = queue.is_some_and(|queue| queue.paused.is_some());
    let held = standing.held;
    let host_held = api
        .node
        .host_held(&standing.status.queue, job.group.as_ref(), now);
    let waiting_for = if paused {
        WaitingFor::Pause
    } else if room.is_some_and(|room| counts.running >= u64::from(room)) {
        WaitingFor::Concurrency
    } else {
        let by = |held: Option<Held>| held.map(|held| held.by);
        match (by(held), by(standing.group_held)) {
            (Some(HeldBy::Concurrency), _) => WaitingFor::Concurrency,
            (Some(HeldBy::Rate), _) => WaitingFor::Rate,
            (None, Some(HeldBy::Concurrency)) => WaitingFor::GroupConcurrency,
            (None, Some(HeldBy::Rate)) => WaitingFor::GroupRate,
            (None, None) => host_held.map_or(WaitingFor::Worker, |held| match held.by {
                HostHeldBy::Concurrency => WaitingFor::HostConcurrency,
                HostHeldBy::Circuit => WaitingFor::Circuit,
                HostHeldBy::Pause => WaitingFor::HostPause,
            }),
        }
    };
    // Where the place is dear to know, everybody else is before it.
    let ahead = standing.ahead.unwrap_or_else(|| counts.queued.saturating_sub(1));
    let until_done = pace().map_or(Duration::ZERO, |pace| pace.until_done(ahead, counts.running));
    // Those before it start one by one, at the pace of the rate.
    let let_go = held.and_then(|held| held.until).map_or(Duration::ZERO, |until| {
        let rate = standing.status.queue.spec.rate;
        let before = u32::try_from(ahead).unwrap_or(u32::MAX);
        until
            .since(now)
            .saturating_add(rate.map_or(Duration::ZERO, |rate| rate.span(before)))
    });
    let group = standing.group_held.and_then(|held| held.until);
    let group = group.map_or(Duration::ZERO, |until| until.since(now));
    let host = host_held.and_then(|held| held.until);
    let host = host.map_or(Duration::ZERO, |until| until.since(now));
    let until_done = until_done.max(let_go).max(group).max(host);
    Ok(Outlook {
        waiting_for: Some(waiting_for),
        position: standing.ahead.map(|ahead| ahead + 1),
        retry_after: Some(within(until_done).max(if paused { WHILE_PAUSED } else { 1 })),
    })
}

/// Whole seconds, at least one and at most [`STAY_AWAY_MAX`].
fn within(span: Duration) -> u64 {
    let seconds = span.as_millis().div_ceil(1000);
    u64::try_from(seconds).unwrap_or(u64::MAX).clamp(1, STAY_AWAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_away_for_nothing_or_for_long() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60), (90_000, 60)] {
            assert_eq!(within(Duration::from_millis(millis)), seconds);
        }
        assert_eq!(within(Duration::MAX), 60);
    }
}
