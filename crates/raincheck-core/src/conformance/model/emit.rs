//! The model keeps what attempts emit, and shows it.
//!
//! Invariant: the decision's answer is kept as it is, or nothing is.

use std::sync::Arc;

use super::state::Model;
use crate::decide::{EmitRefused, EmitStep, emit, emitted_again};
use crate::id::JobId;
use crate::name::Namespace;
use crate::output::Mark;
use crate::queue::{Queue, QueueSpec};
use crate::store::{Emit, Emitted, Missing, OUTPUT_PAGE_BYTES, Output};
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn emit(
        &mut self,
        ns: &Namespace,
        wanted: &Emit,
        now: Timestamp,
    ) -> Result<Emitted, EmitRefused> {
        let Ok(job) = self.find(ns, wanted.lease.job) else {
            return Err(EmitRefused::LeaseLost);
        };
        let line = self.lines.get(&(ns.clone(), job.queue.clone()));
        let bytes_max = line.map_or_else(
            || Queue::new(ns.clone(), job.queue.clone(), QueueSpec::default(), now).result_max(),
            |line| line.queue.result_max(),
        );
        let row = self.jobs.get_mut(&job.id).expect("the job was found above");
        let Emit { lease, seq, piece } = wanted;
        let n = match emit(&job, lease, row.mark.as_ref(), *seq, piece, bytes_max, now)? {
            EmitStep::Kept {
                chunk,
                mark,
                drop_former,
            } => {
                if drop_former {
                    row.chunks.clear();
                }
                let chunk = Arc::new(chunk);
                row.chunks.push(chunk.clone());
                row.mark = Some(mark);
                self.emitted.push(chunk);
                mark.n
            }
            EmitStep::Again { n } => {
                let kept = row.chunks.iter().find(|chunk| chunk.n == n);
                emitted_again(kept.expect("a lease's own chunks are kept"), piece)?;
                n
            }
        };
        let cancel_requested = job.cancel_requested;
        Ok(Emitted { n, cancel_requested })
    }

    /// Where the job's chunks have got to.
    pub(in crate::conformance) fn mark(&self, id: JobId) -> Option<Mark> {
        self.jobs.get(&id).and_then(|row| row.mark)
    }

    pub(in crate::conformance) fn output(
        &self,
        ns: &Namespace,
        id: JobId,
        after: u64,
        limit: u32,
    ) -> Result<Output, Missing> {
        let job = self.find(ns, id)?;
        let row = &self.jobs[&id];
        let mut bytes = 0;
        let mut chunks = Vec::new();
        for chunk in row.chunks.iter().filter(|chunk| chunk.n > after) {
            bytes += chunk.piece.body.len();
            let full = chunks.len() >= limit as usize || bytes > OUTPUT_PAGE_BYTES;
            if full && !chunks.is_empty() {
                break;
            }
            chunks.push(chunk.clone());
        }
        let before = row.chunks.iter().find(|chunk| chunk.n == after);
        Ok(Output {
            job,
            chunks,
            last: row.mark.map_or(0, |mark| mark.n),
            before: before.map(|chunk| chunk.fence),
        })
    }
}
