//! A clock that is set: what was due stays due, what waits for a while waits as long as it would have, and what was submitted since
//! is due when it was asked to be.
//!
//! Invariant: from the row of `set_back` or, where there is none, from the newest id it is known what time it was when the store
//! last knew, however far ahead of the clock ids are made.

use std::time::Duration;

use raincheck_core::decide::ClockSet;
use raincheck_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::sum;

/// By more than this ids do not grow while the clock has not come to them: that is some two thousand million of them. One that
/// is later was made by the clock.
const GROWN: Duration = Duration::from_secs(600);

/// The columns of a job's row that its steps change, with this `run_at`.
macro_rules! step_sum {
    ($run_at:literal) => {
        concat!(
            "jobs_sum(seq, state, priority, version, attempt, fence, cancelling, ",
            $run_at,
            ", started_at, finished_at, expires_at, lease, settled)"
        )
    };
}

/// What the row says.
struct SetBack {
    /// Until when ids are ahead of the clock.
    ids: Timestamp,
    /// What time it was when it was written.
    at: Timestamp,
}

fn noted(conn: &Connection) -> rusqlite::Result<Option<SetBack>> {
    let query = concat!("SELECT ids, at, ", sum::is_whole!(set_back), " FROM set_back");
    let row = conn.query_row(query, [], |row| {
        sum::whole(row, 2, "when the clock was set back")?;
        Ok(SetBack {
            ids: Timestamp::from_millis(row.get(0)?),
            at: Timestamp::from_millis(row.get(1)?),
        })
    });
    row.optional()
}

fn note(conn: &Connection, ids: Timestamp, at: Timestamp) -> rusqlite::Result<()> {
    let (ids, at) = (ids.as_millis(), at.as_millis());
    conn.execute(
        "INSERT OR REPLACE INTO set_back (one, ids, at, sum) VALUES (1, ?1, ?2, row_sum(?1, ?2))",
        [ids, at],
    )?;
    Ok(())
}

/// The store is opened at `now`; its newest id is of the time `ids`.
pub(crate) fn at_open(conn: &mut Connection, ids: Timestamp, now: Timestamp) -> rusqlite::Result<()> {
    let tx = conn.transaction()?;
    let was = match noted(&tx)? {
        Some(noted) if ids <= noted.ids.plus(GROWN) => noted.at,
        Some(_) | None => ids,
    };
    if was > now {
        tracing::warn!(%was, %now, "the clock was set back");
        let set = ClockSet { was, now };
        move_waits(&tx, set)?;
        keep_due(&tx, set)?;
    }
    if ids > now {
        note(&tx, ids, now)?;
    } else {
        tx.execute("DELETE FROM set_back", [])?;
    }
    tx.commit()
}

/// The clock is set under an open store, within a transaction: what is to be moved at once of all waiting jobs, before those with
/// limits are moved one by one.
pub(crate) fn meanwhile(conn: &Connection, set: ClockSet) -> rusqlite::Result<()> {
    move_waits(conn, set)?;
    let moved = moved(conn)?.saturating_add(set.by_millis());
    conn.execute(
        "INSERT OR REPLACE INTO clock_set (one, moved, sum) VALUES (1, ?1, row_sum(?1))",
        [moved],
    )?;
    let ids = noted(conn)?.map_or(set.was, |noted| noted.ids.max(set.was));
    if set.now < ids {
        note(conn, ids, set.now)
    } else {
        conn.execute("DELETE FROM set_back", []).map(drop)
    }
}

/// By how much the clock was set, in all, while the store was open.
pub(crate) fn moved(conn: &Connection) -> rusqlite::Result<i64> {
    let query = concat!("SELECT moved, ", sum::is_whole!(clock_set), " FROM clock_set");
    let mut select = conn.prepare_cached(query)?;
    let row = select.query_row([], |row| {
        sum::whole(row, 1, "by how much the clock was set")?;
        row.get(0)
    });
    Ok(row.optional()?.unwrap_or(0))
}

/// The store is closed at `now`.
pub(crate) fn at_close(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    match noted(conn)? {
        Some(noted) => note(conn, noted.ids, now),
        None => Ok(()),
    }
}

/// Moves who waits for a while. A row that is damaged stays recognisable as such.
fn move_waits(conn: &Connection, set: ClockSet) -> rusqlite::Result<()> {
    let by = set.by_millis();
    // Who was claimed before waits for a while after that, not for an hour of the day: that moves along.
    conn.execute(
        concat!(
            "UPDATE jobs SET run_at = run_at + ?1, sum = CASE WHEN sum = ",
            step_sum!("run_at"),
            " THEN ",
            step_sum!("run_at + ?1"),
            " ELSE sum END WHERE state = 0 AND fence > 0"
        ),
        [by],
    )?;
    conn.execute(
        concat!(
            "UPDATE deliveries SET next_at = next_at + ?1, sum = CASE WHEN sum = ",
            sum::sum_of!(deliveries),
            " THEN row_sum(deliveries.seq, source, next_at + ?1, body) ELSE sum END WHERE next_at IS NOT NULL"
        ),
        [by],
    )?;
    Ok(())
}

/// What was due stays due, where the clock was set back. A row that is damaged stays recognisable as such.
pub(crate) fn keep_due(conn: &Connection, set: ClockSet) -> rusqlite::Result<()> {
    if set.by_millis() >= 0 {
        return Ok(());
    }
    conn.execute(
        concat!(
            "UPDATE jobs SET run_at = ?1, sum = CASE WHEN sum = ",
            step_sum!("run_at"),
            " THEN ",
            step_sum!("?1"),
            " ELSE sum END WHERE state = 0 AND fence = 0 AND run_at > ?1 AND run_at <= ?2"
        ),
        [set.now.as_millis(), set.was.as_millis()],
    )?;
    Ok(())
}
