//! Faults of opening: what was kept is not what comes back.
//!
//! Invariant: what the fault does not name is as it was kept.

use std::sync::Arc;

use super::behind::each_job;
use super::{Broken, Fault};
use crate::id::IdGenerator;
use crate::job::Phase;
use crate::lease::WorkerKind;
use crate::queue::Queue;

impl Broken {
    /// Opens what the closed store has kept, more or less.
    pub(in crate::conformance) fn reopened(&self) -> Self {
        let fault = self.fault;
        if fault == Fault::EndsPullLeasesOnOpen {
            each_job(&mut self.store.lock().model, |job| {
                if let Phase::Running(lease) = &mut job.phase {
                    lease.kind = WorkerKind::Push;
                }
            });
        }
        if fault == Fault::EndsDeferredLeasesOnOpen {
            each_job(&mut self.store.lock().model, |job| {
                if let Phase::Running(lease) = &mut job.phase
                    && lease.kind == WorkerKind::Deferred
                {
                    lease.kind = WorkerKind::Push;
                }
            });
        }
        let mut store = self.store.reopened(5);
        let before = self.store.lock().model.clone();
        let mut inner = store.lock();
        let model = &mut inner.model;
        match fault {
            Fault::LosesKeysOnOpen => model.keys.clear(),
            Fault::LosesResultsOnOpen => model.jobs.values_mut().for_each(|row| row.result = None),
            Fault::ForgetsRatesOnOpen => model.rates.clear(),
            Fault::LosesOutputOnOpen => model.jobs.values_mut().for_each(|row| {
                row.chunks.clear();
                row.mark = None;
            }),
            Fault::LosesPausesOnOpen => {
                for line in model.lines.values_mut() {
                    line.queue = Arc::new(Queue {
                        paused: None,
                        ..Queue::clone(&line.queue)
                    });
                }
            }
            Fault::KeepsAttemptsOnOpen => model.jobs = before.jobs,
            _ => {}
        }
        drop(inner);
        if fault == Fault::ReusesIdsOnOpen {
            store.ids = Arc::new(IdGenerator::after(0));
        }
        Self { store, fault }
    }
}
