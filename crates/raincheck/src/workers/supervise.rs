//! Running one attempt while something holds its job: what this server's own attempts and `raincheck work` share.
//!
//! Invariant: whatever the attempt does, even a panic, it ends: at the latest [`FORCE_AFTER`] after its patience.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::decide::Settlement;
use raincheck_core::job::Failure;
use raincheck_core::time::format_duration;
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::{AttemptEnd, Stop, StopReason, Stops};
use crate::tasks::CatchPanic;

/// How much longer than its patience an attempt that was told to stop may take before its future is dropped.
const FORCE_AFTER: Duration = Duration::from_secs(1);

/// Holds a job while an attempt runs.
pub trait Holding: Send {
    /// The next thing that is to stop the attempt, each once.
    ///
    /// # Cancel safety
    /// Must be safe: whatever was under way goes on at the next call.
    fn next(&mut self) -> impl Future<Output = Stop> + Send;

    /// Whether something may be there already that is to stop the attempt. Asked once, before the attempt begins: what
    /// says `false` spares it to register for all that may come, which most attempts end before.
    fn may_stop_already(&self) -> bool {
        true
    }
}

/// Lets the attempt run until it ends, telling it of what is to stop it; cuts it where it does not listen. Gives back how
/// it ended, and what stopped it where something did.
pub async fn supervise(
    hold: &mut impl Holding,
    attempt: impl FnOnce() -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>>,
    stops: &Stops,
) -> (AttemptEnd, Option<Stop>) {
    // A cancel request may have overtaken the claim's answer: then the work is not begun.
    if hold.may_stop_already()
        && let Some(stop) = at_once(hold).await
    {
        return (AttemptEnd::Stopped, Some(stop));
    }
    let mut running = CatchPanic(attempt());
    let mut stopped: Option<Stop> = None;
    loop {
        let force_at = stopped.map(|stop| stop.by + FORCE_AFTER);
        tokio::select! {
            biased;
            end = &mut running => {
                let end = end.unwrap_or_else(|panic| {
                    error!(%panic, "an attempt panicked");
                    AttemptEnd::retry(Failure::new("handler-failed", "the handler panicked"))
                });
                return (end, stopped);
            }
            next = hold.next() => {
                let stop = stopped.map_or(next, |before| before.tightened(next));
                stopped = Some(stop);
                stops.tell(stop);
            }
            () = sleep_until(force_at.unwrap_or_else(Instant::now)), if force_at.is_some() => {
                warn!("an attempt did not stop when it was told to and is cut");
                return (AttemptEnd::Stopped, stopped);
            }
        }
    }
}

/// What is to stop the attempt already, where there is something.
async fn at_once(hold: &mut impl Holding) -> Option<Stop> {
    tokio::select! {
        biased;
        stop = hold.next() => Some(stop),
        () = std::future::ready(()) => None,
    }
}

/// What to settle after an attempt that had `time`; `None` where the lease is over or somebody else settles it. What the attempt says of an end that
/// it came to by itself counts, though it was being stopped; but after a cancel request only a success does.
#[must_use]
pub fn settlement(end: AttemptEnd, stopped: Option<StopReason>, time: Duration) -> Option<Settlement> {
    match (end, stopped) {
        (_, Some(StopReason::LeaseOver | StopReason::Settled)) | (AttemptEnd::Deferred, _) => None,
        (AttemptEnd::Succeeded(result), _) => Some(Settlement::succeed(result)),
        (
            AttemptEnd::Failed { .. } | AttemptEnd::Released { .. } | AttemptEnd::Stopped,
            Some(StopReason::Cancelled),
        ) => Some(Settlement::Cancel),
        (AttemptEnd::Released { delay, why }, _) => Some(Settlement::Release {
            delay,
            interrupted: false,
            why,
        }),
        (
            AttemptEnd::Failed {
                failure,
                retry,
                result,
            },
            _,
        ) => Some(Settlement::Fail {
            failure,
            retry,
            result: result.map(Arc::new),
            timed_out: false,
        }),
        (AttemptEnd::Stopped, Some(StopReason::TimedOut)) => {
            let time = format_duration(time);
            Some(Settlement::Fail {
                failure: Failure::new("timed-out", format!("the attempt did not end within {time}")),
                retry: Some(Duration::ZERO),
                result: None,
                timed_out: true,
            })
        }
        (AttemptEnd::Stopped, Some(StopReason::Draining) | None) => Some(Settlement::Release {
            delay: Duration::ZERO,
            interrupted: true,
            why: None,
        }),
    }
}
