//! The workload `submit`: clients that submit one job at a time and read the 202.
//!
//! Invariant: nobody works the queue, so that nothing but submitting is measured.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use raincheck::core::name::QueueName;
use tokio::sync::Semaphore;

use super::drive::{Client, closed};
use super::figures::{Measured, Row};
use super::rig::Rig;
use super::wire::{Head, Wire, expect};
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
        let head = rig
            .target
            .post_json(&format!("/v1/queues/{}/jobs{query}", self.queue));
        if self.first {
            let name = HeaderName::from_static("raincheck-priority");
            head.header(name, HeaderValue::from_static("0"))
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
        clients.push(Submitter {
            wire: Wire::open(&rig.target).await?,
            head: how.head(rig, ""),
            input: rig.sizes.input(),
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
    key: Option<String>,
    sent: u64,
    quota: Option<Arc<Semaphore>>,
}

impl Client for Submitter {
    async fn turn(&mut self) -> Result<(), Failed> {
        let mut message = self.head.with(self.input.clone());
        if let Some(key) = &self.key {
            let key =
                HeaderValue::try_from(format!("\"{key}-{}\"", self.sent)).map_err(std::io::Error::other)?;
            let name = HeaderName::from_static("idempotency-key");
            message.headers_mut().insert(name, key);
            self.sent += 1;
        }
        expect(202, self.wire.call(message).await?, "a submit")?;
        if let Some(quota) = &self.quota {
            quota.add_permits(1);
        }
        Ok(())
    }
}
