//! What administrators did: kept, listed, and forgotten in slices.

use raincheck_core::audit::{Act, ActPage, Acts, ActsKept, LOOKED_AT_MAX, Recorded};
use raincheck_core::name::Namespace;
use raincheck_core::store::Slice;
use raincheck_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::keys::parsed;
use crate::sum;
use crate::tx::Tx;

/// Keeps the row of an act, unless it has one.
pub(crate) fn keep(tx: &Tx<'_>, act: &Act, refused: Option<&str>) -> rusqlite::Result<()> {
    let mut insert = tx.conn.prepare_cached(
        "INSERT OR IGNORE INTO acts (id, at, namespace, actor, address, action, target, request_id, refused, sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, row_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))",
    )?;
    insert.execute(params![
        act.id.cast_signed(),
        tx.now.as_millis(),
        act.namespace.as_str(),
        act.actor.to_string(),
        act.address.map(|address| address.to_string()),
        act.action,
        act.target,
        act.request_id,
        refused,
    ])?;
    Ok(())
}

/// A page, newest first.
pub(crate) fn page(conn: &Connection, ns: &Namespace, page: &ActPage) -> rusqlite::Result<Acts> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT n, at, id, actor, address, namespace, action, target, request_id, refused, ",
        sum::is_whole!(acts),
        " FROM acts WHERE namespace = ?1 AND n < ?2 ORDER BY n DESC LIMIT ?3",
    ))?;
    let below = page.cursor.map_or(i64::MAX, u64::cast_signed);
    // One more tells whether anything follows.
    let rows = select.query_map(params![ns.as_str(), below, LOOKED_AT_MAX + 1], read)?;
    Acts::of(page, rows)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Recorded> {
    sum::whole(row, 10, "an act of the audit log")?;
    let address: Option<String> = row.get(4)?;
    Ok(Recorded {
        place: row.get::<_, i64>(0)?.cast_unsigned(),
        at: Timestamp::from_millis(row.get(1)?),
        act: Act {
            id: row.get::<_, i64>(2)?.cast_unsigned(),
            actor: parsed(row, 3)?,
            address: address.map(|_| parsed(row, 4)).transpose()?,
            namespace: parsed(row, 5)?,
            action: row.get(6)?,
            target: row.get(7)?,
            request_id: row.get(8)?,
        },
        refused: row.get(9)?,
    })
}

/// Forgets at most `limit` acts that are kept no longer. Rows lie in the order of time, so the oldest are the first; the
/// rest of the log is not looked at.
pub(crate) fn prune(tx: &Tx<'_>, kept: ActsKept, limit: u32) -> rusqlite::Result<Slice> {
    let over = surplus(tx.conn, kept.count_max)?;
    let time = i64::try_from(kept.time.as_millis()).unwrap_or(i64::MAX);
    let before = tx.now.as_millis().saturating_sub(time);
    // One more tells whether another slice is due.
    let slice = limit.saturating_add(1);
    let mut gone = Vec::new();
    let mut oldest = tx
        .conn
        .prepare_cached("SELECT n, at FROM acts ORDER BY n LIMIT ?1")?;
    let oldest = oldest.query_map([slice], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    for (place, row) in (0..).zip(oldest) {
        let (n, at): (i64, i64) = row?;
        if place < over || at <= before {
            gone.push(n);
        }
    }
    let mut refused = tx.conn.prepare_cached(
        "SELECT n FROM acts WHERE refused IS NOT NULL AND n <= (SELECT n FROM acts WHERE refused IS NOT NULL \
         ORDER BY n DESC LIMIT 1 OFFSET ?1) ORDER BY n LIMIT ?2",
    )?;
    let refused = refused.query_map([kept.refused_max, slice], |row| row.get(0))?;
    gone.extend(refused.collect::<rusqlite::Result<Vec<i64>>>()?);
    gone.sort_unstable();
    gone.dedup();
    let more = gone.len() > limit as usize;
    gone.truncate(limit as usize);
    let mut delete = tx.conn.prepare_cached("DELETE FROM acts WHERE n = ?1")?;
    for n in &gone {
        delete.execute([n])?;
    }
    Ok(Slice {
        count: u32::try_from(gone.len()).unwrap_or(u32::MAX),
        more,
    })
}

/// How many acts there are beyond `max`. They are counted only where there may be so many.
fn surplus(conn: &Connection, max: u32) -> rusqlite::Result<i64> {
    let max = i64::from(max);
    let ends = |row: &Row<'_>| row.get::<_, Option<i64>>(0);
    let newest = conn
        .prepare_cached("SELECT max(n) FROM acts")?
        .query_row([], ends)?;
    let oldest = conn
        .prepare_cached("SELECT min(n) FROM acts")?
        .query_row([], ends)?;
    if newest
        .zip(oldest)
        .is_none_or(|(newest, oldest)| newest - oldest < max)
    {
        return Ok(0);
    }
    let mut count = conn.prepare_cached("SELECT count(*) FROM acts")?;
    let count: i64 = count.query_row([], |row| row.get(0))?;
    Ok(count.saturating_sub(max).max(0))
}
