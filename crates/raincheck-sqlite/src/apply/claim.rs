//! Handing jobs to workers, and letting them hold on.

use std::sync::Arc;

use raincheck_core::content::Input;
use raincheck_core::decide::{self, Renewed};
use raincheck_core::job::{Job, Phase};
use raincheck_core::limit::{self, HeldBy};
use raincheck_core::name::Namespace;
use raincheck_core::store::{Claim, Leased, Renew};

use crate::row::QueueKey;
use crate::tx::Tx;

/// Leases up to as many jobs as the claim brings nonces.
pub(crate) fn claim(tx: &mut Tx<'_>, ns: &Namespace, claim: &Claim) -> rusqlite::Result<Vec<Leased>> {
    let Some((key, queue)) = tx.memory.queue(ns, &claim.queue) else {
        return Ok(Vec::new());
    };
    let claimer = &claim.claimer;
    if let Some(claim_id) = &claimer.claim_id {
        let held = tx.memory.claimed(key, &claimer.worker, claim_id);
        if !held.is_empty() {
            return held
                .into_iter()
                .filter_map(|seq| repeated(tx, seq).transpose())
                .collect();
        }
    }
    if queue.paused.is_some() {
        return Ok(Vec::new());
    }
    let Some(memory) = tx.memory.queues.get(&key) else {
        return Ok(Vec::new());
    };
    let wanted = u32::try_from(claim.nonces.len()).unwrap_or(u32::MAX);
    let (limits, used) = (queue.limits(), tx.memory.used(key));
    let room = decide::room(&limits, used, wanted, tx.now);
    let grant = limit::grant_concurrency(claim.running_max, used.running, room.count);
    if let Some(until) = room.held.and_then(|held| held.until)
        && memory.ready.any()
    {
        tx.memory.rates.look_again((key, None), until);
    }
    let groups = memory.groups.counted();
    let passed: Vec<_> = claim
        .passing_over
        .iter()
        .filter(|group| tx.memory.pass_over(key, group))
        .collect();
    let mut leased = Vec::new();
    for nonce in claim.nonces.iter().take(grant.count as usize) {
        let Some((job, input)) = next_ready(tx, key)? else {
            break;
        };
        let policy = queue.policy(&job.options);
        let next = decide::claim(&job, claimer, *nonce, &policy, tx.now).ok_or_else(gone)?;
        let next = Arc::new(next);
        if groups && let Some(group) = &next.group {
            // Before the job is known to run: whether its group may start another is asked when it is.
            let (limits, used) = (
                tx.memory.group_limits(key, group),
                tx.memory.group_used(key, group),
            );
            if let Some(rate) = decide::charge(&limits, used, 1, tx.now) {
                tx.memory.rates.set((key, Some(group.clone())), rate);
            }
        }
        tx.store(key, &job, &next)?;
        tx.tell_advanced(Arc::clone(&next));
        leased.push(Leased { job: next, input });
    }
    let started = u32::try_from(leased.len()).unwrap_or(u32::MAX);
    if started < wanted
        && let Some(memory) = tx.memory.queues.get_mut(&key)
        && memory.ready.any()
    {
        let by = room
            .held
            .filter(|_| grant.count == room.count)
            .map(|held| held.by);
        memory.waits.of_queue(by.unwrap_or(HeldBy::Concurrency));
    }
    for group in passed {
        tx.memory.weigh(key, group, tx.now);
    }
    if let Some(rate) = decide::charge(&limits, used, started, tx.now) {
        tx.memory.rates.set((key, None), rate);
    }
    Ok(leased)
}

/// The memory follows the rows: what is ready is there and claimable. Were it not, the memory is built anew.
const fn gone() -> rusqlite::Error {
    rusqlite::Error::QueryReturnedNoRows
}

/// Takes the next job that can be read, and its input.
fn next_ready(tx: &mut Tx<'_>, key: QueueKey) -> rusqlite::Result<Option<(Arc<Job>, Input)>> {
    let pop = |tx: &mut Tx<'_>| tx.memory.queues.get_mut(&key)?.ready.pop();
    while let Some(seq) = pop(tx) {
        let whole = |tx: &Tx<'_>| {
            let (_, job) = tx.load_seq(seq)?.ok_or_else(gone)?;
            let input = tx.input(job.id)?;
            Ok((job, input))
        };
        match whole(tx) {
            Ok(whole) => return Ok(Some(whole)),
            Err(error) => tx.set_aside(seq, error, true)?,
        }
    }
    Ok(None)
}

fn repeated(tx: &Tx<'_>, seq: u64) -> rusqlite::Result<Option<Leased>> {
    let Some((_, job)) = tx.load_seq(seq)? else {
        return Ok(None);
    };
    let input = tx.input(job.id)?;
    Ok(Some(Leased { job, input }))
}

/// Extends a lease.
pub(crate) fn renew(tx: &mut Tx<'_>, ns: &Namespace, renew: &Renew) -> rusqlite::Result<Option<Renewed>> {
    if tx.memory.damaged.has(renew.lease.job.seq()) {
        return Ok(None);
    }
    let Ok((key, job)) = tx.load(ns, renew.lease.job)? else {
        return Ok(None);
    };
    let Renew {
        lease,
        term,
        progress,
        defer,
    } = renew;
    let renewed = decide::renew(&job, lease, *term, progress.as_ref(), *defer, tx.now);
    let Some(renewed) = renewed else { return Ok(None) };
    let mut next = Job::clone(&job);
    next.phase = Phase::Running(renewed.lease.clone());
    let next = Arc::new(next);
    tx.store(key, &job, &next)?;
    if renew.progress.is_some() {
        tx.tell_advanced(next);
    }
    Ok(Some(renewed))
}
