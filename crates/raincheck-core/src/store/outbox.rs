//! What a store says and hears of webhooks.

use std::sync::Arc;

use crate::content::JobResult;
use crate::decide::TryEnd;
use crate::delivery::{Delivery, DeliveryId};
use crate::job::Job;
use crate::time::Timestamp;

/// A webhook of which a try has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The delivery; `tries` counts this one.
    pub delivery: Delivery,
    /// The job that ended.
    pub job: Arc<Job>,
    /// Its result, where it has one.
    pub result: Option<Arc<JobResult>>,
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
