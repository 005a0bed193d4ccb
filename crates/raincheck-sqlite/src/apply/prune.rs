//! Forgetting what has outlived its retention, in slices, and giving the space back.

use std::time::Duration;

use raincheck_core::decide::TOMBSTONE;
use raincheck_core::store::Slice;
use rusqlite::{Connection, OptionalExtension, params};

use super::change::bury;
use crate::batch_row;
use crate::output;
use crate::row::{self, Found, QueueKey, state};
use crate::tx::Tx;

/// Free pages that stay in the file for the jobs to come: giving them back and taking them again would cost more.
const FREE_PAGES_KEPT: i64 = 2_000;

/// Pages given back in one slice: a few milliseconds.
const VACUUM_PAGES: i64 = 500;

/// Chunks of forgotten jobs that go in one slice: a few milliseconds.
const CHUNKS_SWEPT: u32 = 2_000;

/// Turns at most `limit` finished jobs into tombstones and drops tombstones that are over, then gives free pages
/// back where there are many. What forgotten jobs have emitted goes here too, in slices of its own.
pub(crate) fn prune(tx: &mut Tx<'_>, limit: u32) -> rusqlite::Result<Slice> {
    let mut due = tx.conn.prepare_cached(
        // A job stays until everybody who wanted to know was told of it.
        "SELECT seq, state, queue, idempotency, emitted FROM jobs WHERE expires_at <= ?1 AND NOT EXISTS (SELECT 1 FROM \
         deliveries WHERE deliveries.seq = jobs.seq AND next_at IS NOT NULL) ORDER BY expires_at LIMIT ?2",
    )?;
    let due = due.query_map(params![tx.without_moves(tx.now), limit], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, QueueKey>(2)?,
            row.get::<_, Option<String>>(3)?,
            row.get::<_, Option<i64>>(4)?.is_some(),
        ))
    })?;
    let due: Vec<_> = due.collect::<rusqlite::Result<_>>()?;
    let mut passed = 0;
    for (seq, state, queue, idempotency, emitted) in &due {
        match *state {
            state::DELETED | state::PRUNED => {
                if *emitted {
                    output::drop_before(tx.conn, *seq, u64::MAX)?;
                }
                forget(tx.conn, *seq, *queue, idempotency.as_deref())?;
            }
            _ => match row::load_key(tx.conn, &tx.memory.names, *seq) {
                Ok(Some(Found::Job(key, job))) => bury(tx, key, &job, state::PRUNED)?,
                Ok(Some(Found::Gone(..)) | None) => {}
                Err(error) => {
                    tx.set_aside(seq.cast_unsigned(), error, true)?;
                    passed += 1;
                }
            },
        }
    }
    let single = u32::try_from(due.len() - passed).unwrap_or(u32::MAX);
    let count = single + prune_batches(tx, limit.saturating_sub(single))?;
    let more_output = output::sweep(tx.conn, CHUNKS_SWEPT)?;
    let more = shrink(tx.conn)? || more_output || count == limit;
    Ok(Slice { count, more })
}

fn forget(conn: &Connection, seq: i64, queue: QueueKey, idempotency: Option<&str>) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM jobs WHERE seq = ?1")?
        .execute([seq])?;
    if let Some(word) = idempotency {
        conn.prepare_cached("DELETE FROM idempotency WHERE queue = ?1 AND key = ?2")?
            .execute(params![queue, word])?;
    }
    let mut attached = conn.prepare_cached("DELETE FROM attached_keys WHERE seq = ?1 RETURNING key")?;
    let mut words = attached.query([seq])?;
    while let Some(row) = words.next()? {
        conn.prepare_cached("DELETE FROM idempotency WHERE queue = ?1 AND key = ?2")?
            .execute(params![
                queue,
                row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?
            ])?;
    }
    Ok(())
}

/// How long a batch is left alone that has members which may not go yet.
const BLOCKED: Duration = Duration::from_secs(60);

/// Forgets members of batches that have outlived their retention, then those, at most `limit` rows.
fn prune_batches(tx: &mut Tx<'_>, limit: u32) -> rusqlite::Result<u32> {
    let mut count = 0;
    while count < limit {
        let mut due = tx.conn.prepare_cached(
            "SELECT seq, state FROM batches WHERE prune_at <= ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE \
             deliveries.seq = batches.seq AND next_at IS NOT NULL) ORDER BY prune_at LIMIT 1",
        )?;
        let due = due.query_row([tx.without_moves(tx.now)], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some((batch, state)): Option<(i64, i64)> = due.optional()? else {
            break;
        };
        if state == batch_row::PRUNED {
            tx.conn
                .prepare_cached("DELETE FROM batches WHERE seq = ?1")?
                .execute([batch])?;
            count += 1;
            continue;
        }
        let gone = prune_members(tx, batch, limit - count)?;
        count += gone;
        if count == limit {
            break;
        }
        count += u32::from(bury_batch(tx, batch)?);
    }
    Ok(count)
}

/// Forgets members of a batch, at most `limit`; how many.
fn prune_members(tx: &mut Tx<'_>, batch: i64, limit: u32) -> rusqlite::Result<u32> {
    let members: Vec<i64> = {
        let mut select = tx.conn.prepare_cached(
            "SELECT seq FROM jobs INDEXED BY jobs_batch WHERE batch = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE \
             deliveries.seq = jobs.seq AND next_at IS NOT NULL) LIMIT ?2",
        )?;
        let found = select.query_map(params![batch, limit], |row| row.get(0))?;
        found.collect::<rusqlite::Result<_>>()?
    };
    let mut passed = 0;
    for seq in &members {
        match row::load_key(tx.conn, &tx.memory.names, *seq) {
            Ok(Some(Found::Job(key, job))) => bury(tx, key, &job, state::PRUNED)?,
            Ok(Some(Found::Gone(..)) | None) => {}
            Err(error) => {
                tx.set_aside(seq.cast_unsigned(), error, true)?;
                passed += 1;
            }
        }
    }
    Ok(u32::try_from(members.len() - passed).unwrap_or(u32::MAX))
}

/// Leaves a tombstone of a batch, where no member of it is left; whether it did.
fn bury_batch(tx: &Tx<'_>, batch: i64) -> rusqlite::Result<bool> {
    let mut left = tx
        .conn
        .prepare_cached("SELECT 1 FROM jobs INDEXED BY jobs_batch WHERE batch = ?1 LIMIT 1")?;
    if left.exists([batch])? {
        tx.conn
            .prepare_cached("UPDATE batches SET prune_at = ?2 WHERE seq = ?1")?
            .execute(params![batch, tx.without_moves(tx.now.plus(BLOCKED))])?;
        return Ok(false);
    }
    super::deliveries::forget(tx.conn, batch)?;
    let mut update = tx.conn.prepare_cached(
        "UPDATE batches SET state = ?2, expires_at = ?3, prune_at = ?3, settings = '{}', refusals = '[]', \
         sum = NULL, asked_sum = NULL, refusals_sum = NULL WHERE seq = ?1",
    )?;
    update.execute(params![
        batch,
        batch_row::PRUNED,
        tx.without_moves(tx.now.plus(TOMBSTONE))
    ])?;
    Ok(true)
}

/// Gives a slice of the free pages back; whether more are to go.
fn shrink(conn: &Connection) -> rusqlite::Result<bool> {
    let free: i64 = conn
        .prepare_cached("PRAGMA freelist_count")?
        .query_row([], |row| row.get(0))?;
    let pages: i64 = conn
        .prepare_cached("PRAGMA page_count")?
        .query_row([], |row| row.get(0))?;
    // Up to a quarter of the file may stay free, so that a steady load does not shrink and grow it in turns.
    let surplus = free - FREE_PAGES_KEPT.max(pages / 4);
    if surplus <= 0 {
        return Ok(false);
    }
    let mut vacuum = conn.prepare(&format!(
        "PRAGMA incremental_vacuum({})",
        surplus.min(VACUUM_PAGES)
    ))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(surplus > VACUUM_PAGES)
}
