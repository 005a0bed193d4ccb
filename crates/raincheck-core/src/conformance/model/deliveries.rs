//! The model's outbox.

use std::sync::Arc;

use super::state::Model;
use crate::decide::{deliveries, end_try, redeliver, try_delivery};
use crate::delivery::{Callback, Delivery, DeliveryId, Source};
use crate::job::Job;
use crate::name::Namespace;
use crate::queue::Queue;
use crate::store::{About, DueDeliveries, EndTry, Outgoing};
use crate::time::Timestamp;

impl Model {
    /// Records what a job that has just ended makes.
    pub(super) fn record(&mut self, job: &Job) {
        let line = self.lines.get(&(job.namespace.clone(), job.queue.clone()));
        let of_queue: Option<Callback> = line.and_then(|line| line.queue.callback().cloned());
        for delivery in deliveries(job, of_queue.as_ref()) {
            self.deliveries.insert(delivery.id, delivery);
        }
    }

    /// Whether something of the job is still to be delivered.
    pub(super) fn awaits_delivery(&self, job: crate::id::JobId) -> bool {
        let of = |source| self.deliveries.get(&DeliveryId::Job { job, source });
        let both = [of(Source::Job), of(Source::Queue)];
        both.into_iter()
            .flatten()
            .any(|delivery| delivery.next_at().is_some())
    }

    pub(super) fn drop_deliveries(&mut self, job: crate::id::JobId) {
        self.deliveries.retain(|id, _| id.job() != Some(job));
    }

    pub(in crate::conformance) fn claim_deliveries(&mut self, limit: u32, now: Timestamp) -> DueDeliveries {
        let mut pending: Vec<_> = self
            .deliveries
            .values()
            .filter_map(|delivery| Some((delivery.next_at()?, delivery.id)))
            .collect();
        pending.sort_unstable();
        let mut due = Vec::new();
        for (_, id) in pending.iter().take(limit as usize) {
            let Some(next) = try_delivery(&self.deliveries[id], now) else {
                break;
            };
            self.deliveries.insert(*id, next.clone());
            let about = match id {
                DeliveryId::Job { job, .. } => About::Job {
                    job: self.jobs[job].job.clone(),
                    result: self.jobs[job].result.clone(),
                },
                DeliveryId::Batch(batch) => {
                    let there = self.batch(&next.namespace, *batch, now);
                    About::Batch(there.expect("a batch outlives its delivery"))
                }
            };
            due.push(Outgoing {
                delivery: next,
                about,
            });
        }
        let next_at = self.deliveries.values().filter_map(Delivery::next_at).min();
        DueDeliveries { due, next_at }
    }

    pub(in crate::conformance) fn end_try(&mut self, wanted: &EndTry, now: Timestamp) -> bool {
        let Some(delivery) = self.deliveries.get(&wanted.id) else {
            return false;
        };
        let Some(next) = end_try(delivery, wanted.n, &wanted.end, wanted.seed, now) else {
            return false;
        };
        if let (
            crate::decide::TryEnd::Gone,
            DeliveryId::Job {
                job,
                source: Source::Queue,
            },
        ) = (&wanted.end, wanted.id)
        {
            let job = self.jobs[&job].job.clone();
            if let Some(line) = self.lines.get_mut(&(job.namespace.clone(), job.queue.clone())) {
                let mut queue = Queue::clone(&line.queue);
                queue.callback_gone = Some(now);
                line.queue = Arc::new(queue);
            }
        }
        self.deliveries.insert(wanted.id, next);
        true
    }

    pub(in crate::conformance) fn list_deliveries(
        &self,
        ns: &Namespace,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Vec<Delivery> {
        let of_ns = self
            .deliveries
            .values()
            .rev()
            .filter(|delivery| delivery.namespace == *ns);
        let page = of_ns.filter(|delivery| before.is_none_or(|before| delivery.id < before));
        page.take(limit as usize).cloned().collect()
    }

    pub(in crate::conformance) fn redeliver(
        &mut self,
        ns: &Namespace,
        id: DeliveryId,
        now: Timestamp,
    ) -> Option<Delivery> {
        let delivery = self
            .deliveries
            .get_mut(&id)
            .filter(|delivery| delivery.namespace == *ns)?;
        *delivery = redeliver(delivery, now);
        Some(delivery.clone())
    }
}
