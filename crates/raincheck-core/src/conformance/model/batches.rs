//! The model's batches.
//!
//! Invariant: where members stand is asked of the jobs themselves; only how they have ended is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::Model;
use crate::batch::{
    Batch, BatchCancelled, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Finished, Line,
    Member, NewBatch, Results, Stage, Tended,
};
use crate::decide::{
    IdempotencyMatch, TOMBSTONE, abandon_batch, cancel_batch, count_end, count_line, finish_batch,
    idempotency, open_batch, refused_line, repeated_line, seal_batch, take_lines,
};
use crate::delivery::DeliveryId;
use crate::id::JobId;
use crate::job::{Job, State};
use crate::name::Namespace;
use crate::store::{Counts, Idempotency, Missing, Submitted};
use crate::time::Timestamp;

/// A batch with what belongs to it.
#[derive(Clone, Debug)]
pub(super) struct BatchRow {
    pub(super) batch: Batch,
    idempotency: Option<Idempotency>,
    /// Members by the order in which they ended.
    places: BTreeMap<u64, JobId>,
    /// Until when it is told that the batch has outlived its retention, once it has.
    pub(super) gone_until: Option<Timestamp>,
}

impl Model {
    fn batch_there(&self, ns: &Namespace, id: BatchId) -> Result<&BatchRow, BatchMissing> {
        match self.batches.get(&id).filter(|row| row.batch.namespace == *ns) {
            Some(row) if row.gone_until.is_some() => Err(BatchMissing::Expired),
            Some(row) => Ok(row),
            None => Err(BatchMissing::Unknown),
        }
    }

    fn batch_row(&mut self, ns: &Namespace, id: BatchId) -> Result<&mut BatchRow, BatchMissing> {
        self.batch_there(ns, id)?;
        self.batches.get_mut(&id).ok_or(BatchMissing::Unknown)
    }

    fn members(&self, id: BatchId) -> impl Iterator<Item = &Arc<Job>> {
        let of = move |job: &&Arc<Job>| job.member.is_some_and(|member| member.batch == id);
        self.jobs.values().map(|row| &row.job).filter(of)
    }

    /// The batch has changed; where nothing remains, it is done.
    fn batch_changed(&mut self, id: BatchId, now: Timestamp) {
        let Some(row) = self.batches.get_mut(&id) else {
            return;
        };
        if let Some(Some(delivery)) = finish_batch(&mut row.batch, now) {
            self.deliveries.insert(delivery.id, delivery);
        }
        if !self.batches_changed.contains(&id) {
            self.batches_changed.push(id);
        }
    }

    /// What the operation has to tell of batches.
    pub(super) fn told_batches(&mut self) -> Vec<Arc<Batch>> {
        let changed = std::mem::take(&mut self.batches_changed);
        let batch = |id| self.batches.get(&id).map(|row| Arc::new(row.batch.clone()));
        changed.into_iter().filter_map(batch).collect()
    }

    pub(in crate::conformance) fn batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        now: Timestamp,
    ) -> Result<BatchStatus, BatchMissing> {
        let batch = Arc::new(self.batch_there(ns, id)?.batch.clone());
        let mut counts = Counts {
            succeeded: batch.ends.succeeded,
            failed: batch.ends.failed,
            cancelled: batch.ends.cancelled,
            expired: batch.ends.expired,
            ..Counts::default()
        };
        for job in self.members(id) {
            match job.state(now) {
                State::Scheduled => counts.scheduled += 1,
                State::Queued => counts.queued += 1,
                State::Running => counts.running += 1,
                State::Succeeded | State::Failed | State::Cancelled | State::Expired => {}
            }
        }
        Ok(BatchStatus { batch, counts })
    }

    pub(in crate::conformance) fn open_batch(
        &mut self,
        ns: &Namespace,
        new: NewBatch,
        now: Timestamp,
    ) -> Result<BatchOpened, BatchRefused> {
        if let Some(sent) = &new.idempotency {
            let same = |row: &&BatchRow| {
                row.batch.namespace == *ns
                    && row.idempotency.as_ref().is_some_and(|kept| kept.key == sent.key)
            };
            if let Some(row) = self.batches.values().find(same) {
                let kept = row.idempotency.as_ref().expect("it was compared above");
                let id = row.batch.id;
                return match idempotency(&kept.fingerprint, &sent.fingerprint) {
                    IdempotencyMatch::Replay => Ok(BatchOpened::Replayed(self.batch(ns, id, now)?)),
                    IdempotencyMatch::Mismatch => Err(BatchRefused::IdempotencyMismatch),
                };
            }
        }
        let batch = open_batch(&new, ns, now);
        let row = BatchRow {
            batch: batch.clone(),
            idempotency: new.idempotency,
            places: BTreeMap::new(),
            gone_until: None,
        };
        assert!(self.batches.insert(new.id, row).is_none(), "the id is fresh");
        Ok(BatchOpened::Created(Arc::new(batch)))
    }

    pub(in crate::conformance) fn add_lines(
        &mut self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        lines: Vec<Line>,
        now: Timestamp,
    ) -> Result<Arc<Batch>, BatchRefused> {
        let row = self.batch_row(ns, id)?;
        let skip = take_lines(&mut row.batch, first, lines.len() as u64, now)?;
        for line in lines
            .into_iter()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
        {
            let index = self.batch_row(ns, id)?.batch.lines;
            let refused = match line {
                Line::Bad { code, detail } => Some((code, detail)),
                Line::Job(mut submission) => {
                    submission.job.member = Some(Member { batch: id, index });
                    let queue = submission.job.queue.clone();
                    match self.submit(ns, *submission, now) {
                        Ok(Submitted::Created) => None,
                        Ok(Submitted::Replayed(_, job)) => Some(repeated_line(job)),
                        Ok(Submitted::Attached(job)) => Some(repeated_line(job.id)),
                        Err(why) => Some(refused_line(queue.as_str(), why)),
                    }
                }
            };
            count_line(&mut self.batch_row(ns, id)?.batch, refused);
        }
        self.batch_changed(id, now);
        Ok(Arc::new(self.batch_row(ns, id)?.batch.clone()))
    }

    pub(in crate::conformance) fn seal_batch(
        &mut self,
        ns: &Namespace,
        id: BatchId,
        lines: u64,
        now: Timestamp,
    ) -> Result<BatchStatus, BatchRefused> {
        seal_batch(&mut self.batch_row(ns, id)?.batch, lines)?;
        self.batch_changed(id, now);
        Ok(self.batch(ns, id, now)?)
    }

    pub(in crate::conformance) fn cancel_batch(
        &mut self,
        ns: &Namespace,
        id: BatchId,
        limit: u32,
        now: Timestamp,
    ) -> Result<BatchCancelled, BatchMissing> {
        if cancel_batch(&mut self.batch_row(ns, id)?.batch) {
            self.batch_changed(id, now);
        }
        let left = self.cancel_members(id, limit, now).1;
        let status = self.batch(ns, id, now)?;
        Ok(BatchCancelled { status, more: left })
    }

    /// Cancels members of a cancelled batch; how many, and whether more are left.
    fn cancel_members(&mut self, id: BatchId, limit: u32, now: Timestamp) -> (u32, bool) {
        if !self.batches[&id].batch.cancel_requested {
            return (0, false);
        }
        let members = self.members(id);
        let due = members.filter(|job| !job.done() && !job.cancel_requested);
        let due: Vec<(Namespace, JobId)> = due.map(|job| (job.namespace.clone(), job.id)).collect();
        for (ns, job) in due.iter().take(limit as usize) {
            let cancelled = self.cancel(ns, *job, now);
            assert!(cancelled.is_ok(), "the job was found above");
        }
        let count = due.len().min(limit as usize);
        (u32::try_from(count).unwrap_or(limit), due.len() > count)
    }

    pub(in crate::conformance) fn tend_batches(&mut self, limit: u32, now: Timestamp) -> Tended {
        let mut tended = Tended::default();
        for id in self.batches.keys().copied().collect::<Vec<_>>() {
            if let Some(row) = self.batches.get_mut(&id)
                && abandon_batch(&mut row.batch, now)
            {
                tended.count += 1;
                self.batch_changed(id, now);
            }
            let (count, more) = self.cancel_members(id, limit.saturating_sub(tended.count), now);
            tended.count += count;
            tended.more |= more;
        }
        let open = self.batches.values().filter_map(|row| match row.batch.stage {
            Stage::Open { until } => Some(until),
            Stage::Sealed | Stage::Done { .. } => None,
        });
        tended.next_at = open.min();
        tended
    }

    pub(in crate::conformance) fn results(
        &self,
        ns: &Namespace,
        id: BatchId,
        after: u64,
        limit: u32,
    ) -> Result<Results, BatchMissing> {
        let row = self.batch_there(ns, id)?;
        let batch = Arc::new(row.batch.clone());
        let places: Vec<_> = row
            .places
            .range(after.saturating_add(1)..)
            .map(|(place, id)| (*place, *id))
            .collect();
        let there = places.into_iter().filter_map(|(place, id)| {
            let row = self.jobs.get(&id)?;
            Some(Finished {
                place,
                job: row.job.clone(),
                result: row.result.clone(),
            })
        });
        let finished = there.take(limit as usize).collect();
        Ok(Results { finished, batch })
    }

    /// Counts a member that has just ended.
    pub(super) fn member_ended(&mut self, job: &Job) {
        let crate::job::Phase::Done {
            outcome, finished_at, ..
        } = job.phase
        else {
            return;
        };
        if let Some(member) = job.member
            && let Some(row) = self.batches.get_mut(&member.batch)
        {
            let place = count_end(&mut row.batch, outcome);
            row.places.insert(place, job.id);
            self.batch_changed(member.batch, finished_at);
        }
    }

    /// Forgets members of batches that have outlived their retention, and then those; how many, at most `limit`, and
    /// whether more are due.
    pub(super) fn prune_batches(&mut self, limit: usize, now: Timestamp) -> (usize, bool) {
        let mut count = 0;
        for id in self.batches.keys().copied().collect::<Vec<_>>() {
            let row = &self.batches[&id];
            let Stage::Done { expires_at, .. } = row.batch.stage else {
                continue;
            };
            let due = row.gone_until.unwrap_or(expires_at) <= now;
            let told = self.deliveries.get(&DeliveryId::Batch(id));
            if !due || told.is_some_and(|told| told.next_at().is_some()) {
                continue;
            }
            let members: Vec<_> = self
                .members(id)
                .map(|job| (job.namespace.clone(), job.id))
                .collect();
            for (ns, job) in &members {
                if self.awaits_delivery(*job) {
                    continue;
                }
                if count == limit {
                    return (count, true);
                }
                self.forget(ns, *job, Missing::Expired, now);
                count += 1;
            }
            if self.members(id).next().is_some() {
                continue;
            }
            if count == limit {
                return (count, true);
            }
            count += 1;
            self.deliveries.remove(&DeliveryId::Batch(id));
            match self.batches.get_mut(&id) {
                Some(row) if row.gone_until.is_none() => row.gone_until = Some(now.plus(TOMBSTONE)),
                _ => drop(self.batches.remove(&id)),
            }
        }
        (count, false)
    }
}
