//! What is known of a host that requests go to: whether its circuit is open, and since when it wants to be left alone.
//!
//! Invariant: it is known in memory only, and by what the host did to requests; nothing is ever decided by its name.

use std::time::Duration;

use crate::time::Timestamp;

/// So many requests go to one host at once, unless said otherwise (GUARANTEES.md section 2 item 11).
pub const HOST_CONCURRENCY: u32 = 8;
/// So many webhooks go at once to a host that answers quickly.
pub const QUICK_SHARE: u32 = 32;
/// What answers within this is quick.
pub const QUICK: Duration = Duration::from_millis(100);

/// So many failures in a row open a circuit.
pub const FAILURES_MAX: u32 = 5;
/// Failures that lie further apart are not in a row.
pub const FAILURES_WITHIN: Duration = Duration::from_secs(60);
/// The longest pause of a circuit that has just opened; it doubles each time a probe fails.
pub const OPEN_FIRST: Duration = Duration::from_secs(1);
/// The longest pause of all.
pub const OPEN_MAX: Duration = Duration::from_secs(60);
/// The first pause of a request that could not be sent.
pub const AWAY_FIRST: Duration = Duration::from_millis(500);
/// The longest one: a service that is back is asked within it.
pub const AWAY_MAX: Duration = Duration::from_secs(15);
/// A longer `Retry-After` holds the other requests to its host back for only so long: whoever is told to come back tomorrow
/// may be told so for reasons of his own.
pub const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);
/// A host that was given less time than this and did not answer is not known to be down: the time may have been the
/// submitter's choice.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How soon a request is tried again that could not be sent because no connection could be made for so long.
#[must_use]
pub fn away_pause(away: Duration) -> Duration {
    (away / 2).clamp(AWAY_FIRST, AWAY_MAX)
}

/// Whether requests are let through to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// They are.
    Closed {
        /// So many have failed in a row.
        failures: u32,
        /// When the last of them did.
        last: Timestamp,
    },
    /// They are not; from some instant on, one is.
    Open {
        /// That instant.
        until: Timestamp,
        /// How often it was opened in a row.
        times: u32,
    },
    /// One is under way, and tells whether the others follow.
    Probing {
        /// Since when.
        since: Timestamp,
        /// How often it was opened in a row.
        times: u32,
    },
}

/// How soon a host answers webhooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Nobody knows yet.
    #[default]
    Unknown,
    /// Within [`QUICK`].
    Quick,
    /// Later, or not at all.
    Slow,
}

/// What is known of a host; at first nothing that would hold requests back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostState {
    /// Whether requests are let through.
    pub circuit: Circuit,
    /// The host wants to be left alone until then.
    pub not_before: Timestamp,
    /// How soon its last answer came.
    pub pace: Pace,
}

impl Default for HostState {
    fn default() -> Self {
        Self {
            circuit: Circuit::Closed {
                failures: 0,
                last: Timestamp::default(),
            },
            not_before: Timestamp::default(),
            pace: Pace::Unknown,
        }
    }
}

/// What a request tells of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAnswer {
    /// It is there.
    Answered {
        /// It wants to be left alone for so long.
        retry_after: Option<Duration>,
    },
    /// It is not, or nobody behind it is.
    Failed {
        /// It wants to be left alone for so long.
        retry_after: Option<Duration>,
    },
    /// Nothing: nothing was sent, or it was stopped before the answer.
    Nothing,
}

impl HostAnswer {
    /// There was no answer, or only a part of one.
    pub const BROKEN: Self = Self::Failed { retry_after: None };

    /// What an answer with this status tells. A gateway's 502, 503 and 504 say that nobody is behind it; any other status,
    /// also 500, was made by a program that is there: that it fails on one job does not prove that it fails on others. The
    /// `Retry-After` of 429 and 503 is about the host, that of others about the request.
    #[must_use]
    pub fn of(status: u16, retry_after: Duration) -> Self {
        let asked = (matches!(status, 429 | 503) && !retry_after.is_zero()).then_some(retry_after);
        if matches!(status, 502..=504) {
            Self::Failed { retry_after: asked }
        } else {
            Self::Answered { retry_after: asked }
        }
    }

    /// What it tells that no answer came within this time.
    #[must_use]
    pub fn none_within(time: Duration) -> Self {
        if time < PATIENCE {
            Self::Nothing
        } else {
            Self::BROKEN
        }
    }
}

/// Why nothing more is sent to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeldBy {
    /// As many requests as may are under way.
    Concurrency,
    /// Its circuit is open.
    Circuit,
    /// It asked for it, by `Retry-After`.
    Pause,
}

impl HostHeldBy {
    /// Its name in metrics and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "host_concurrency",
            Self::Circuit => "circuit",
            Self::Pause => "host_pause",
        }
    }
}

/// Why nothing more is sent to a host, and until when, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostHeld {
    /// Why.
    pub by: HostHeldBy,
    /// Until when; `None` where only the end of another request helps.
    pub until: Option<Timestamp>,
}

/// How many requests a host has room for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRoom {
    /// So many.
    pub count: u32,
    /// Whether the one that there is room for is to be the circuit's probe.
    pub probe: bool,
    /// What holds back the others that were wanted.
    pub held: Option<HostHeld>,
}
