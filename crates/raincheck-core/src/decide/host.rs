//! Hosts that requests go to: how many more there is room for, and what each answer makes of the circuit.
//!
//! ```text
//!            5 failures in a row                 the pause is over
//!  closed ──────────────────────► open(1 s … 60 s) ──────────────► one probe
//!    ▲                              ▲                                │    │
//!    │                              └── it failed: twice the pause ──┘    │
//!    └───────────────────────── any answer ───────────────────────────────┘
//! ```
//!
//! Invariants: while a circuit is open nothing is let through but one probe at a time; an answer closes it, whoever got it.

use std::time::Duration;

use crate::host::{
    Circuit, FAILURES_MAX, FAILURES_WITHIN, HostAnswer, HostHeld, HostHeldBy, HostRoom, HostState,
    OPEN_FIRST, OPEN_MAX, PAUSE_MAX, Pace, QUICK, QUICK_SHARE,
};
use crate::retry::mix;
use crate::time::Timestamp;

/// How many of `wanted` requests a host has room for at which `in_flight` of at most `limit` are under way.
#[must_use]
pub fn host_room(state: &HostState, limit: u32, in_flight: u32, wanted: u32, now: Timestamp) -> HostRoom {
    let shut = |by, until| HostRoom {
        count: 0,
        probe: false,
        held: Some(HostHeld { by, until }),
    };
    let not_before = paused_until(state, now);
    let open_until = match state.circuit {
        Circuit::Probing { .. } => return shut(HostHeldBy::Circuit, None),
        Circuit::Open { until, .. } => Some(until),
        Circuit::Closed { .. } => None,
    };
    if let Some(until) = open_until
        .filter(|until| ahead(*until, OPEN_MAX, now) && not_before.is_none_or(|pause| *until > pause))
    {
        return shut(HostHeldBy::Circuit, Some(until));
    }
    if let Some(until) = not_before {
        return shut(HostHeldBy::Pause, Some(until));
    }
    let probe = open_until.is_some();
    let free = limit
        .saturating_sub(in_flight)
        .min(if probe { 1 } else { u32::MAX });
    if free == 0 {
        return shut(HostHeldBy::Concurrency, None);
    }
    let count = free.min(wanted);
    let by = if probe {
        HostHeldBy::Circuit
    } else {
        HostHeldBy::Concurrency
    };
    HostRoom {
        count,
        probe,
        held: (count < wanted).then_some(HostHeld { by, until: None }),
    }
}

/// Whether this is to come, at most so far ahead. What lies further ahead than it was ever set was set by a clock that has been set
/// back since: it is over.
fn ahead(until: Timestamp, most: Duration, now: Timestamp) -> bool {
    until > now && until.since(now) <= most
}

/// Until when the host has asked to be left alone.
fn paused_until(state: &HostState, now: Timestamp) -> Option<Timestamp> {
    Some(state.not_before).filter(|until| ahead(*until, PAUSE_MAX, now))
}

/// The probe of an open circuit begins.
#[must_use]
pub const fn begin_probe(state: &HostState, now: Timestamp) -> HostState {
    match state.circuit {
        Circuit::Open { times, .. } => HostState {
            circuit: Circuit::Probing { since: now, times },
            ..*state
        },
        Circuit::Closed { .. } | Circuit::Probing { .. } => *state,
    }
}

/// What a request that took so long makes of what is known of its host; `probe` says whether it was the circuit's. `seed`
/// brings the jitter of the pause.
#[must_use]
pub fn host_answered(
    state: &HostState,
    probe: bool,
    answer: HostAnswer,
    took: Duration,
    seed: u64,
    now: Timestamp,
) -> HostState {
    let (failed, retry_after) = match answer {
        HostAnswer::Answered { retry_after } => (false, retry_after),
        HostAnswer::Failed { retry_after } => (true, retry_after),
        HostAnswer::Nothing => return probe_dropped(state, probe),
    };
    let before = paused_until(state, now).unwrap_or(state.not_before.min(now));
    let asked = retry_after.map_or(before, |pause| now.plus(pause.min(PAUSE_MAX)));
    HostState {
        circuit: if failed {
            after_failure(state.circuit, probe, seed, now)
        } else {
            HostState::default().circuit
        },
        not_before: before.max(asked),
        pace: if !failed && took <= QUICK {
            Pace::Quick
        } else {
            Pace::Slow
        },
    }
}

/// A probe that told nothing leaves its turn to another.
const fn probe_dropped(state: &HostState, probe: bool) -> HostState {
    match state.circuit {
        Circuit::Probing { since, times } if probe => HostState {
            circuit: Circuit::Open { until: since, times },
            ..*state
        },
        Circuit::Probing { .. } | Circuit::Open { .. } | Circuit::Closed { .. } => *state,
    }
}

fn after_failure(circuit: Circuit, probe: bool, seed: u64, now: Timestamp) -> Circuit {
    let open = |times: u32| Circuit::Open {
        until: now.plus(pause(times, seed)),
        times,
    };
    match circuit {
        Circuit::Closed { failures, last } => {
            let in_row = now.apart(last) <= FAILURES_WITHIN;
            let failures = if in_row { failures + 1 } else { 1 };
            if failures >= FAILURES_MAX {
                open(1)
            } else {
                Circuit::Closed { failures, last: now }
            }
        }
        Circuit::Probing { times, .. } if probe => open(times.saturating_add(1)),
        // It was sent before the circuit opened, and tells nothing new.
        Circuit::Probing { .. } | Circuit::Open { .. } => circuit,
    }
}

/// Between half and the whole of a ceiling that doubles with each opening in a row.
fn pause(times: u32, seed: u64) -> Duration {
    let ceiling = OPEN_FIRST
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(OPEN_MAX);
    let half = u64::try_from(ceiling.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half + mix(seed) % (half + 1))
}

/// How many webhooks may go to a host at once, where `limit` is what others get: one that answers quickly gives its places
/// back quickly as well.
#[must_use]
pub const fn webhook_share(state: &HostState, limit: u32) -> u32 {
    if matches!(state.pace, Pace::Quick) && limit < QUICK_SHARE {
        QUICK_SHARE
    } else {
        limit
    }
}

/// What holds requests back that may go to any of several hosts, each of which is held back so; `None` where there is no host.
/// Until: when the first of them has an end that is known.
#[must_use]
pub fn all_held(held: impl IntoIterator<Item = HostHeld>) -> Option<HostHeld> {
    held.into_iter().reduce(|one, two| {
        let sooner = |one: &HostHeld| (one.until.is_none(), one.until);
        let first = if sooner(&two) < sooner(&one) { two } else { one };
        let busy = [one.by, two.by].contains(&HostHeldBy::Concurrency);
        HostHeld {
            by: if busy { HostHeldBy::Concurrency } else { first.by },
            until: first.until,
        }
    })
}

/// Whether nothing of what is known of a host would be missed.
#[must_use]
pub fn forgettable(state: &HostState, now: Timestamp) -> bool {
    let closed = match state.circuit {
        Circuit::Closed { failures, last } => failures == 0 || now.apart(last) > FAILURES_WITHIN,
        // Nobody has asked for the host since its longest pause was over.
        Circuit::Open { until, .. } => now.apart(until) > OPEN_MAX,
        Circuit::Probing { .. } => false,
    };
    closed && paused_until(state, now).is_none()
}
