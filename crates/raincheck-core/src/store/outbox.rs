//! What a store says and hears of webhooks.

use std::sync::Arc;

use crate::batch::BatchStatus;
use crate::content::JobResult;
use crate::decide::TryEnd;
use crate::delivery::{Delivery, DeliveryId};
use crate::job::Job;
use crate::name::Namespace;
use crate::time::Timestamp;

/// A webhook of which a try has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The delivery; `tries` counts this one.
    pub delivery: Delivery,
    /// What it tells of.
    pub about: About,
}

/// What a webhook tells of.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    /// A job that has ended.
    Job {
        /// The job.
        job: Arc<Job>,
        /// Its result, where it has one.
        result: Option<Arc<JobResult>>,
    },
    /// A batch that is done.
    Batch(BatchStatus),
}

impl About {
    /// Whose it is.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        match self {
            Self::Job { job, .. } => &job.namespace,
            Self::Batch(status) => &status.batch.namespace,
        }
    }
}

/// The webhooks of which tries have begun.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DueDeliveries {
    /// The longest due first.
    pub due: Vec<Outgoing>,
    /// When the next one is due, as far as is known now.
    pub next_at: Option<Timestamp>,
}

/// How a try has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTry {
    /// The delivery.
    pub id: DeliveryId,
    /// Which try: what `tries` was when it began.
    pub n: u32,
    /// How.
    pub end: TryEnd,
    /// Brings the jitter of the next delay.
    pub seed: u64,
}
