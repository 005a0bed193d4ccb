//! Faults of uniqueness: the model misjudges who holds a value, or what comes of it.
//!
//! Invariant: what a submitter asked is restored once the fault is done.

use super::Fault;
use crate::conformance::model::state::Model;
use crate::job::{Job, JobOptions};
use crate::name::Namespace;
use crate::store::{Submission, SubmitRefused, Submitted};
use crate::time::Timestamp;
use crate::unique::{Hold, OnConflict};

/// Submits with the fault, where it is one of uniqueness; else as it should be.
pub(super) fn submit(
    model: &mut Model,
    fault: Fault,
    ns: &Namespace,
    mut submission: Submission,
    now: Timestamp,
) -> Result<Submitted, SubmitRefused> {
    let (id, asked) = (submission.job.id, submission.job.options.clone());
    let key = submission.idempotency.clone();
    let queue = submission.job.queue.clone();
    let mut before = Vec::new();
    match (fault, &mut submission.job.options.unique) {
        (Fault::IgnoresUniqueness, unique) => *unique = None,
        (Fault::ReplacesNobody, Some(unique)) if unique.on_conflict == OnConflict::Replace => {
            unique.on_conflict = OnConflict::Reject;
        }
        (Fault::HoldsValuesForEver, _) => {
            before = model.jobs().map(|job| (job.id, job.options.clone())).collect();
            for (id, options) in before.clone() {
                let mut options = options;
                if let Some(unique) = &mut options.unique {
                    unique.hold = Hold::Kept;
                }
                with(model, id, options);
            }
        }
        _ => {}
    }
    let answer = model.submit(ns, submission, now);
    for (id, options) in before.into_iter().chain([(id, asked)]) {
        with(model, id, options);
    }
    if let (Fault::LosesAttachedKeys, Ok(Submitted::Attached(_)), Some(key)) = (fault, &answer, key) {
        model.keys.remove(&(ns.clone(), queue, key.key));
    }
    answer
}

/// Writes the job's options, where it is there.
fn with(model: &mut Model, id: crate::id::JobId, options: JobOptions) {
    if let Some(row) = model.jobs.get(&id) {
        let job = Job {
            options,
            ..Job::clone(&row.job)
        };
        model.keep(job);
    }
}
