//! How long a call may stand still before it is given up, and what its client is told then.
//!
//! Invariant: as long as something of a request comes and is taken, nothing is late.

use std::pin::pin;
use std::time::Duration;

use raincheck_core::time::format_duration;
use tokio::time::{Instant, sleep_until};

use super::body::{Standing, Upload};
use crate::api::code::Code;
use crate::api::desk::closing;
use crate::api::problem::Problem;

/// Waits until a call has taken too long, from its request's end to its answer; one timer for all that it may be late with.
pub(super) async fn late(upload: Option<&Upload>, since: Instant, limit: Duration) -> Problem {
    match upload {
        Some(upload) => {
            let waited = stuck(upload, since, limit);
            waited.await.unwrap_or_else(|| unanswered(limit))
        }
        None => {
            sleep_until(since + limit).await;
            unanswered(limit)
        }
    }
}

/// Waits until a request has stood still for too long on its way; for ever where it arrives.
pub(super) async fn stalled(upload: &Upload, since: Instant, limit: Duration) -> Problem {
    match stuck(upload, since, limit).await {
        Some(problem) => problem,
        None => std::future::pending().await,
    }
}

/// `None` where it has arrived, and that long ago.
async fn stuck(upload: &Upload, since: Instant, limit: Duration) -> Option<Problem> {
    let mut timer = pin!(sleep_until(since + limit));
    loop {
        timer.as_mut().await;
        let time = format_duration(limit);
        return match upload.standing(limit) {
            Standing::Until(due) => {
                timer.as_mut().reset(due);
                continue;
            }
            Standing::Sent => None,
            Standing::Untaken => {
                let detail = format!("the upstream took nothing of the request for {time}");
                Some(Problem::new(Code::UpstreamTimeout, detail))
            }
            Standing::Stalled => {
                let detail = format!("nothing of the request came for {time}");
                Some(closing(Problem::new(Code::RequestTimeout, detail)))
            }
        };
    }
}

fn unanswered(limit: Duration) -> Problem {
    let detail = format!("the upstream did not answer within {}", format_duration(limit));
    Problem::new(Code::UpstreamTimeout, detail)
}
