//! What callers do to jobs that exist: cancel, delete.

use std::sync::Arc;

use raincheck_core::decide::{self, Cancelled, Patch, TOMBSTONE};
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Change, ChangeRefused, Missing, PatchError};
use rusqlite::params;

use super::{drop_tags, put_tags, unique};
use crate::body::drop_bodies;
use crate::row::{self, QueueKey, state};
use crate::tx::Tx;

/// Cancels one job.
pub(crate) fn cancel(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    id: JobId,
) -> rusqlite::Result<Result<Arc<Job>, Missing>> {
    Ok(match tx.load(ns, id)? {
        Ok((key, job)) => Ok(cancel_loaded(tx, key, job)?),
        Err(missing) => Err(missing),
    })
}

/// Cancels a job that was read.
pub(crate) fn cancel_loaded(tx: &mut Tx<'_>, key: QueueKey, job: Arc<Job>) -> rusqlite::Result<Arc<Job>> {
    let policy = tx.memory.settings(key, &job).policy(&job.options);
    let next = match decide::cancel(&job, &policy, tx.now) {
        Cancelled::Ended(next) | Cancelled::Asked(next) => Arc::new(next),
        Cancelled::Already => return Ok(job),
    };
    tx.store(key, &job, &next)?;
    tx.tell(Change {
        job: Arc::clone(&next),
        result: None,
    });
    Ok(next)
}

/// Forgets one finished job.
pub(crate) fn delete(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    id: JobId,
) -> rusqlite::Result<Result<(), ChangeRefused>> {
    let (key, job) = match tx.load(ns, id)? {
        Ok(found) => found,
        Err(missing) => return Ok(Err(missing.into())),
    };
    if !job.done() {
        return Ok(Err(ChangeRefused::NotDone));
    }
    bury(tx, key, &job, state::DELETED)?;
    Ok(Ok(()))
}

/// Leaves a tombstone of a job: its id, its queue and its idempotency key, nothing else.
pub(crate) fn bury(tx: &mut Tx<'_>, key: QueueKey, job: &Job, state: i64) -> rusqlite::Result<()> {
    let conn = tx.conn;
    let seq = row::key(job.id);
    drop_bodies(conn, seq)?;
    super::deliveries::forget(conn, seq)?;
    drop_tags(conn, job)?;
    unique::forget(conn, key, job)?;
    let mut update = conn.prepare_cached(
        "UPDATE jobs SET state = ?2, expires_at = ?3, emitted = emitted + 1, finished_at = NULL, job_group = NULL, options = NULL, \
         lease = NULL, history = NULL, settled = NULL, input_type = NULL, input = NULL, result_status = NULL, \
         result_type = NULL, result = NULL, sum = NULL, asked_sum = NULL, history_sum = NULL, input_sum = NULL, \
         result_sum = NULL, result_at = NULL WHERE seq = ?1",
    )?;
    let until = tx.without_moves(tx.now.plus(TOMBSTONE));
    update.execute(params![seq, state, until])?;
    if job.member.is_some() {
        // Its batch goes when no member is left, and this is none any more.
        let mut leave = conn.prepare_cached(
            "UPDATE jobs SET batch = NULL, batch_tail = NULL, batch_index = NULL, batch_place = NULL WHERE seq = ?1",
        )?;
        leave.execute([seq])?;
    }
    tx.buried(key, job);
    Ok(())
}

/// Changes one job that was never started.
pub(crate) fn patch(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    id: JobId,
    wanted: &Patch,
) -> rusqlite::Result<Result<Arc<Job>, PatchError>> {
    let (key, job) = match tx.load(ns, id)? {
        Ok(found) => found,
        Err(missing) => return Ok(Err(missing.into())),
    };
    let next = match decide::patch(&job, wanted) {
        Ok(Some(next)) => Arc::new(next),
        Ok(None) => return Ok(Ok(job)),
        Err(refused) => return Ok(Err(refused.into())),
    };
    if next.options.tags != job.options.tags {
        drop_tags(tx.conn, &job)?;
        put_tags(tx.conn, &next)?;
        row::write_options(tx.conn, key, &next)?;
    }
    tx.store(key, &job, &next)?;
    tx.tell(Change {
        job: Arc::clone(&next),
        result: None,
    });
    Ok(Ok(next))
}
