//! The model lists and patches.
//!
//! Invariant: a listing scans all jobs; what it shows is what the filter says.

use std::sync::Arc;

use super::state::Model;
use crate::decide::{Patch, patch};
use crate::id::JobId;
use crate::job::Job;
use crate::list::{Listed, Page};
use crate::name::Namespace;
use crate::store::PatchError;
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn list(&self, ns: &Namespace, page: &Page, now: Timestamp) -> Listed {
        let before = page.cursor.unwrap_or(u64::MAX);
        let shown = |job: &&Arc<Job>| job.id.seq() < before && page.filter.matches(job, now);
        let mut jobs: Vec<_> = self
            .jobs
            .values()
            .map(|row| &row.job)
            .filter(|job| job.namespace == *ns)
            .filter(shown)
            .cloned()
            .collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        let more = jobs.len() > page.limit as usize;
        jobs.truncate(page.limit as usize);
        let cursor = jobs.last().filter(|_| more).map(|job| job.id.seq());
        Listed { jobs, cursor }
    }

    pub(in crate::conformance) fn patch(
        &mut self,
        ns: &Namespace,
        id: JobId,
        wanted: &Patch,
    ) -> Result<Arc<Job>, PatchError> {
        let job = self.find(ns, id)?;
        Ok(match patch(&job, wanted)? {
            Some(next) => self.change(next),
            None => job,
        })
    }
}
