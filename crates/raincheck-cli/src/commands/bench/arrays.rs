//! The workload `arrays`: jobs in arrays of a thousand, claimed and settled by the hundred, results stored.
//!
//! Invariant: the run is over when the last result is on stable storage: when the last settle was answered.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use raincheck::core::name::QueueName;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::drive::{all, settled};
use super::figures::{Latency, Measured, Row};
use super::rig::Rig;
use super::wire::{Answer, Head, Wire, refused};
use super::worker::{HowToWork, Workers};
use crate::exit::Failed;

const NAME: &str = "arrays";
/// Jobs in one request.
const ARRAY: u64 = 1_000;
/// Connections that submit.
const SUBMITTERS: usize = 2;
/// Connections that work: one's batch is settled while the other's is read.
const WORKERS: usize = 2;
/// Jobs in one claim, the most that the server gives.
const CLAIM: u32 = 100;
/// Bytes of an input, the size that queues are compared by.
const BYTES: usize = 200;

/// Jobs to submit in arrays.
#[derive(Clone, Debug)]
pub(super) struct Arrays {
    /// To this queue.
    pub(super) queue: QueueName,
    /// So many.
    pub(super) jobs: u64,
    /// Bytes of each input.
    pub(super) bytes: usize,
    /// Before all others.
    pub(super) first: bool,
    /// Where a webhook tells of the end of each.
    pub(super) callback: Option<String>,
    /// Gets a permit for every job that was acknowledged; the workers take no more than that.
    pub(super) quota: Option<Arc<Semaphore>>,
}

impl Arrays {
    /// So many jobs of the usual size.
    pub(super) const fn of(queue: QueueName, jobs: u64) -> Self {
        Self {
            queue,
            jobs,
            bytes: BYTES,
            first: false,
            callback: None,
            quota: None,
        }
    }

    /// An array of so many of them.
    fn body(&self, count: u64) -> Bytes {
        let queue = &self.queue;
        let input = super::rig::input(self.bytes);
        let input = String::from_utf8_lossy(&input);
        let priority = if self.first { ",\"priority\":0" } else { "" };
        let callback = match &self.callback {
            Some(url) => format!(",\"callback\":{{\"url\":\"{url}\"}}"),
            None => String::new(),
        };
        let mut body = String::new();
        for n in 0..count {
            let open = if n == 0 { '[' } else { ',' };
            // Nothing is wrong with a string that is written to.
            let _ = write!(
                body,
                "{open}{{\"queue\":\"{queue}\",\"input\":{input}{priority}{callback}}}"
            );
        }
        body.push(']');
        body.into()
    }
}

/// Submits without workers, then the whole path with them.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let jobs = rig.sizes.jobs;
    rig.progress.begin(&format!("{NAME}, submit"));
    let arrays = Arrays::of(rig.queue("submitted").await?, jobs);
    rows.push(Row::of(NAME, "submit", &submit(rig, &arrays).await?));
    rig.progress.begin(&format!("{NAME}, submit and work"));
    let arrays = Arrays::of(rig.queue("worked").await?, jobs);
    rows.push(Row::of(NAME, "submit and work", &work(rig, &arrays).await?));
    Ok(())
}

/// Submits them all.
pub(super) async fn submit(rig: &Rig, arrays: &Arrays) -> Result<Measured, Failed> {
    let reading = rig.meter().read();
    let left = Arc::new(AtomicU64::new(arrays.jobs));
    let mut tasks = submitters(rig, arrays, &left).await?;
    let submitted = || 1.0 - left.load(Ordering::Relaxed) as f64 / arrays.jobs as f64;
    all(&mut tasks, &mut Workers::none(), &rig.progress, submitted).await?;
    Ok(Measured {
        jobs: arrays.jobs,
        latency: Latency::default(),
        used: rig.meter().since(reading),
    })
}

/// Submits them all while workers live, until every result is stored.
pub(super) async fn work(rig: &Rig, arrays: &Arrays) -> Result<Measured, Failed> {
    let mut workers = workers(rig, arrays).await?;
    let done = workers.settled();
    let reading = rig.meter().read();
    let left = Arc::new(AtomicU64::new(arrays.jobs));
    let mut tasks = submitters(rig, arrays, &left).await?;
    let shown = || done.load(Ordering::Relaxed) as f64 / arrays.jobs as f64;
    all(&mut tasks, &mut workers, &rig.progress, shown).await?;
    settled(arrays.jobs, &mut workers, &rig.progress).await?;
    let used = rig.meter().since(reading);
    workers.stop().await?;
    Ok(Measured {
        jobs: arrays.jobs,
        latency: Latency::default(),
        used,
    })
}

/// Works what has been submitted and acknowledged to the quota, until all of it is settled.
pub(super) async fn drain(rig: &Rig, arrays: &Arrays) -> Result<(), Failed> {
    let mut workers = workers(rig, arrays).await?;
    settled(arrays.jobs, &mut workers, &rig.progress).await?;
    workers.stop().await
}

/// Workers for these jobs.
pub(super) async fn workers(rig: &Rig, arrays: &Arrays) -> Result<Workers, Failed> {
    let how = HowToWork {
        queue: arrays.queue.clone(),
        workers: WORKERS,
        claim: CLAIM,
        quota: arrays.quota.clone(),
    };
    Workers::start(&rig.target, &how).await
}

async fn submitters(
    rig: &Rig,
    arrays: &Arrays,
    left: &Arc<AtomicU64>,
) -> Result<JoinSet<Result<(), Failed>>, Failed> {
    let mut tasks = JoinSet::new();
    for _ in 0..SUBMITTERS {
        let submitter = Submitter {
            wire: Wire::open(&rig.target).await?,
            head: rig.target.post("/v1/jobs"),
            arrays: arrays.clone(),
            left: left.clone(),
        };
        tasks.spawn(submitter.run());
    }
    Ok(tasks)
}

struct Submitter {
    wire: Wire,
    head: Head,
    arrays: Arrays,
    left: Arc<AtomicU64>,
}

impl Submitter {
    async fn run(mut self) -> Result<(), Failed> {
        let full = self.arrays.body(ARRAY.min(self.arrays.jobs));
        loop {
            let take = |left: u64| Some(left.saturating_sub(ARRAY));
            let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            let count = left.unwrap_or(0).min(ARRAY);
            if count == 0 {
                return Ok(());
            }
            let body = if count == ARRAY {
                full.clone()
            } else {
                self.arrays.body(count)
            };
            let answer = self.wire.call(&self.head.with(&body)).await?;
            accepted(answer, count)?;
            if let Some(quota) = &self.arrays.quota {
                quota.add_permits(usize::try_from(count).unwrap_or(usize::MAX));
            }
        }
    }
}

/// Submits them all on one connection; their ids.
pub(super) async fn submit_in_turn(rig: &Rig, arrays: &Arrays) -> Result<Vec<String>, Failed> {
    let head = rig.target.post("/v1/jobs");
    let mut wire = Wire::open(&rig.target).await?;
    let mut ids = Vec::new();
    while (ids.len() as u64) < arrays.jobs {
        let count = ARRAY.min(arrays.jobs - ids.len() as u64);
        let answer = wire.call(&head.with(&arrays.body(count))).await?;
        ids.extend(accepted(answer, count)?.into_iter().map(str::to_owned));
    }
    Ok(ids)
}

/// The ids of the jobs: every entry was taken, none is a problem.
fn accepted(answer: Answer<'_>, count: u64) -> Result<Vec<&str>, Failed> {
    #[derive(serde::Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        id: Option<&'a str>,
    }
    let answer = answer.expect(200, "an array of jobs")?;
    let entries: Vec<Entry<'_>> = answer.json()?;
    let ids: Vec<&str> = entries.iter().filter_map(|entry| entry.id).collect();
    if ids.len() as u64 == count {
        Ok(ids)
    } else {
        Err(refused("entries of an array of jobs", answer.status, answer.body))
    }
}
