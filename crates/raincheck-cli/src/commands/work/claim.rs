//! Claiming: as many jobs as there are free places, waiting at the server for the first.
//!
//! Invariant: what a claim brought is worked or given back, even where its answer was lost: a claim is repeated under its
//! own name until it was answered.

use std::sync::Arc;
use std::time::Duration;

use raincheck::backoff::Backoff;
use raincheck::tasks::TaskKind;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::attempt::work;
use super::bench::{Bench, Place};
use super::deliver::json as json_type;
use super::report::Away;
use super::wire::Leased;
use crate::client::{Answer, NoAnswer, Request};
use crate::exit::{Exit, Failed};
use crate::refused::{Problem, refused};
use crate::session::About;

/// How long a claim waits at the server.
const WAIT: Duration = Duration::from_secs(30);
/// A server that has nothing and answers at once is asked again no sooner.
const NOTHING_PAUSE: Duration = Duration::from_millis(250);
/// How long leaving looks after a claim that was cut.
const RECOVER_MAX: Duration = Duration::from_secs(2);

/// What came of a claim.
enum Claimed {
    Leases(Vec<Leased>),
    Nothing,
    Stopped,
    Refused(Failed),
}

/// Claims and starts attempts until the worker is to leave, or there is nothing more for it to do.
pub(super) async fn run(bench: Arc<Bench>) {
    while let Some(mut places) = bench.free_places().await {
        let claimed = claim(&bench, places.len()).await;
        let came = match &claimed {
            Claimed::Leases(leases) => leases.len(),
            Claimed::Nothing | Claimed::Stopped | Claimed::Refused(_) => 0,
        };
        bench.give_turns_back(places.len().saturating_sub(came));
        match claimed {
            Claimed::Leases(leases) => {
                for leased in leases {
                    // Only a repeated claim could bring more jobs than there are places: they would wait for theirs.
                    let place = places.pop().map(|permit| bench.place(permit));
                    let attempt = in_place(bench.clone(), leased, place);
                    bench.attempts.spawn(TaskKind::Attempt, attempt);
                }
            }
            Claimed::Nothing if bench.exit_when_empty => {
                drop(places);
                if bench.is_idle() {
                    break;
                }
                bench.place_freed_or_stopping().await;
            }
            Claimed::Nothing => {}
            Claimed::Stopped => break,
            Claimed::Refused(failed) => {
                bench.fail(failed);
                break;
            }
        }
    }
    bench.stopping.cancel();
}

async fn in_place(bench: Arc<Bench>, leased: Leased, place: Option<Place>) {
    let place = match place {
        Some(place) => place,
        None => bench.place(bench.next_place().await),
    };
    work(bench, leased, place).await;
}

/// Claims up to `max` jobs under one name until there is an answer.
async fn claim(bench: &Bench, max: usize) -> Claimed {
    let name = format!("{:016x}", bench.random.bits());
    let wait = if bench.exit_when_empty {
        Duration::ZERO
    } else {
        WAIT
    };
    let mut backoff = Backoff::new(bench.random.clone());
    let mut in_doubt = false;
    loop {
        let asked = Instant::now();
        let answer = tokio::select! {
            biased;
            () = bench.stopping.cancelled() => {
                recover(bench, &name).await;
                return Claimed::Stopped;
            }
            answer = bench.contact.try_send(request(bench, &name, max, wait)) => answer,
        };
        let pause = match answer {
            Ok(answer) if answer.status.as_u16() == 204 => {
                if !wait.is_zero() && asked.elapsed() < NOTHING_PAUSE {
                    NOTHING_PAUSE
                } else {
                    return Claimed::Nothing;
                }
            }
            Ok(answer) if answer.status.is_success() => {
                return Leased::all(&answer, asked).map_or_else(Claimed::Refused, Claimed::Leases);
            }
            Ok(answer) => return Claimed::Refused(bench.refusal(&answer)),
            Err(Away {
                in_doubt: doubt,
                pause,
            }) => {
                in_doubt |= doubt;
                pause.max(backoff.next())
            }
        };
        tokio::select! {
            biased;
            () = bench.stopping.cancelled() => {
                if in_doubt {
                    recover(bench, &name).await;
                }
                return Claimed::Stopped;
            }
            () = sleep(pause) => {}
        }
    }
}

fn request(bench: &Bench, name: &str, max: usize, wait: Duration) -> Request {
    let lease_for = bench.lease_for.map(raincheck::core::time::format_duration);
    let body = json!({"worker": bench.worker.as_str(), "max": max, "lease_for": lease_for, "claim_id": name});
    let request =
        Request::post(format!("/v1/queues/{}/claim", bench.queue)).body(json_type(), body.to_string().into());
    if wait.is_zero() {
        request
    } else {
        request.wait(wait)
    }
}

/// Gives back what a claim may have brought that was cut: repeated under its name it brings the same leases.
async fn recover(bench: &Bench, name: &str) {
    let recovered = timeout(RECOVER_MAX, async {
        let request = request(bench, name, 1, Duration::ZERO);
        let answer = bench.session.client.send(request).await?;
        let leases = Leased::all(&answer, Instant::now()).unwrap_or_default();
        if leases.is_empty() {
            return Ok(());
        }
        let entries = leases
            .iter()
            .map(|leased| json!({"lease": leased.document.lease, "action": "release"}));
        let body = serde_json::Value::Array(entries.collect()).to_string();
        let request = Request::post("/v1/leases").body(json_type(), body.into());
        bench.session.client.send(request).await.map(drop)
    });
    // Where that fails the leases lapse, if there are any.
    let _: Result<Result<(), NoAnswer>, _> = recovered.await;
}

impl Bench {
    /// Why the server lets nobody claim.
    fn refusal(&self, answer: &Answer) -> Failed {
        let failed = refused(&self.session, answer, About::Queue(&self.queue));
        match Problem::of(answer).code.as_str() {
            "unknown-queue" => Failed {
                message: format!("there is no queue {:?}", self.queue.as_str()),
                next: Some(format!(
                    "Create it: {}; see what is there: {}",
                    self.session
                        .command(&format!("work {} --create -- …", self.queue)),
                    self.session.command("queue list")
                )),
                ..failed
            },
            "queue-not-pull" => Failed {
                exit: Exit::Conflict,
                next: Some(format!(
                    "Let workers have its jobs: {}",
                    self.session
                        .command(&format!("queue set {} worker=pull", self.queue))
                )),
                ..failed
            },
            _ => failed,
        }
    }
}
