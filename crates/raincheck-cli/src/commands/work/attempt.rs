//! One attempt after the other in one place: input, program, settlement, and the next job with the answer to it.
//!
//! Invariant: what is claimed is settled, released, or said to be lost.

use std::sync::Arc;

use bytes::Bytes;
use raincheck::backoff::Backoff;
use raincheck::core::decide::Settlement;
use raincheck::core::job::Failure;
use raincheck::workers::AttemptEnd;
use raincheck::workers::process::{Facts, Run};
use raincheck::workers::stop::{StopReason, Stops};
use raincheck::workers::supervise::{settlement, supervise};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, Place};
use super::deliver::{Delivered, deliver};
use super::report::{Ended, log_of};
use super::wire::Leased;
use crate::client::Request;
use crate::exit::{Exit, Failed};
use crate::refused::Problem;

/// Works the job, and those that come with the answers to its settlement.
pub(super) async fn work(bench: Arc<Bench>, leased: Leased, place: Place) {
    let mut next = Some(leased);
    while let Some(leased) = next {
        next = one(&bench, leased).await;
    }
    drop(place);
}

async fn one(bench: &Arc<Bench>, leased: Leased) -> Option<Leased> {
    let begun = Instant::now();
    let (lease, time) = (leased.document.lease.clone(), leased.time);
    let (job, attempt) = (leased.document.job.id.clone(), leased.document.job.attempt);
    // Renewed until it is settled, however long the server stays away.
    let (_entered, mut hold) = bench.held.enter(&leased, bench.closing.subscribe());
    let stops = Stops::default();
    let run = || Box::pin(run(bench.clone(), leased, stops.clone())) as _;
    let (end, stop) = supervise(&mut hold, run, &stops).await;
    let reason = stop.map(|stop| stop.reason);
    let mut ended = Ended {
        job: &job,
        attempt,
        outcome: "lost",
        state: None,
        took: begun.elapsed(),
        detail: "the lease is over; what came of it counts for nothing",
    };
    let Some(settlement) = settlement(end, reason, time) else {
        ended.tell(bench.output());
        return None;
    };
    let (outcome, mut detail) = told(&settlement, reason);
    match deliver(bench, &lease, settlement).await {
        Delivered::Taken(settled, mut next) => {
            if outcome == "failed" {
                detail.push_str(match (settled.done, settled.run_at) {
                    (true, _) => "; not tried again",
                    (false, _) => "; to be tried again",
                });
            }
            ended = Ended {
                outcome: if settled.state == "cancelled" {
                    "cancelled"
                } else {
                    outcome
                },
                state: Some(&settled.state),
                detail: &detail,
                ..ended
            };
            ended.tell(bench.output());
            next.pop()
        }
        Delivered::Refused(why) => {
            let detail = if detail.is_empty() {
                why
            } else {
                format!("{detail} ({why})")
            };
            Ended {
                detail: &detail,
                ..ended
            }
            .tell(bench.output());
            None
        }
        Delivered::GivenUp => {
            bench.undelivered(&job, outcome);
            None
        }
    }
}

/// A settlement in a word, and more about it.
fn told(settlement: &Settlement, reason: Option<StopReason>) -> (&'static str, String) {
    match settlement {
        Settlement::Succeed(_) => ("succeeded", String::new()),
        Settlement::Fail { failure, .. } => ("failed", failure.detail.clone()),
        Settlement::Release { .. } if reason == Some(StopReason::Draining) => {
            ("released", "it did not end in time and is given back".to_owned())
        }
        Settlement::Release { .. } => ("released", String::new()),
        Settlement::Cancel => ("cancelled", String::new()),
    }
}

/// Runs the program on the input.
async fn run(bench: Arc<Bench>, leased: Leased, stops: Stops) -> AttemptEnd {
    let document = leased.document;
    let job = document.job.id;
    let input = match document.input.bytes() {
        Some(input) => Ok(input),
        None => {
            tokio::select! {
                biased;
                _ = stops.told() => return AttemptEnd::Stopped,
                input = fetch(&bench, &job) => input,
            }
        }
    };
    let input = match input {
        Ok(input) => input,
        Err(why) => return AttemptEnd::retry(Failure::new("handler-unreachable", why)),
    };
    let run = Run {
        facts: Facts {
            attempt: document.job.attempt,
            queue: bench.queue.to_string(),
            fence: document.fence.to_string(),
            deadline: document.attempt_deadline.to_string(),
            content_type: document.input.content_type,
            traceparent: document.traceparent,
            tracestate: document.tracestate,
            job: job.clone(),
        },
        input,
        result_type: bench.result_type.clone(),
        result_max: bench.result_max,
        room: bench.room.clone(),
        stops,
        tap: None,
        log: Some(log_of(job)),
    };
    bench.program.run(run).await.unwrap_or_else(|error| {
        // Every other job would meet the same: the job is given back, uncharged, and no further one is taken.
        let name = bench.program.name();
        bench.fail(
            Failed::new(Exit::Failure, format!("{name} cannot be started: {error}"))
                .next("Its job was given back"),
        );
        AttemptEnd::Stopped
    })
}

/// Fetches an input that did not come with its lease.
async fn fetch(bench: &Bench, job: &str) -> Result<Bytes, String> {
    let mut backoff = Backoff::new(bench.random.clone());
    loop {
        let request = Request::get(format!("/v1/jobs/{job}/input"));
        match bench.contact.try_send(request).await {
            Ok(answer) if answer.status.is_success() => return Ok(answer.body),
            Ok(answer) => {
                let why = Problem::of(&answer).message();
                return Err(format!("the input could not be fetched: {why}"));
            }
            Err(away) => sleep(away.pause.max(backoff.next())).await,
        }
    }
}
