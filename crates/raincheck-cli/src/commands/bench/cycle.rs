//! The workload `cycle`: submit, work, redeem. Clients submit and wait for the result; workers that do nothing claim
//! and settle in batches.
//!
//! Invariant: a job counts when its result has been read.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::drive::{Client, closed};
use super::figures::{Measured, Row};
use super::rig::Rig;
use super::submit::HowToSubmit;
use super::wire::{Answer, Target, Wire};
use super::worker::{HowToWork, Workers};
use crate::exit::{Exit, Failed};

const NAME: &str = "cycle";

/// How a client gets its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redeem {
    /// With a request of its own, held until the result is there.
    LongPoll,
    /// In the answer to its submit.
    AtOnce,
}

/// Both ways to redeem.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    for (case, redeem) in [("long-poll", Redeem::LongPoll), ("one trip", Redeem::AtOnce)] {
        let queue = rig.queue(case).await?;
        rig.progress.begin(&format!("{NAME}, {case}"));
        let measured = measure(rig, &HowToSubmit::plain(queue), redeem).await?;
        rows.push(Row::of(NAME, case, &measured));
    }
    Ok(())
}

/// Goes round for the time that is measured.
pub(super) async fn measure(rig: &Rig, how: &HowToSubmit, redeem: Redeem) -> Result<Measured, Failed> {
    let work = HowToWork {
        queue: how.queue.clone(),
        workers: rig.sizes.workers,
        claim: rig.sizes.claim,
        quota: how.quota.clone(),
    };
    let mut workers = Workers::start(&rig.target, &work).await?;
    let query = match redeem {
        Redeem::LongPoll => "",
        Redeem::AtOnce => "?wait=30",
    };
    let mut clients = Vec::new();
    for _ in 0..rig.sizes.connections {
        clients.push(Customer {
            wire: Wire::open(&rig.target).await?,
            target: rig.target.clone(),
            message: how.head(rig, query).with(&rig.sizes.input()),
            redeem,
            quota: how.quota.clone(),
        });
    }
    let window = rig.sizes.window();
    let measured = closed(clients, window, &mut workers, rig.meter(), &rig.progress).await?;
    workers.stop().await?;
    Ok(measured)
}

struct Customer {
    wire: Wire,
    target: Target,
    message: Bytes,
    redeem: Redeem,
    quota: Option<Arc<Semaphore>>,
}

impl Client for Customer {
    async fn turn(&mut self) -> Result<(), Failed> {
        let answer = self.wire.call(&self.message).await?;
        if self.redeem == Redeem::AtOnce && answer.status == 200 {
            return Ok(());
        }
        let result = self.target.get(&result_of(acknowledged(answer)?));
        if let Some(quota) = &self.quota {
            quota.add_permits(1);
        }
        redeem(&mut self.wire, &result).await
    }
}

/// The job of a 202.
pub(super) fn acknowledged(answer: Answer<'_>) -> Result<&str, Failed> {
    let answer = answer.expect(202, "a submit")?;
    answer
        .job
        .ok_or_else(|| Failed::new(Exit::Failure, "the server's 202 names no job"))
}

/// Where a job's result is waited for.
pub(super) fn result_of(job: &str) -> String {
    format!("/v1/jobs/{job}/result?wait=30")
}

/// Sends this request for a result until the result is the answer.
pub(super) async fn redeem(wire: &mut Wire, request: &[u8]) -> Result<(), Failed> {
    loop {
        let answer = wire.call(request).await?;
        if answer.status != 202 {
            return answer.expect(200, "a wait for a result").map(drop);
        }
    }
}
