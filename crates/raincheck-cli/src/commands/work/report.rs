//! What people and scripts see of a worker, and what it sees of its server.
//!
//! Invariant: that the server is away, and that it is back, is said once each, whoever notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raincheck::workers::process::{Lines, Log};

use crate::client::{Answer, NoAnswer, Request};
use crate::output::{Output, Shape, say, visible};
use crate::refused::Problem;
use crate::session::Session;
use crate::when;

/// Requests to a server that may be away for a while. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    session: Session,
    away: Arc<AtomicBool>,
}

impl Contact {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            away: Arc::default(),
        }
    }

    /// The server's answer; `None` where there is none, or one that says to come back later.
    pub(super) async fn send(&self, request: Request) -> Option<Answer> {
        self.try_send(request).await.ok()
    }

    /// The same, and where there is no answer, whether the request may have been carried out nevertheless and how long to
    /// leave the server alone at least.
    pub(super) async fn try_send(&self, request: Request) -> Result<Answer, Away> {
        match self.session.client.send(request).await {
            Ok(answer) if later(&answer) => {
                self.lost(&Problem::of(&answer).message());
                let seconds = answer.header("retry-after").and_then(|text| text.parse().ok());
                Err(Away {
                    in_doubt: false,
                    pause: Duration::from_secs(seconds.unwrap_or(0)),
                })
            }
            Ok(answer) => {
                if self.away.swap(false, Ordering::SeqCst) {
                    self.session.output.note("the server is back");
                }
                Ok(answer)
            }
            Err(NoAnswer::Unreachable(reason)) => {
                self.lost(&reason);
                Err(Away::default())
            }
            Err(NoAnswer::Lost(reason)) => {
                self.lost(&reason);
                Err(Away {
                    in_doubt: true,
                    ..Away::default()
                })
            }
        }
    }

    fn lost(&self, reason: &str) {
        if !self.away.swap(true, Ordering::SeqCst) {
            let address = &self.session.client.address;
            say(&format!(
                "the server at {address} takes nothing now ({}); trying again until it does",
                visible(reason)
            ));
        }
    }
}

/// There is no answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Away {
    /// Whether the request may have been carried out.
    pub(super) in_doubt: bool,
    /// How long to wait at least.
    pub(super) pause: Duration,
}

/// Whether the answer says to come back later: the server is about to go or is overloaded, or a proxy does not reach it.
fn later(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 408 | 425 | 429 | 500..=599)
}

/// How an attempt ended, for people and scripts.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) job: &'a str,
    pub(super) attempt: u32,
    /// `succeeded`, `failed`, `cancelled`, `released` or `lost`.
    pub(super) outcome: &'static str,
    /// Where the job stands then, where that is known.
    pub(super) state: Option<&'a str>,
    pub(super) took: Duration,
    /// More about it.
    pub(super) detail: &'a str,
}

impl Ended<'_> {
    /// Says it: a line on stderr; on stdout a JSON document a line, or the job's id, where that was asked for.
    pub(super) fn tell(&self, output: Output) {
        let took = when::span(self.took);
        // Nobody reading stdout any more is no reason to leave jobs alone.
        let _ = match output.shape {
            Shape::Json => output.line(
                &serde_json::json!({
                    "job": self.job, "attempt": self.attempt, "outcome": self.outcome, "state": self.state,
                    "took": took, "detail": (!self.detail.is_empty()).then_some(self.detail),
                })
                .to_string(),
            ),
            Shape::Quiet => output.line(self.job),
            Shape::Terminal | Shape::Plain => Ok(()),
        };
        let detail = if self.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", visible(self.detail))
        };
        output.note(&format!(
            "{} attempt {} {} after {took}{detail}",
            self.job, self.attempt, self.outcome
        ));
    }
}

/// Shows a program's stderr line by line, each with its job.
pub(super) fn log_of(job: String) -> Log {
    let mut lines = Lines::new(move |line| say_line(&job, line));
    Box::new(move |bytes| lines.take(bytes))
}

/// Shows a line that `who` said.
pub(super) fn say_line(who: &str, line: &str) {
    say(&format!("{who} | {}", visible(line)));
}
