//! Ending attempts: by their workers, or in their place.

use std::sync::Arc;

use raincheck_core::decide::{self, SettleRefused, SettleStep};
use raincheck_core::id::Fence;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::retry::seed_for;
use raincheck_core::store::{Change, Reclaimed, Settle};

use crate::row::{self, Left, QueueKey};
use crate::tx::Tx;
use crate::{body, output};

type Answer = Result<Arc<Job>, SettleRefused>;

/// Ends one attempt.
pub(crate) fn settle(tx: &mut Tx<'_>, ns: &Namespace, settle: &Settle) -> rusqlite::Result<Answer> {
    // What it held is another job's by now.
    if tx.memory.damaged.has(settle.lease.job.seq()) {
        return Ok(Err(SettleRefused::LeaseLost));
    }
    let Ok((key, job)) = tx.load(ns, settle.lease.job)? else {
        return Ok(Err(SettleRefused::LeaseLost));
    };
    let policy = tx.memory.settings(key, &job).policy(&job.options);
    let settlement = settle.settlement.clone();
    let step = decide::settle(
        &job,
        &settle.lease,
        settlement,
        settle.digest,
        &policy,
        settle.seed,
        tx.now,
    );
    Ok(match step {
        Ok(SettleStep::Moved { job: next, result }) => {
            let left = match &result {
                None => Left::Nothing,
                Some(result) => {
                    let emitted = emitted(tx, &job, &result.body)?;
                    match body::small_result(result, emitted) {
                        Some(small) => Left::InRow(small),
                        None => Left::Beside(tx.put_result(next.id, result, emitted)?),
                    }
                }
            };
            tx.store_ended(key, &job, &next, left)?;
            tx.tell(Change {
                job: Arc::clone(&next),
                result,
            });
            Ok(next)
        }
        Ok(SettleStep::Repeated) => Ok(job),
        Err(refused) => Err(refused),
    })
}

/// The claim that ends, where it has emitted exactly this body.
fn emitted(tx: &Tx<'_>, job: &Job, body: &[u8]) -> rusqlite::Result<Option<Fence>> {
    let mark = tx
        .memory
        .mark(job.id.seq())
        .filter(|mark| mark.fence == job.fence && mark.output_bytes == body.len() as u64 && !body.is_empty());
    let Some(mark) = mark else { return Ok(None) };
    let same = output::is_whole(tx.conn, row::key(job.id), mark.fence.0, body)?;
    Ok(same.then_some(mark.fence))
}

/// Ends lapsed leases and overdue waiting jobs, at most `limit`.
pub(crate) fn reclaim(tx: &mut Tx<'_>, limit: u32, seed: u64) -> rusqlite::Result<Reclaimed> {
    let mut count = 0;
    while count < limit {
        let lapsed = tx.memory.lapsed(tx.now);
        let Some(seq) = lapsed.or_else(|| tx.memory.overdue()) else {
            break;
        };
        // The memory follows the rows, so what it names is there and due; were it not, going on would never end.
        let (key, job) = match tx.load_seq(seq) {
            Ok(Some(found)) => found,
            Ok(None) => return Err(rusqlite::Error::QueryReturnedNoRows),
            Err(error) => {
                tx.set_aside(seq, error, false)?;
                continue;
            }
        };
        let policy = tx.memory.settings(key, &job).policy(&job.options);
        let next = if lapsed.is_some() {
            decide::reclaim(&job, &policy, seed_for(seed, job.id), tx.now)
        } else {
            decide::expire(&job, &policy, tx.now)
        };
        let Some(next) = next else {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        };
        moved(tx, key, &job, next)?;
        count += 1;
    }
    Ok(Reclaimed {
        count,
        next_at: tx.memory.next_reclaim(tx.now),
    })
}

/// Ends or mends what was running when the store was last closed.
pub(crate) fn interrupt_on_open(tx: &mut Tx<'_>, running: &[u64], seed: u64) -> rusqlite::Result<()> {
    for seq in running {
        let Some((key, job)) = tx.load_seq(*seq)? else {
            continue;
        };
        let policy = tx.memory.settings(key, &job).policy(&job.options);
        if let Some(next) = decide::interrupt_on_open(&job, &policy, seed_for(seed, job.id), tx.now) {
            moved(tx, key, &job, next)?;
        }
    }
    Ok(())
}

/// Writes a transition that brings no result, and has it told.
pub(crate) fn moved(tx: &mut Tx<'_>, key: QueueKey, job: &Job, next: Job) -> rusqlite::Result<()> {
    let next = Arc::new(next);
    tx.store(key, job, &next)?;
    tx.tell(Change {
        job: next,
        result: None,
    });
    Ok(())
}
