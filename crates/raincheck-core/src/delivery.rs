//! Webhooks: who is told that a job has ended, and how far that telling is.
//!
//! Invariant: a delivery is recorded by the step that ends its job, and lives as long as the job does; what it tells is
//! rendered from the job, which never changes again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

/// Names a delivery; it is the `webhook-id` of every try. A job has at most one of each source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The job that ended.
    pub job: JobId,
    /// Whose wish it is.
    pub source: Source,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = self.job.to_string();
        let source = match self.source {
            Source::Job => 'j',
            Source::Queue => 'q',
        };
        write!(f, "msg_{}{source}", job.strip_prefix("job_").unwrap_or(&job))
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
        let (job, source) = match (rest.strip_suffix('j'), rest.strip_suffix('q')) {
            (Some(job), _) => (job, Source::Job),
            (None, Some(job)) => (job, Source::Queue),
            (None, None) => return Err(ParseDeliveryIdError),
        };
        let job = format!("job_{job}").parse().map_err(|_| ParseDeliveryIdError)?;
        Ok(Self { job, source })
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
    /// Whose job it tells of.
    pub namespace: Namespace,
    /// Where it goes.
    pub url: String,
    /// What it tells.
    pub event: Outcome,
    /// When the job ended.
    pub created_at: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// Tries that were begun.
    pub tries: u32,
    /// Tries that had been begun when it was last asked for by hand: the schedule counts from there.
    pub tries_before: u32,
    /// What the last try came to.
    pub last: Option<Try>,
}

impl Delivery {
    /// When it is to be tried next.
    #[must_use]
    pub const fn next_at(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Pending { next_at } => Some(next_at),
            Stage::Delivered | Stage::Abandoned => None,
        }
    }
}
