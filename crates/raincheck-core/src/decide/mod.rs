//! Every transition of a job as a pure function: the job, the request and `now` in, the next job out.
//!
//! A store selects the rows, calls the decision inside its transaction and writes the answer back; it never decides
//! itself. Invariants: a decision is total over phases; it raises `version` by exactly one when it changes the
//! job and leaves the job alone otherwise; a finished job never gets another outcome.

mod batch;
mod bulk;
mod cancel;
mod claim;
mod clock;
mod delivery;
mod emit;
mod expire;
mod fetch;
mod host;
mod key;
mod patch;
mod reclaim;
mod renew;
mod retry;
mod secret;
mod settle;
mod submit;
#[cfg(test)]
mod tests;
mod unique;

pub use batch::{
    UPLOAD_TERM, abandon_batch, cancel_batch, count_end, count_line, finish_batch, open_batch, refused_line,
    repeated_line, seal_batch, take_lines,
};
pub use bulk::{BulkAction, BulkMatch, bulk, stood};
pub use cancel::{Cancelled, cancel};
pub use claim::{Claimer, Room, charge, claim, claimable, room};
pub use clock::{ClockSet, batch_clock_was_set, clock_was_set};
pub use delivery::{
    DELIVERY_DELAYS, DELIVERY_LIFE, DELIVERY_TERM, TryEnd, deliveries, end_try, redeliver, try_delivery,
};
pub use emit::{EmitRefused, EmitStep, emit, emitted_again};
pub use expire::{expire, expires_at};
pub use fetch::{
    FetchAnswer, FetchMethod, REDIRECTS_DEFAULT, REDIRECTS_MAX, RedirectRefused, fetch_answer, redirect,
};
pub use host::{all_held, begin_probe, forgettable, host_answered, host_room, webhook_share};
pub use key::{create_key, revoke_key};
pub use patch::{Patch, PatchRefused, patch};
pub use reclaim::{interrupt_on_open, reclaim};
pub use renew::{Renewed, renew};
pub use retry::{NotDone, retry};
pub use secret::{first_secret, rotate_secret};
pub use settle::{SettleRefused, SettleStep, Settlement, settle};
pub use submit::{
    Backlog, Fingerprint, IdempotencyMatch, NewJob, accepted_at, admit, idempotency, submit, submit_at,
};
pub use unique::{Contest, REPLACED, contest, holds};

use std::sync::Arc;

use crate::content::JobResult;
use crate::job::{ATTEMPTS_SHOWN, Attempt, AttemptOutcome, Failure, Job, Outcome, Phase};
use crate::lease::Lease;
use crate::queue::Policy;
use crate::time::Timestamp;

/// How long the id of a forgotten job answers 410 instead of 404.
pub const TOMBSTONE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Ends the attempt that `lease` stands for: writes it into the list and opens the job for its next phase.
fn end_attempt(
    job: &mut Job,
    lease: &Lease,
    outcome: AttemptOutcome,
    error: Option<Failure>,
    now: Timestamp,
) {
    // Most jobs have one attempt, and room for no more.
    job.attempts.reserve_exact(1);
    job.attempts.push(Attempt {
        n: job.attempt,
        worker: lease.worker.clone(),
        started_at: lease.started_at,
        ended_at: now,
        outcome,
        error,
    });
    let surplus = job.attempts.len().saturating_sub(ATTEMPTS_SHOWN);
    job.attempts.drain(..surplus);
}

/// Makes the job final.
fn finish(job: &mut Job, outcome: Outcome, policy: &Policy, now: Timestamp) {
    let keep = match outcome {
        Outcome::Failed => policy.keep_failed,
        Outcome::Succeeded | Outcome::Cancelled | Outcome::Expired => policy.keep,
    };
    job.phase = Phase::Done {
        outcome,
        finished_at: now,
        // A member of a batch goes when its batch does.
        expires_at: job.member.map_or_else(|| now.plus(keep), |_| Timestamp::MAX),
    };
}

/// What follows a failed attempt: cancelled where that was asked, else another attempt while one is left and the
/// deadline allows it, else failed with the handler's last answer. Returns the result to keep.
fn after_failure(
    job: &mut Job,
    failure: Failure,
    again: Option<std::time::Duration>,
    result: Option<Arc<JobResult>>,
    policy: &Policy,
    seed: u64,
    now: Timestamp,
) -> Option<Arc<JobResult>> {
    if job.cancel_requested {
        finish(job, Outcome::Cancelled, policy, now);
        return None;
    }
    let attempts_left = job.attempt < policy.max_attempts;
    if let (Some(floor), true) = (again, attempts_left) {
        let run_at = now.plus(policy.backoff.delay(job.attempt, seed, floor));
        if job.deadline_at().is_none_or(|deadline| run_at < deadline) {
            job.error = Some(failure);
            job.phase = Phase::Waiting;
            job.run_at = run_at;
            return None;
        }
        let last = format!(
            "the deadline came before another attempt could start; the last one: {}",
            failure.detail
        );
        job.error = Some(Failure {
            code: "timed-out".to_owned(),
            detail: last,
            status: failure.status,
        });
        finish(job, Outcome::Failed, policy, now);
        return None;
    }
    job.error = Some(failure);
    finish(job, Outcome::Failed, policy, now);
    result
}
