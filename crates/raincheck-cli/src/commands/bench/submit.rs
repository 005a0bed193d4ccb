//! The workload `submit`: clients that submit one job at a time and read the 202.
//!
//! Invariant: nobody works the queue, so that nothing but submitting is measured.

use std::sync::Arc;

use bytes::Bytes;
use raincheck::core::name::QueueName;
use tokio::sync::Semaphore;

use super::drive::{Client, closed};
use super::figures::{Measured, Row};
use super::rig::Rig;
use super::wire::{Head, Wire};
use super::worker::Workers;
use crate::exit::Failed;

const NAME: &str = "submit";

/// How to submit.
#[derive(Clone, Debug)]
pub(super) struct HowToSubmit {
    /// The queue.
    pub(super) queue: QueueName,
    /// An idempotency key of its own for each job.
    pub(super) keyed: bool,
    /// Before all others.
    pub(super) first: bool,
    /// Gets a permit for every job that was acknowledged.
    pub(super) quota: Option<Arc<Semaphore>>,
}

impl HowToSubmit {
    /// Plainly, to this queue.
    pub(super) const fn plain(queue: QueueName) -> Self {
        Self {
            queue,
            keyed: false,
            first: false,
            quota: None,
        }
    }

    /// The head of such a submit; `query` begins with `?`.
    pub(super) fn head(&self, rig: &Rig, query: &str) -> Head {
        let head = rig.target.post(&format!("/v1/queues/{}/jobs{query}", self.queue));
        if self.first {
            head.header("Raincheck-Priority", "0")
        } else {
            head
        }
    }
}

/// Both kinds of submits.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    for (case, keyed) in [("plain", false), ("a key each", true)] {
        let queue = rig.queue(case).await?;
        rig.progress.begin(&format!("{NAME}, {case}"));
        let how = HowToSubmit {
            keyed,
            ..HowToSubmit::plain(queue)
        };
        rows.push(Row::of(NAME, case, &measure(rig, &how).await?));
    }
    Ok(())
}

/// Submits for the time that is measured.
pub(super) async fn measure(rig: &Rig, how: &HowToSubmit) -> Result<Measured, Failed> {
    let mut clients = Vec::new();
    for n in 0..rig.sizes.connections {
        let (head, input) = (how.head(rig, ""), rig.sizes.input());
        clients.push(Submitter {
            wire: Wire::open(&rig.target).await?,
            message: head.with(&input),
            head,
            input,
            key: how.keyed.then(|| format!("{}-{n}", how.queue)),
            sent: 0,
            quota: how.quota.clone(),
        });
    }
    let window = rig.sizes.window();
    closed(clients, window, &mut Workers::none(), rig.meter(), &rig.progress).await
}

struct Submitter {
    wire: Wire,
    head: Head,
    input: Bytes,
    /// The same for every job, but where each has a key.
    message: Bytes,
    key: Option<String>,
    sent: u64,
    quota: Option<Arc<Semaphore>>,
}

impl Client for Submitter {
    async fn turn(&mut self) -> Result<(), Failed> {
        if let Some(key) = &self.key {
            let key = format!("\"{key}-{}\"", self.sent);
            self.message = self
                .head
                .clone()
                .header("Idempotency-Key", &key)
                .with(&self.input);
            self.sent += 1;
        }
        let answer = self.wire.call(&self.message).await?;
        answer.expect(202, "a submit")?;
        if let Some(quota) = &self.quota {
            quota.add_permits(1);
        }
        Ok(())
    }
}
