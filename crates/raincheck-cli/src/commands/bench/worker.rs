//! Workers that do nothing with a job but read its input and settle it: what is measured is the server.
//!
//! Invariant: every job that a worker claimed is settled before [`Workers::stop`] returns.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raincheck::core::name::QueueName;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::drive::panicked;
use super::wire::{Head, Target, Wire, refused};
use crate::exit::Failed;

/// What every job results in: 100 bytes of JSON.
const RESULT_BYTES: usize = 100;

/// How the workers work.
#[derive(Clone, Debug)]
pub(super) struct HowToWork {
    /// The queue.
    pub(super) queue: QueueName,
    /// Connections.
    pub(super) workers: usize,
    /// Jobs in one claim.
    pub(super) claim: u32,
    /// Where there are other jobs behind those of the workload: one permit for each job that may be claimed. Without
    /// it the workers wait for jobs at the server.
    pub(super) quota: Option<Arc<Semaphore>>,
}

/// Workers at work.
#[derive(Debug, Default)]
pub(super) struct Workers {
    tasks: JoinSet<Result<(), Failed>>,
    stop: CancellationToken,
    /// Jobs settled so far.
    settled: Arc<AtomicU64>,
}

impl Workers {
    /// No workers.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Starts to work.
    pub(super) async fn start(target: &Target, how: &HowToWork) -> Result<Self, Failed> {
        let mut all = Self::default();
        let wait = if how.quota.is_some() { "" } else { "?wait=1" };
        for _ in 0..how.workers {
            let worker = Worker {
                wire: Wire::open(target).await?,
                claims: target.post(&format!("/v1/queues/{}/claim{wait}", how.queue)),
                settles: target.post("/v1/leases"),
                hands: Hands {
                    max: how.claim,
                    quota: how.quota.clone(),
                    result: "r".repeat(RESULT_BYTES - 2),
                    stop: all.stop.clone(),
                    settled: all.settled.clone(),
                },
            };
            all.tasks.spawn(worker.run());
        }
        Ok(all)
    }

    /// How many jobs they have settled.
    pub(super) fn settled(&self) -> Arc<AtomicU64> {
        self.settled.clone()
    }

    /// Why one of them cannot go on; never, while all of them work.
    pub(super) async fn failed(&mut self) -> Failed {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(failed))) => return failed,
                Some(Err(error)) => return panicked(&error),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Lets them settle what they have and leave.
    pub(super) async fn stop(mut self) -> Result<(), Failed> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| panicked(&error))??;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Leases<'a> {
    #[serde(borrow)]
    leases: Vec<Lease<'a>>,
}

#[derive(Deserialize)]
struct Lease<'a> {
    lease: &'a str,
    #[serde(borrow)]
    input: &'a RawValue,
}

#[derive(Deserialize)]
struct Entry<'a> {
    status: u16,
    #[serde(borrow, default)]
    leases: Vec<Lease<'a>>,
}

struct Worker {
    wire: Wire,
    claims: Head,
    settles: Head,
    hands: Hands,
}

/// What a worker does with jobs, apart from the connection that they come over.
struct Hands {
    max: u32,
    quota: Option<Arc<Semaphore>>,
    result: String,
    stop: CancellationToken,
    settled: Arc<AtomicU64>,
}

/// Jobs in a worker's hands.
struct Batch {
    /// The request that settles them.
    body: String,
    /// How many they are.
    count: u32,
    /// How many more it asks for.
    claim: u32,
}

impl Worker {
    async fn run(mut self) -> Result<(), Failed> {
        let stop = self.hands.stop.clone();
        loop {
            let max = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                max = self.hands.free() => max,
            };
            // A claim is never cut off: the server would hold it for a while longer, and take jobs out for nobody.
            let mut held = self.claim(max).await?;
            while let Some(batch) = held {
                held = self.settle(batch).await?;
            }
        }
    }

    /// Waits for jobs, but not for long.
    async fn claim(&mut self, max: u32) -> Result<Option<Batch>, Failed> {
        let body = format!("{{\"worker\":\"bench\",\"max\":{max}}}");
        let answer = self.wire.call(&self.claims.with(body.as_bytes())).await?;
        if answer.status == 204 {
            self.hands.missed(max, 0);
            return Ok(None);
        }
        let read: Leases<'_> = answer.expect(200, "a claim")?.json()?;
        self.hands.missed(max, read.leases.len());
        Ok(self.hands.batch(read.leases.iter()))
    }

    /// Settles, and claims the next in the same round trip.
    async fn settle(&mut self, batch: Batch) -> Result<Option<Batch>, Failed> {
        let answer = self.wire.call(&self.settles.with(batch.body.as_bytes())).await?;
        let answer = answer.expect(200, "a settle")?;
        let read: Vec<Entry<'_>> = answer.json()?;
        if let Some(bad) = read.iter().find(|entry| entry.status != 200) {
            return Err(refused("a settle", bad.status, answer.body));
        }
        self.hands
            .settled
            .fetch_add(batch.count.into(), Ordering::Relaxed);
        let next = read.iter().flat_map(|entry| &entry.leases);
        self.hands.missed(batch.claim, next.clone().count());
        Ok(self.hands.batch(next))
    }
}

impl Hands {
    /// How many jobs to claim, once there may be any.
    async fn free(&self) -> u32 {
        let Some(quota) = &self.quota else {
            return self.max;
        };
        // The semaphore is never closed.
        if let Ok(first) = quota.acquire().await {
            first.forget();
        }
        1 + taken(quota, self.max - 1)
    }

    /// Jobs that were expected and did not come may be claimed later.
    fn missed(&self, expected: u32, came: usize) {
        if let Some(quota) = &self.quota {
            quota.add_permits((expected as usize).saturating_sub(came));
        }
    }

    /// Works the jobs: reads each input, and has a result for it.
    fn batch<'a>(&self, leases: impl Iterator<Item = &'a Lease<'a>>) -> Option<Batch> {
        let mut body = String::with_capacity(64 + (self.max as usize) * (RESULT_BYTES + 120));
        let mut count = 0;
        for Lease { lease, input } in leases {
            debug_assert!(input.get().starts_with('{'), "every input is told as an object");
            let open = if count == 0 { '[' } else { ',' };
            // Nothing is wrong with a string that is written to.
            let _ = write!(
                body,
                "{open}{{\"lease\":\"{lease}\",\"action\":\"succeed\",\"json\":\"{}\"}}",
                self.result
            );
            count += 1;
        }
        if count == 0 {
            return None;
        }
        let claim = match &self.quota {
            _ if self.stop.is_cancelled() => 0,
            Some(quota) => taken(quota, self.max),
            None => self.max,
        };
        if claim > 0 {
            // The last of the entries asks, when all of them are settled.
            body.pop();
            let _ = write!(body, ",\"claim\":{claim}}}");
        }
        body.push(']');
        Some(Batch { body, count, claim })
    }
}

/// Takes as many permits as there are, at most so many.
fn taken(quota: &Semaphore, most: u32) -> u32 {
    let count = u32::try_from(quota.available_permits()).unwrap_or(most).min(most);
    match quota.try_acquire_many(count) {
        Ok(permits) => {
            permits.forget();
            count
        }
        // Another worker was faster.
        Err(_) => 0,
    }
}
