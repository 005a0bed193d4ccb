//! A worker's hold on a job.
//!
//! Invariant: a lease ends by a commit, not by the clock. [`Lease::ends_at`] only says from when a reclaim may
//! end it; until then, and as long as nobody did, its holder may still renew and settle.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Nonce;
use crate::name::WorkerName;
use crate::time::Timestamp;

/// The shortest lease.
pub const LEASE_MIN: Duration = Duration::from_secs(1);
/// The longest lease.
pub const LEASE_MAX: Duration = Duration::from_secs(12 * 3600);

/// Who holds a lease: one of the ways to run an attempt, or the endpoint that a push was handed over to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerKind {
    /// The server sends the input to a URL.
    Push,
    /// A worker asks for jobs over HTTP.
    Pull,
    /// The server starts a command.
    Process,
    /// A Rust function in the server's own process.
    Function,
    /// The server asks the URL in the job's input.
    Fetch,
    /// The endpoint that a job was pushed to has said that it settles later: [`Renew::defer`](crate::store::Renew::defer).
    Deferred,
}

impl WorkerKind {
    /// The kind's name, as rows and documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Process => "process",
            Self::Function => "function",
            Self::Fetch => "fetch",
            Self::Deferred => "deferred",
        }
    }

    /// Whether the attempt runs inside the server, so that it cannot outlive it.
    #[must_use]
    pub const fn dies_with_server(self) -> bool {
        !matches!(self, Self::Pull | Self::Deferred)
    }
}

/// How far an attempt is, as its worker tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Eq for Progress {}

/// A hold on a job, from its claim until it is settled, released or reclaimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The secret part of the lease's id.
    pub nonce: Nonce,
    /// Who holds it.
    pub worker: WorkerName,
    /// How the attempt runs.
    pub kind: WorkerKind,
    /// When the job was claimed.
    pub started_at: Timestamp,
    /// The term last granted; a reopened store grants it again.
    pub term: Duration,
    /// From when the lease may be reclaimed, unless renewed.
    pub expires_at: Timestamp,
    /// When the attempt's time is over; no renewal passes it.
    pub attempt_deadline: Timestamp,
    /// Set by a cancel request: when the worker's grace is over.
    pub cancel_by: Option<Timestamp>,
    /// What the worker last said of its progress.
    pub progress: Option<Progress>,
    /// What the worker called its claim, so that a claim whose answer was lost can be repeated.
    pub claim_id: Option<String>,
}

impl Lease {
    /// From when a reclaim may end this lease.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        let lapse = self.expires_at.min(self.attempt_deadline);
        self.cancel_by.map_or(lapse, |grace| grace.min(lapse))
    }
}
