//! What the server says of itself.
//!
//! Invariant: one that does not answer is asked once.

use std::collections::BTreeMap;

use http::StatusCode;
use raincheck::clock::SystemClock;
use raincheck::core::clock::Clock as _;
use serde::Deserialize;

use super::{Finding, State};
use crate::client::Request;
use crate::document::QueueDocument;
use crate::exit::Exit;
use crate::session::{About, Session};

/// A difference of the clocks from which on people are led astray, in seconds.
const APART: u64 = 5;

/// Whether it takes work.
pub(super) async fn ready(session: &Session) -> Finding {
    ask(session).await.0
}

/// Looks at all of it.
pub(super) async fn look(session: &Session) -> Vec<Finding> {
    let (finding, clock, damage) = ask(session).await;
    let answers = clock.is_some();
    let mut findings = vec![finding];
    findings.extend(clock);
    findings.extend(damage);
    if answers {
        findings.extend(queues(session).await);
    }
    findings
}

#[derive(Default, Deserialize)]
struct Readiness {
    #[serde(default)]
    checks: BTreeMap<String, String>,
    damaged: Option<Damaged>,
}

#[derive(Deserialize)]
struct Damaged {
    count: u64,
    #[serde(default)]
    jobs: Vec<String>,
}

impl Damaged {
    fn finding(&self) -> Finding {
        let named = if self.jobs.is_empty() {
            "its log names them".to_owned()
        } else {
            self.jobs.join(", ")
        };
        Finding::fault(
            "damage",
            format!(
                "jobs set aside, because their rows are not as they were written: {} ({named})",
                self.count
            ),
            "The disk changes bytes: move the store to another one, and restore a backup to have these jobs back",
        )
    }
}

/// Whether it takes work, and, where it answers, what its clock says and whether jobs are damaged.
async fn ask(session: &Session) -> (Finding, Option<Finding>, Option<Finding>) {
    let address = &session.client.address;
    let answer = match session.client.send(Request::get("/readyz")).await {
        Ok(answer) => answer,
        Err(error) => return (Finding::failed("server", session.unanswered(&error)), None, None),
    };
    let readiness = answer.json::<Readiness>().unwrap_or_default();
    let damage = readiness.damaged.as_ref().map(Damaged::finding);
    let here = SystemClock::new().now();
    let apart = answer.date().map_or(0, |there| there.apart(here).as_secs());
    let clock = if apart > APART {
        let found = format!("the server's is {apart} s away from this machine's");
        Finding::warning(
            "clock",
            found,
            "Set both by NTP: times in answers are the server's",
        )
    } else {
        Finding::ok("clock", "the server's agrees with this machine's")
    };
    if answer.status == StatusCode::OK {
        return (
            Finding::ok("server", format!("takes work at {address}")),
            Some(clock),
            damage,
        );
    }
    let wrong = readiness.checks.iter().filter(|(_, state)| *state != "ok");
    let wrong: Vec<_> = wrong.map(|(name, state)| format!("{name} {state}")).collect();
    let (found, next) = if wrong.is_empty() {
        let found = format!("{address} answers {} to /readyz", answer.status.as_u16());
        (found, "Is that a Raincheck server? Name it: --url URL")
    } else {
        let found = format!("takes no work at {address}: {}", wrong.join(", "));
        (
            found,
            "Its log says more; a full disk needs room, a failed store a restart",
        )
    };
    let finding = Finding {
        next: Some(next.to_owned()),
        ..Finding::new(State::Fault, "server", found, Exit::Unreachable)
    };
    (finding, Some(clock), damage)
}

#[derive(Deserialize)]
struct Queues {
    queues: Vec<QueueDocument>,
}

#[derive(Deserialize)]
struct Workers {
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    queue: String,
}

/// Whether we are let in, and whether jobs wait that nobody works.
async fn queues(session: &Session) -> Vec<Finding> {
    let queues: Queues = match read(session, "/v1/queues").await {
        Ok(queues) => queues,
        Err(finding) => return vec![finding],
    };
    let access = match &session.client.key {
        Some(_) => "the key is good",
        None => "open, without a key",
    };
    let mut findings = vec![Finding::ok("access", access)];
    let workers: Workers = match read(session, "/v1/workers").await {
        Ok(workers) => workers,
        // A key that may not see them is not at fault.
        Err(_) => return findings,
    };
    let mut idle = queues
        .queues
        .iter()
        .filter_map(|queue| stuck(queue, &workers, session))
        .peekable();
    if idle.peek().is_none() {
        let found = format!("{}; none has jobs that nobody works", queues.queues.len());
        findings.push(Finding::ok("queues", found));
    }
    findings.extend(idle);
    findings
}

/// What is wrong with a queue whose jobs nobody works.
fn stuck(queue: &QueueDocument, workers: &Workers, session: &Session) -> Option<Finding> {
    let (name, queued) = (&queue.name, queue.counts.queued);
    if queued == 0 {
        return None;
    }
    if queue.paused.is_some() {
        let next = format!("Go on: {}", session.command(&format!("queue resume {name}")));
        return Some(Finding::warning(
            "queues",
            format!("{name} is paused (jobs waiting: {queued})"),
            next,
        ));
    }
    let worked = !queue.is_pulled() || workers.workers.iter().any(|worker| worker.queue == *name);
    if worked || queue.counts.running > 0 {
        return None;
    }
    let next = format!("Start one: {}", session.command(&format!("work {name} -- CMD")));
    Some(Finding::warning(
        "queues",
        format!("{name} has no worker (jobs waiting: {queued})"),
        next,
    ))
}

async fn read<T: serde::de::DeserializeOwned>(session: &Session, path: &str) -> Result<T, Finding> {
    let answer = session.call(Request::get(path), About::Server).await;
    let document = answer.and_then(|answer| answer.json());
    document.map_err(|failed| Finding::failed("access", failed))
}
