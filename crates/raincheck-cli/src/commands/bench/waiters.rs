//! The workload `waiters`: long-polls that wait for something that does not happen, and many that wait for the same.
//!
//! Invariant: memory is read before the first waiter came and when every one of them waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::arrays::{Arrays, submit_in_turn};
use super::drive::{all, micros};
use super::figures::{Latency, Row};
use super::rig::Rig;
use super::spawn::open_files;
use super::wire::{Head, Target, Wire};
use super::worker::Workers;
use crate::exit::{Exit, Failed};

const NAME: &str = "waiters";
/// Connections that are made at once: more would overflow the server's backlog, and be tried again a second later.
pub(super) const AT_ONCE: usize = 64;
/// How long it may take until all idle waiters are told that nothing comes.
const PARTING_MAX: Duration = Duration::from_secs(20);
/// Files that are open besides, in each process.
const FILES_BESIDES: u64 = 512;

/// Lets this process, and the servers that it starts, open the files that so many waiters need.
pub(super) fn prepare(waiters: usize) -> Result<(), Failed> {
    open_files(waiters as u64 + FILES_BESIDES)
}

/// Idle waiters first, then those who are told.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    if rig.meter().resident_kib().is_some() {
        rows.push(idle(rig).await?);
    }
    rows.push(told(rig).await?);
    Ok(())
}

/// Waiters for a job each, and what the server's memory grows by.
async fn idle(rig: &Rig) -> Result<Row, Failed> {
    let count = rig.sizes.waiters;
    rig.progress.begin(&format!("{NAME}, {count} idle"));
    let queue = rig.queue("idle").await?;
    let jobs = Arrays::of(queue.clone(), count as u64);
    let ids = submit_in_turn(rig, &jobs).await?;
    // What reading the jobs takes of the server's caches is there before; it has nothing to do with waiting.
    let mut wire = Wire::open(&rig.target).await?;
    for id in &ids {
        let message = rig.target.get(&format!("/v1/jobs/{id}/result"));
        wire.call(&message).await?.expect(202, "a look for a result")?;
    }
    rig.meter().still().await;
    let before = rig.meter().resident_kib();
    let crowd = gathered(rig, &ids).await?;
    let after = rig.meter().resident_kib();
    // Those who just went away would be waited for a while longer, and take others' places.
    rig.purge(&queue).await?;
    let until = Instant::now() + PARTING_MAX;
    while crowd.told.load(Ordering::Relaxed) < count && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(crowd);
    let each = before.zip(after);
    let each = each.map(|(before, after)| (after as f64 - before as f64) / count as f64);
    Ok(Row::new(NAME, format!("{count} idle"))
        .figure("waiters", Some(count as f64))
        .figure("kib_each", each)
        .note(each.map_or_else(String::new, |kib| format!("{kib:.1} KiB each"))))
}

/// Waiters for one job, and how long it takes from its settle until the last of them has the result.
async fn told(rig: &Rig) -> Result<Row, Failed> {
    let count = rig.sizes.told;
    rig.progress.begin(&format!("{NAME}, {count} of one job"));
    let queue = rig.queue("told").await?;
    let ids = submit_in_turn(rig, &Arrays::of(queue.clone(), 1)).await?;
    let mut wire = Wire::open(&rig.target).await?;
    let claim = rig.target.post(&format!("/v1/queues/{queue}/claim"));
    let lease = leased(&mut wire, &claim).await?;
    let mut crowd = gathered(rig, &vec![ids[0].clone(); count]).await?;
    let settle = rig.target.post(&format!("/v1/leases/{lease}/succeed"));
    let reading = rig.meter().read();
    let settled = Instant::now();
    wire.call(&settle.with(b"{}")).await?.expect(200, "a settle")?;
    let ended = crowd.tasks.len();
    let shown = || crowd.told.load(Ordering::Relaxed) as f64 / ended as f64;
    let told = all(&mut crowd.tasks, &mut Workers::none(), &rig.progress, shown).await?;
    let used = rig.meter().since(reading);
    let times = told
        .into_iter()
        .map(|at| micros(at.saturating_duration_since(settled)));
    let latency = Latency::of(times.collect());
    let last = latency.quantile_ms(1.0);
    Ok(Row::new(NAME, format!("{count} of one job"))
        .figure("waiters", Some(count as f64))
        .figure("p50_ms", latency.quantile_ms(0.5))
        .figure("p99_ms", latency.quantile_ms(0.99))
        .figure("last_ms", last)
        .figure("server_cpu_ms", used.server.map(|seconds| seconds * 1e3))
        .note(last.map_or_else(String::new, |ms| format!("the last was told after {ms:.0} ms"))))
}

/// Claims a job for longer than a crowd takes to gather; its lease.
pub(super) async fn leased(wire: &mut Wire, claim: &Head) -> Result<String, Failed> {
    #[derive(Deserialize)]
    struct Leases {
        leases: Vec<Lease>,
    }
    #[derive(Deserialize)]
    struct Lease {
        lease: String,
    }
    let message = claim.with(b"{\"worker\":\"bench\",\"lease_for\":\"10m\"}");
    let leases: Leases = wire.call(&message).await?.expect(200, "a claim")?.json()?;
    let first = leases.leases.into_iter().next();
    Ok(first
        .ok_or_else(|| Failed::new(Exit::Failure, "the claim brought no job"))?
        .lease)
}

/// Waiters that wait.
struct Crowd {
    /// When each was answered.
    tasks: JoinSet<Result<Instant, Failed>>,
    /// How many were answered.
    told: Arc<AtomicUsize>,
}

/// One waiter for each of these jobs, once all of them wait.
async fn gathered(rig: &Rig, ids: &[String]) -> Result<Crowd, Failed> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let (here, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for id in ids {
        let waiter = Waiter {
            target: rig.target.clone(),
            message: rig.target.get(&format!("/v1/jobs/{id}/result?wait=60")),
            gate: gate.clone(),
            here: here.clone(),
            told: told.clone(),
        };
        tasks.spawn(waiter.run());
    }
    while here.load(Ordering::Relaxed) < ids.len() {
        rig.progress
            .show(here.load(Ordering::Relaxed) as f64 / ids.len() as f64);
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                ended.map_err(|error| super::drive::panicked(&error))??;
                return Err(early());
            }
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    // The last requests are written and read.
    rig.meter().still().await;
    match tasks.try_join_next() {
        None => Ok(Crowd { tasks, told }),
        Some(ended) => {
            ended.map_err(|error| super::drive::panicked(&error))??;
            Err(early())
        }
    }
}

fn early() -> Failed {
    Failed::new(
        Exit::Failure,
        "a waiter was answered before there was anything to tell",
    )
}

struct Waiter {
    target: Target,
    message: Bytes,
    gate: Arc<Semaphore>,
    here: Arc<AtomicUsize>,
    told: Arc<AtomicUsize>,
}

impl Waiter {
    async fn run(self) -> Result<Instant, Failed> {
        let place = self.gate.acquire().await;
        let mut wire = Wire::open(&self.target).await?;
        drop(place);
        self.here.fetch_add(1, Ordering::Relaxed);
        let answer = wire.call(&self.message).await?;
        let at = Instant::now();
        self.told.fetch_add(1, Ordering::Relaxed);
        answer.expect(200, "a wait for a result")?;
        Ok(at)
    }
}
