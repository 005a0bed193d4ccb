//! Batches: opened, filled, sealed, cancelled, and their members counted as they end.
//!
//! Invariant: a batch's row is written at the end of every transaction that changed the batch ([`flush`]), with the rows
//! of the members that made it change; so its numbers are exact whatever crashes.

use std::sync::Arc;

use raincheck_core::batch::{
    Batch, BatchCancelled, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Finished, Line,
    NewBatch, Results, Stage, Tended,
};
use raincheck_core::decide::{self, IdempotencyMatch};
use raincheck_core::job::{Job, Outcome, Phase};
use raincheck_core::name::Namespace;
use raincheck_core::store::{OUTPUT_PAGE_BYTES, Submitted};
use rusqlite::{Connection, Row, params};

use super::change::cancel_loaded;
use super::{deliveries, submit};
use crate::batch_row;
use crate::body;
use crate::memory::{BatchKey, LiveBatch, ended};
use crate::row::{self, Found, QueueNames};
use crate::sum;
use crate::tx::Tx;

/// The batch as it is: from memory where it is not done, else from its row.
fn find(tx: &Tx<'_>, ns: &Namespace, id: BatchId) -> rusqlite::Result<Result<LiveBatch, BatchMissing>> {
    match tx.memory.batch(id.seq()) {
        Some(live) if live.batch.id == id && live.batch.namespace == *ns => Ok(Ok(live.clone())),
        Some(_) => Ok(Err(BatchMissing::Unknown)),
        None => batch_row::load(tx.conn, ns, id),
    }
}

/// The batch and where its members stand.
pub(crate) fn status(
    tx: &Tx<'_>,
    ns: &Namespace,
    id: BatchId,
) -> rusqlite::Result<Result<BatchStatus, BatchMissing>> {
    Ok(find(tx, ns, id)?.map(|live| live.status()))
}

/// Opens a batch.
pub(crate) fn open(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    new: &NewBatch,
) -> rusqlite::Result<Result<BatchOpened, BatchRefused>> {
    if let Some(sent) = &new.idempotency
        && let Some((id, fingerprint)) = batch_row::by_word(tx.conn, ns, &sent.key)?
    {
        return Ok(match decide::idempotency(&fingerprint, &sent.fingerprint) {
            IdempotencyMatch::Replay => match status(tx, ns, id)? {
                Ok(status) => Ok(BatchOpened::Replayed(status)),
                Err(missing) => Err(missing.into()),
            },
            IdempotencyMatch::Mismatch => Err(BatchRefused::IdempotencyMismatch),
        });
    }
    let batch = decide::open_batch(new, ns, tx.now);
    batch_row::insert(tx.conn, &batch, new.idempotency.as_ref())?;
    tx.memory.put_batch(LiveBatch::new(batch.clone(), None));
    Ok(Ok(BatchOpened::Created(Arc::new(batch))))
}

/// Takes lines.
pub(crate) fn add(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    id: BatchId,
    first: u64,
    lines: &[Line],
) -> rusqlite::Result<Result<Arc<Batch>, BatchRefused>> {
    let mut there = match find(tx, ns, id)? {
        Ok(live) => live.batch,
        Err(missing) => return Ok(Err(missing.into())),
    };
    let now = tx.now;
    let taken = match tx.memory.touch_batch(id.seq()) {
        Some(live) => decide::take_lines(&mut live.batch, first, lines.len() as u64, now),
        None => decide::take_lines(&mut there, first, lines.len() as u64, now),
    };
    let skip = match taken {
        Ok(skip) => usize::try_from(skip).unwrap_or(usize::MAX),
        Err(refused) => return Ok(Err(refused)),
    };
    for line in lines.iter().skip(skip) {
        let refused = match line {
            Line::Bad { code, detail } => Some((code.clone(), detail.clone())),
            Line::Job(submission) => match submit::submit(tx, ns, submission)? {
                Ok(Submitted::Created) => None,
                Ok(Submitted::Replayed(_, job)) => Some(decide::repeated_line(job)),
                Ok(Submitted::Attached(job)) => Some(decide::repeated_line(job.id)),
                Err(why) => Some(decide::refused_line(submission.job.queue.as_str(), why)),
            },
        };
        if let Some(live) = tx.memory.touch_batch(id.seq()) {
            decide::count_line(&mut live.batch, refused);
        }
    }
    let now = tx.memory.batch(id.seq()).map(|live| live.batch.clone());
    Ok(Ok(Arc::new(now.unwrap_or(there))))
}

/// Ends an upload.
pub(crate) fn seal(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    id: BatchId,
    lines: u64,
) -> rusqlite::Result<Result<BatchStatus, BatchRefused>> {
    let mut there = match find(tx, ns, id)? {
        Ok(live) => live.batch,
        Err(missing) => return Ok(Err(missing.into())),
    };
    let sealed = match tx.memory.touch_batch(id.seq()) {
        Some(live) => decide::seal_batch(&mut live.batch, lines),
        None => decide::seal_batch(&mut there, lines),
    };
    if let Err(refused) = sealed {
        return Ok(Err(refused));
    }
    finish(tx, id.seq())?;
    Ok(status(tx, ns, id)?.map_err(BatchRefused::from))
}

/// Cancels a batch, with at most `limit` of its members.
pub(crate) fn cancel(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    id: BatchId,
    limit: u32,
) -> rusqlite::Result<Result<BatchCancelled, BatchMissing>> {
    if let Err(missing) = find(tx, ns, id)? {
        return Ok(Err(missing));
    }
    begin_cancel(tx, id.seq(), decide::cancel_batch)?;
    let (_, more) = cancel_members(tx, id.seq(), limit)?;
    let status = status(tx, ns, id)?;
    Ok(status.map(|status| BatchCancelled { status, more }))
}

/// Cancels the batch itself, where `decide` says so; whether it did.
fn begin_cancel(
    tx: &mut Tx<'_>,
    key: BatchKey,
    decide: impl FnOnce(&mut Batch) -> bool,
) -> rusqlite::Result<bool> {
    // A batch that is left as it is is not written.
    let changed = tx
        .memory
        .batches
        .get_mut(&key)
        .is_some_and(|live| decide(&mut live.batch));
    if !changed {
        return Ok(false);
    }
    if let Some(live) = tx.memory.touch_batch(key) {
        live.cancel_from = Some(0);
    }
    finish(tx, key)?;
    Ok(true)
}

/// Cancels the next members of a batch that is being cancelled: how many were looked at, at most `limit`, and whether
/// more are left.
fn cancel_members(tx: &mut Tx<'_>, key: BatchKey, limit: u32) -> rusqlite::Result<(u32, bool)> {
    let Some(from) = tx.memory.batch(key).and_then(|live| live.cancel_from) else {
        return Ok((0, false));
    };
    let members: Vec<(i64, i64)> = {
        let mut select = tx.conn.prepare_cached(
            "SELECT seq, state FROM jobs INDEXED BY jobs_batch WHERE batch = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let found = select.query_map(params![key.cast_signed(), from.cast_signed(), limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        found.collect::<rusqlite::Result<_>>()?
    };
    for (seq, state) in &members {
        if !matches!(*state, row::state::WAITING | row::state::RUNNING) {
            continue;
        }
        match tx.load_seq(seq.cast_unsigned()) {
            Ok(Some((queue, job))) => drop(cancel_loaded(tx, queue, job)?),
            Ok(None) => {}
            Err(error) => tx.set_aside(seq.cast_unsigned(), error, false)?,
        }
    }
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let more = count == limit;
    if let Some(live) = tx.memory.touch_batch(key) {
        let last = members.last().map(|(seq, _)| seq.cast_unsigned());
        live.cancel_from = last.filter(|_| more);
    }
    Ok((count, more && tx.memory.batch(key).is_some()))
}

/// Cancels what time is over for, and goes on where a cancel was begun.
pub(crate) fn tend(tx: &mut Tx<'_>, limit: u32) -> rusqlite::Result<Tended> {
    let mut tended = Tended::default();
    let now = tx.now;
    for key in tx.memory.batch_keys() {
        if begin_cancel(tx, key, |batch| decide::abandon_batch(batch, now))? {
            tended.count += 1;
        }
        if tx
            .memory
            .batch(key)
            .is_some_and(|live| live.cancel_from.is_some())
        {
            let left = limit.saturating_sub(tended.count).max(1);
            let (count, more) = cancel_members(tx, key, left)?;
            tended.count += count;
            tended.more |= more;
        }
        if tended.count >= limit {
            tended.more = true;
            break;
        }
        if let Some(live) = tx.memory.batch(key)
            && let Stage::Open { until } = live.batch.stage
        {
            tended.next_at = Some(tended.next_at.map_or(until, |next_at| next_at.min(until)));
        }
    }
    Ok(tended)
}

/// Counts a member that has just ended: its place in the order of ends, which its row tells.
pub(crate) fn count_end(tx: &mut Tx<'_>, job: &Job) -> Option<u64> {
    let (Some(member), Phase::Done { outcome, .. }) = (job.member, &job.phase) else {
        return None;
    };
    let live = tx.memory.touch_batch(member.batch.seq())?;
    Some(decide::count_end(&mut live.batch, *outcome))
}

/// A member's row says that it has ended.
pub(crate) fn member_ended(tx: &mut Tx<'_>, job: &Job) -> rusqlite::Result<()> {
    job.member.map_or(Ok(()), |member| finish(tx, member.batch.seq()))
}

/// Counts a member as failed of which the row is damaged, so that it will never end; it has no place among the results. One
/// that ended before it was damaged was counted then.
pub(crate) fn member_damaged(tx: &mut Tx<'_>, seq: u64) -> rusqlite::Result<()> {
    let mut select = tx
        .conn
        .prepare_cached("SELECT batch, batch_place FROM jobs WHERE seq = ?1")?;
    let columns = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?));
    let (key, place) = match select.query_row([seq.cast_signed()], columns) {
        Ok((Some(key), place)) => (key.cast_unsigned(), place),
        Ok((None, _)) => return Ok(()),
        Err(error) if sum::is_damage(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let unended = |live: &&mut LiveBatch| live.batch.remaining() > 0;
    if place.is_some() || tx.memory.batch(key).is_none() {
        return Ok(());
    }
    if let Some(live) = tx.memory.touch_batch(key).filter(unended) {
        decide::count_end(&mut live.batch, Outcome::Failed);
    }
    finish(tx, key)
}

/// Ends the batch where nothing remains.
fn finish(tx: &mut Tx<'_>, key: BatchKey) -> rusqlite::Result<()> {
    let now = tx.now;
    let Some(live) = tx.memory.touch_batch(key) else {
        return Ok(());
    };
    let Some(made) = decide::finish_batch(&mut live.batch, now) else {
        return Ok(());
    };
    live.cancel_from = None;
    let Some(mut live) = tx.memory.drop_batch(key) else {
        return Ok(());
    };
    batch_row::update(tx.conn, &mut live)?;
    if let Some(delivery) = made {
        deliveries::write(tx.conn, &delivery)?;
    }
    tx.tell_batch(Arc::new(live.batch));
    Ok(())
}

/// Writes the rows of the batches that the transaction has changed.
pub(crate) fn flush(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    for key in tx.memory.take_touched_batches() {
        let Some(live) = tx.memory.batches.get_mut(&key) else {
            continue;
        };
        batch_row::update(tx.conn, live)?;
        let batch = Arc::new(live.batch.clone());
        tx.tell_batch(batch);
    }
    Ok(())
}

/// Members that have ended, after a place.
pub(crate) fn results(
    conn: &Connection,
    names: &QueueNames,
    ns: &Namespace,
    id: BatchId,
    after: u64,
    limit: u32,
) -> rusqlite::Result<Result<Results, BatchMissing>> {
    let batch = match batch_row::load(conn, ns, id)? {
        Ok(live) => Arc::new(live.batch),
        Err(missing) => return Ok(Err(missing)),
    };
    let mut select = conn.prepare_cached(row::select_jobs!(
        "INDEXED BY jobs_batch_place WHERE batch = ?1 AND batch_place > ?2 ORDER BY batch_place LIMIT ?3"
    ))?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = select.query(params![batch_row::key(id), after, limit])?;
    let mut finished = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let place = row.get::<_, i64>(row::PLACE)?.unsigned_abs();
        let Found::Job(_, job) = row::read(row, names)? else {
            continue;
        };
        let result = body::result(conn, job.id)?.map(Arc::new);
        bytes += result.as_ref().map_or(0, |result| result.body.len());
        finished.push(Finished {
            place,
            job: Arc::from(job),
            result,
        });
        if bytes >= OUTPUT_PAGE_BYTES {
            break;
        }
    }
    Ok(Ok(Results { finished, batch }))
}

/// A batch that is done, and its counts: for whom it tells.
pub(crate) fn completed(conn: &Connection, key: i64) -> rusqlite::Result<Option<BatchStatus>> {
    Ok(batch_row::load_key(conn, key)?.map(|live| {
        let counts = ended(live.batch.ends);
        BatchStatus {
            batch: Arc::new(live.batch),
            counts,
        }
    }))
}
