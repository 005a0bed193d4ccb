//! Webhooks: who is told that a job or a batch has ended, and how far that telling is.
//!
//! Invariant: a delivery is recorded by the step that ends its job or batch, and lives as long as that does; what it tells
//! is rendered from what never changes again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::batch::BatchId;
use crate::id::JobId;
use crate::job::Outcome;
use crate::name::Namespace;
use crate::time::Timestamp;

/// Whom to tell, and of which ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// Where the webhook is sent.
    pub url: String,
    /// The outcomes that are told; all of them unless said otherwise.
    #[serde(default = "every_outcome")]
    pub events: Vec<Outcome>,
}

fn every_outcome() -> Vec<Outcome> {
    vec![
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::Expired,
    ]
}

impl Callback {
    /// Tells this URL of every end.
    #[must_use]
    pub fn to(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            events: every_outcome(),
        }
    }
}

/// Whose wish a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The job's own callback.
    Job,
    /// The callback of its queue.
    Queue,
}

/// What a delivery tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job has ended.
    Ended(Outcome),
    /// A batch is done.
    BatchCompleted,
}

impl Event {
    /// The `type` that the webhook has.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ended(Outcome::Succeeded) => "job.succeeded",
            Self::Ended(Outcome::Failed) => "job.failed",
            Self::Ended(Outcome::Cancelled) => "job.cancelled",
            Self::Ended(Outcome::Expired) => "job.expired",
            Self::BatchCompleted => "batch.completed",
        }
    }
}

/// Names a delivery; it is the `webhook-id` of every try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryId {
    /// Of a job, which has at most one of each source.
    Job {
        /// The job that ended.
        job: JobId,
        /// Whose wish it is.
        source: Source,
    },
    /// Of a batch, which has at most one.
    Batch(BatchId),
}

impl DeliveryId {
    /// The job that ended, where it is one.
    #[must_use]
    pub const fn job(&self) -> Option<JobId> {
        match self {
            Self::Job { job, .. } => Some(*job),
            Self::Batch(_) => None,
        }
    }

    /// By what deliveries are listed: the age of what has ended, then the wish.
    const fn place(&self) -> (u64, u64, u8) {
        match self {
            Self::Job { job, source } => (job.seq(), job.tail(), *source as u8),
            Self::Batch(batch) => (batch.seq(), batch.tail(), 2),
        }
    }
}

impl Ord for DeliveryId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for DeliveryId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, letter) = match self {
            Self::Job { job, source } => {
                let letter = match source {
                    Source::Job => 'j',
                    Source::Queue => 'q',
                };
                (job.to_string(), letter)
            }
            Self::Batch(batch) => (batch.to_string(), 'b'),
        };
        let digits = id.split_once('_').map_or(id.as_str(), |(_, digits)| digits);
        write!(f, "msg_{digits}{letter}")
    }
}

/// Why a text names no delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a delivery")]
pub struct ParseDeliveryIdError;

impl FromStr for DeliveryId {
    type Err = ParseDeliveryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("msg_").ok_or(ParseDeliveryIdError)?;
        let mut letters = rest.chars();
        let letter = letters.next_back().ok_or(ParseDeliveryIdError)?;
        let id = format!("job_{}", letters.as_str());
        let job: JobId = id.parse().map_err(|_| ParseDeliveryIdError)?;
        let of = |source| Self::Job { job, source };
        match letter {
            'j' => Ok(of(Source::Job)),
            'q' => Ok(of(Source::Queue)),
            'b' => Ok(Self::Batch(BatchId::new(job))),
            _ => Err(ParseDeliveryIdError),
        }
    }
}

/// What a try came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it ended.
    pub at: Timestamp,
    /// The receiver's status, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there is no status, or why it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is to be tried; while a try is under way, from when another may be made.
    Pending {
        /// When.
        next_at: Timestamp,
    },
    /// The receiver took it.
    Delivered,
    /// Nobody tries it any more, unless it is asked for.
    Abandoned,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name.
    pub id: DeliveryId,
    /// Whose job or batch it tells of.
    pub namespace: Namespace,
    /// Where it goes.
    pub url: String,
    /// What it tells.
    pub event: Event,
    /// When the job or the batch ended.
    pub created_at: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// Tries that were begun; it numbers them.
    pub tries: u32,
    /// So many of them sent nothing, for want of room at the receiver's host.
    pub held: u32,
    /// Tries that had been sent when it was last asked for by hand: the schedule counts from there.
    pub tries_before: u32,
    /// When it was last asked for by hand.
    pub asked_at: Option<Timestamp>,
    /// What the last try came to.
    pub last: Option<Try>,
}

impl Delivery {
    /// How often it was sent, or is being sent.
    #[must_use]
    pub const fn sent(&self) -> u32 {
        self.tries.saturating_sub(self.held)
    }

    /// When it is to be tried next.
    #[must_use]
    pub const fn next_at(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Pending { next_at } => Some(next_at),
            Stage::Delivered | Stage::Abandoned => None,
        }
    }
}
