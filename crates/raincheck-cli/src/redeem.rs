//! Waiting for a job and delivering its result: what `submit --wait` and `job result` share.
//!
//! Invariant: a job that was accepted is not given up because its server is away for a while: the id is in hand,
//! so the wait goes on until its time is over or the server stays away for [`AWAY_MAX`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use raincheck::core::time::parse_duration;
use tokio::time::Instant;

use crate::client::{Answer, NoAnswer, Request, WAIT_MAX};
use crate::document::{ErrorDocument, JobDocument};
use crate::exit::{Exit, Failed};
use crate::named::Named;
use crate::output::{Shape, say};
use crate::parcel::{Parcel, hand_over};
use crate::refused::{Problem, refused};
use crate::session::{About, Session};

/// How long a server that was there may stay away while we wait, before we give up.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How often a server that is away is tried.
const AWAY_PAUSE: Duration = Duration::from_millis(250);

/// How long to wait for a job, and where its result goes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Redeem {
    /// Wait until the job is done, or for at most this long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "",
          value_parser = wait_limit)]
    pub(crate) wait: Option<Limit>,
    /// Write the result to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How long to wait; `None` waits until the job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

pub(crate) fn wait_limit(text: &str) -> Result<Limit, String> {
    match text {
        "" => Ok(Limit(None)),
        text => parse_duration(text)
            .map(|limit| Limit(Some(limit)))
            .map_err(|error| error.to_string()),
    }
}

/// Waits as told and delivers the result of the job. `met` tells whether this server has answered before: only
/// then it is worth waiting for while it is away.
pub(crate) async fn redeem(session: &Session, job: &Named, how: &Redeem, met: bool) -> Result<(), Failed> {
    let limit = how.wait.unwrap_or(Limit(Some(Duration::ZERO)));
    let waiting = wait(session, job, limit, met);
    tokio::pin!(waiting);
    let answer = tokio::select! {
        answer = &mut waiting => answer?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(session, job)),
    };
    deliver(session, job, &answer, how.output.as_deref())
}

fn interrupted(session: &Session, job: &Named) -> Failed {
    Failed::new(Exit::Interrupted, format!("interrupted; job {} goes on", job.id)).next(format!(
        "Redeem it: {}",
        session.command(&format!("job result {job} --wait"))
    ))
}

/// Asks for the result until it is there or the time is over.
async fn wait(session: &Session, job: &Named, limit: Limit, mut met: bool) -> Result<Answer, Failed> {
    let started = Instant::now();
    let mut away_since: Option<Instant> = None;
    loop {
        let left = limit
            .0
            .map_or(WAIT_MAX, |limit| limit.saturating_sub(started.elapsed()));
        let error = match ask(session, job, left).await {
            None => continue,
            Some(Ok(answer)) if pending(&answer) && left.is_zero() => {
                return Err(unfinished(session, job, &answer));
            }
            Some(Ok(answer)) if pending(&answer) => {
                (met, away_since) = (true, None);
                continue;
            }
            Some(Ok(answer)) if leaving(&answer) && !left.is_zero() => {
                met = true;
                NoAnswer::Lost(Problem::of(&answer).message())
            }
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => error,
        };
        if !met {
            return Err(session.unanswered(&error));
        }
        let since = *away_since.get_or_insert_with(|| {
            session
                .output
                .note("the server is away; waiting for it to come back");
            Instant::now()
        });
        if left.is_zero() || since.elapsed() >= AWAY_MAX {
            return Err(gone(session, job, &error));
        }
        tokio::time::sleep(AWAY_PAUSE.min(left)).await;
    }
}

/// Asks once, for at most `left`; `None` where that time is over without an answer.
async fn ask(session: &Session, job: &Named, left: Duration) -> Option<Result<Answer, NoAnswer>> {
    let request = Request::get(job.path("/result", None));
    if left.is_zero() {
        return Some(session.client.send(request).await);
    }
    let asked = Instant::now();
    let answer = session.client.send(request.wait(left));
    let answer = if left < WAIT_MAX {
        // The server counts in whole seconds; we do not.
        tokio::time::timeout(left, answer).await.ok()
    } else {
        Some(answer.await)
    };
    // A server that answers at once without holding the request must not be asked in a tight loop.
    if matches!(&answer, Some(Ok(answer)) if pending(answer)) && asked.elapsed() < AWAY_PAUSE {
        tokio::time::sleep(AWAY_PAUSE.min(left)).await;
    }
    answer
}

/// A server that takes nothing now: it is about to go, or its store is.
fn leaving(answer: &Answer) -> bool {
    answer.status.as_u16() == 503 && answer.header("raincheck-outcome").is_none()
}

fn gone(session: &Session, job: &Named, error: &NoAnswer) -> Failed {
    let failed = session.unanswered(error);
    Failed::new(
        failed.exit,
        format!("{}; job {} was accepted", failed.message, job.id),
    )
    .next(format!(
        "Redeem it later: {}",
        session.command(&format!("job result {job} --wait"))
    ))
}

fn pending(answer: &Answer) -> bool {
    answer.header("raincheck-outcome") == Some("pending")
}

fn unfinished(session: &Session, job: &Named, answer: &Answer) -> Failed {
    let state = answer
        .json::<JobDocument>()
        .map(|document| document.state)
        .unwrap_or_default();
    let state = if state.is_empty() { "not done" } else { &state };
    Failed::new(Exit::Timeout, format!("job {} is still {state}", job.id)).next(format!(
        "Wait for it: {}",
        session.command(&format!("job result {job} --wait"))
    ))
}

/// Delivers what a finished job left: its result where there is one, and an exit code by its outcome.
fn deliver(session: &Session, job: &Named, answer: &Answer, file: Option<&Path>) -> Result<(), Failed> {
    let outcome = answer.header("raincheck-outcome").unwrap_or_default().to_owned();
    // A stored result has a strong ETag; a problem made by the server has none (API.md section 4).
    let stored = answer.headers.contains_key("etag");
    if stored {
        let parcel = Parcel {
            what: "result",
            job,
            outcome: Some(&outcome),
        };
        hand_over(session, &parcel, answer, file)?;
    }
    let gone = !stored
        && matches!(
            Problem::of(answer).code.as_str(),
            "result-expired" | "job-deleted"
        );
    match outcome.as_str() {
        _ if gone => Err(refused(session, answer, About::Job(job))),
        "succeeded" if stored => Ok(()),
        "failed" => Err(ended_badly(session, job, "failed", stored, answer)),
        "cancelled" | "expired" => Err(ended_badly(session, job, &outcome, stored, answer)),
        _ => Err(refused(session, answer, About::Job(job))),
    }
}

fn ended_badly(session: &Session, job: &Named, outcome: &str, stored: bool, answer: &Answer) -> Failed {
    let id = &job.id;
    let ended = match outcome {
        "cancelled" => "was cancelled",
        "expired" => "expired before it was started",
        _ => "failed",
    };
    let reason = if stored {
        format!("job {id} {ended}; its handler answered {}", answer.status)
    } else if outcome == "failed" {
        let problem = Problem::of(answer);
        let error = ErrorDocument::new(&problem.code, &problem.message());
        format!("job {id} {ended}: {}", error.text())
    } else {
        format!("job {id} {ended}")
    };
    Failed::new(Exit::JobFailed, reason).next(format!(
        "See its attempts: {}; submit it again: {}",
        session.command(&format!("job get {job}")),
        session.command(&format!("job retry {job}"))
    ))
}

/// Tells on a terminal how to redeem a job that was submitted without waiting.
pub(crate) fn hint(session: &Session, id: &str) {
    if session.output.shape == Shape::Terminal {
        say(&format!(
            "Redeem it: {}",
            session.command(&format!("job result {id} --wait"))
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_endless_or_as_long_as_it_says() {
        assert_eq!(wait_limit(""), Ok(Limit(None)));
        assert_eq!(wait_limit("30s"), Ok(Limit(Some(Duration::from_secs(30)))));
        assert!(wait_limit("30").is_err());
    }
}
