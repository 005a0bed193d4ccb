//! Which jobs an action on many is for: those that matched when it was previewed, as far as there is still something to
//! do about them.
//!
//! Invariant: a job that was acted on is never acted on again under the same preview, so that repeating a request whose
//! answer was lost is harmless; a job that came to match after the preview is left alone.

use crate::job::{Job, Phase, State};
use crate::list::Filter;
use crate::time::Timestamp;

/// What is done to many jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkAction {
    /// Those that are not finished are cancelled.
    Cancel,
    /// Those that failed, or stand as the filter says, are submitted again, each once.
    Retry,
    /// Those that are finished are forgotten.
    Delete,
}

/// What a job is to an action on many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkMatch {
    /// It did not match when the preview was made.
    Other,
    /// It matched, and nothing is left to do about it.
    Over,
    /// It is to be acted on.
    Due,
}

/// Where the job stood at an earlier instant, as far as its attempts tell.
#[must_use]
pub fn stood(job: &Job, at: Timestamp) -> State {
    if let Phase::Done {
        outcome, finished_at, ..
    } = &job.phase
        && *finished_at <= at
    {
        return (*outcome).into();
    }
    let current = job.lease().map(|lease| lease.started_at);
    let former = job.attempts.iter();
    let ran = current.is_some_and(|started_at| started_at <= at)
        || former
            .clone()
            .any(|attempt| attempt.started_at <= at && at < attempt.ended_at);
    let claimed_since = former
        .map(|attempt| attempt.started_at)
        .chain(current)
        .any(|started_at| started_at > at);
    match (ran, claimed_since) {
        (true, _) => State::Running,
        (false, true) => State::Queued,
        (false, false) if job.run_at > at => State::Scheduled,
        (false, false) => State::Queued,
    }
}

/// Judges a job, of which the rest of the filter holds, by the preview that was made at `at`: where it stood then, and
/// whether there is still something to do.
#[must_use]
pub fn bulk(job: &Job, action: BulkAction, filter: &Filter, at: Timestamp) -> BulkMatch {
    let then = stood(job, at);
    let finished = !matches!(then, State::Scheduled | State::Queued | State::Running);
    let matched = match (action, filter.state) {
        (BulkAction::Cancel, None) => !finished,
        (BulkAction::Retry, None) => then == State::Failed,
        (BulkAction::Delete, None) => finished,
        (BulkAction::Cancel, Some(state)) => !finished && then == state,
        (BulkAction::Retry | BulkAction::Delete, Some(state)) => finished && then == state,
    };
    let due = match action {
        BulkAction::Cancel => !job.done() && !job.cancel_requested,
        BulkAction::Retry => job.retried_as.is_none(),
        BulkAction::Delete => true,
    };
    match (matched, due) {
        (false, _) => BulkMatch::Other,
        (true, false) => BulkMatch::Over,
        (true, true) => BulkMatch::Due,
    }
}
