//! The workload `backlog`: what many waiting and many kept jobs cost the others.
//!
//! Invariant: both rounds do the same to the same queue with jobs before all others; workers take only those, so that
//! the waiting ones stay where they are.

use std::sync::Arc;
use std::time::Duration;

use raincheck::core::name::QueueName;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::arrays::{self, Arrays};
use super::cycle::{self, Redeem};
use super::figures::{Measured, Row};
use super::rate;
use super::rig::Rig;
use super::submit::{self, HowToSubmit};
use crate::exit::Failed;

const NAME: &str = "backlog";
/// How long the jobs are kept that are pruned during a submit.
const SHORT: &str = "1s";
/// With fewer of them there is nothing to measure: they are gone at once.
const PRUNED_MIN: u64 = 10_000;
/// How long to wait until the server looks for what it may prune; it looks every few seconds.
const LOOKS_WITHIN: Duration = Duration::from_secs(15);

/// Empty, filled, while pruning, and after a restart.
pub(super) async fn run(rig: &mut Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let (waiting, finished) = (rig.sizes.waiting, rig.sizes.finished);
    let queue = rig.queue("busy").await?;
    let empty = Round::of(rig, &queue, "empty").await?;
    empty.rows("empty", None, rows);
    rig.progress.begin(&format!("{NAME}, finishing {finished}"));
    let mut jobs = Arrays {
        bytes: rig.sizes.bytes,
        ..Arrays::of(queue.clone(), finished)
    };
    arrays::work(rig, &jobs).await?;
    rig.progress.begin(&format!("{NAME}, {waiting} begin to wait"));
    jobs.jobs = waiting;
    arrays::submit(rig, &jobs).await?;
    let case = format!("{waiting} waiting, {finished} kept");
    let full = Round::of(rig, &queue, &case).await?;
    full.rows(&case, Some(&empty), rows);
    if finished >= PRUNED_MIN {
        rows.push(pruning(rig).await?);
    }
    rig.progress.begin(&format!("{NAME}, restart"));
    rig.meter().still().await;
    if let Some(took) = rig.restart().await? {
        let ms = took.as_secs_f64() * 1e3;
        let row = Row::new(NAME, format!("start with {waiting} waiting")).figure("ready_ms", Some(ms));
        rows.push(row.note(format!("ready in {ms:.0} ms")));
        let row = Row::new(NAME, "memory after it");
        let mib = rig.meter().resident_kib().map(|kib| kib as f64 / 1024.0);
        let note = mib.map_or_else(String::new, |mib| format!("{mib:.1} MiB resident"));
        rows.push(row.figure("mib", mib).note(note));
    }
    Ok(())
}

/// What each waiting job takes of a new server's memory. Where much has come and gone before, the memory that it left
/// behind would be used again, and nothing be seen.
pub(super) async fn memory(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let waiting = rig.sizes.waiting;
    rig.progress.begin(&format!("{NAME}, memory of {waiting}"));
    // The first ones fill the caches, which do not grow with the jobs.
    let mut jobs = Arrays {
        bytes: rig.sizes.bytes,
        ..Arrays::of(rig.queue("memory").await?, (waiting / 20).max(100))
    };
    arrays::submit(rig, &jobs).await?;
    rig.meter().still().await;
    let before = rig.meter().resident_kib();
    jobs.jobs = waiting;
    arrays::submit(rig, &jobs).await?;
    rig.meter().still().await;
    let both = before.zip(rig.meter().resident_kib());
    let each = both.map(|(before, after)| (after as f64 - before as f64) * 1024.0 / waiting as f64);
    rows.push(Row::new(NAME, "memory").figure("bytes_each", each).note(
        each.map_or_else(String::new, |each| {
            format!("{each:.0} bytes for each waiting job")
        }),
    ));
    Ok(())
}

/// The four, one after the other.
struct Round {
    submit: Measured,
    cycle: Measured,
    arrays: Measured,
    answer: Measured,
    result: Measured,
}

impl Round {
    async fn of(rig: &Rig, queue: &QueueName, case: &str) -> Result<Self, Failed> {
        let begin = |what: &str| rig.progress.begin(&format!("{NAME}, {what}, {case}"));
        // Every job that is acknowledged is a permit to claim one.
        let quota = Arc::new(Semaphore::new(0));
        let how = HowToSubmit {
            first: true,
            quota: Some(quota.clone()),
            ..HowToSubmit::plain(queue.clone())
        };
        begin("cycle");
        let cycle = cycle::measure(rig, &how, Redeem::LongPoll).await?;
        begin("arrays");
        let mut jobs = Arrays {
            first: true,
            quota: Some(quota.clone()),
            ..Arrays::of(queue.clone(), rig.sizes.jobs)
        };
        let arrays = arrays::work(rig, &jobs).await?;
        begin("rate");
        let (answer, result) = rate::measure(rig, &how).await?;
        begin("submit");
        let submit = submit::measure(rig, &how).await?;
        begin("working off");
        jobs.jobs = quota.available_permits() as u64;
        arrays::drain(rig, &jobs).await?;
        Ok(Self {
            submit,
            cycle,
            arrays,
            answer,
            result,
        })
    }

    fn rows(&self, case: &str, empty: Option<&Self>, rows: &mut Vec<Row>) {
        type Part = fn(&Round) -> &Measured;
        let parts: [(&str, Part, Share); 5] = [
            ("submit", |round| &round.submit, of_rate),
            ("cycle", |round| &round.cycle, of_rate),
            ("arrays", |round| &round.arrays, of_rate),
            ("answer at a pace", |round| &round.answer, of_speed),
            ("result at a pace", |round| &round.result, of_speed),
        ];
        for (what, part, share) in parts {
            let measured = part(self);
            let row = Row::of(NAME, format!("{what}, {case}"), measured);
            rows.push(match empty.and_then(|empty| share(measured, part(empty))) {
                Some(share) => row
                    .figure("share_of_empty", Some(share))
                    .note(format!("{:.0} % of empty", share * 100.0)),
                None => row,
            });
        }
    }
}

/// What is left of the figure of an empty queue.
type Share = fn(&Measured, &Measured) -> Option<f64>;

fn of_rate(full: &Measured, empty: &Measured) -> Option<f64> {
    Some(full.rate() / empty.rate())
}

/// In an open loop the rate is given: what may suffer is the time that half of the jobs take.
fn of_speed(full: &Measured, empty: &Measured) -> Option<f64> {
    Some(empty.latency.quantile_ms(0.5)? / full.latency.quantile_ms(0.5)?)
}

/// Submits while the server deletes what has outlived its keep.
async fn pruning(rig: &Rig) -> Result<Row, Failed> {
    let count = rig.sizes.finished;
    rig.progress
        .begin(&format!("{NAME}, finishing {count} to be pruned"));
    let jobs = Arrays {
        bytes: rig.sizes.bytes,
        ..Arrays::of(rig.queue_that_keeps("pruned", SHORT).await?, count)
    };
    arrays::work(rig, &jobs).await?;
    let submitted = rig.queue("while-pruning").await?;
    rig.progress.begin(&format!("{NAME}, submit while pruning"));
    let until = Instant::now() + LOOKS_WITHIN;
    let mut before = rig.kept(&jobs.queue).await?;
    while before == count && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
        before = rig.kept(&jobs.queue).await?;
    }
    let measured = submit::measure(rig, &HowToSubmit::plain(submitted)).await?;
    let after = rig.kept(&jobs.queue).await?;
    let pruned = before.saturating_sub(after);
    Ok(Row::of(NAME, "submit while pruning", &measured)
        .figure("pruned", Some(pruned as f64))
        .note(format!("{pruned} pruned meanwhile")))
}
