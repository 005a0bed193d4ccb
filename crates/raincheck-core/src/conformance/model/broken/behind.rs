//! Changes behind the model's back.
//!
//! Invariant: settings that are changed for one operation are what they were after it.

use std::sync::Arc;

use super::super::state::Model;
use crate::job::Job;
use crate::queue::Queue;

/// Changes every job behind the store's back.
pub(super) fn each_job(model: &mut Model, change: impl Fn(&mut Job)) {
    for row in model.jobs.values_mut() {
        change(Arc::make_mut(&mut row.job));
    }
}

/// Does something with other settings in force.
pub(super) fn with_queues<T>(
    model: &mut Model,
    change: impl Fn(&mut Queue),
    run: impl FnOnce(&mut Model) -> T,
) -> T {
    let before: Vec<_> = model
        .lines
        .iter()
        .map(|(name, line)| (name.clone(), line.queue.clone()))
        .collect();
    for line in model.lines.values_mut() {
        change(Arc::make_mut(&mut line.queue));
    }
    let answer = run(model);
    for (name, queue) in before {
        if let Some(line) = model.lines.get_mut(&name) {
            line.queue = queue;
        }
    }
    answer
}
