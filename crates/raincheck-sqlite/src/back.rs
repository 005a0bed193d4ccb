//! A clock that is set: what was due stays due, what waits for a while waits as long as it would have, and what was submitted since
//! is due when it was asked to be.
//!
//! Invariant: from the row of `set_back` or, where there is none, from the newest id it is known what time it was when the store
//! last knew, however far ahead of the clock ids are made.

use std::time::Duration;

use raincheck_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

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
        follow(&tx, was, now)?;
    }
    if ids > now {
        note(&tx, ids, now)?;
    } else {
        tx.execute("DELETE FROM set_back", [])?;
    }
    tx.commit()
}

/// The clock is set under an open store, within a transaction.
pub(crate) fn meanwhile(conn: &Connection, now: Timestamp, then: Timestamp) -> rusqlite::Result<()> {
    follow(conn, now, then)?;
    let ids = noted(conn)?.map_or(now, |noted| noted.ids.max(now));
    if then < ids {
        note(conn, ids, then)
    } else {
        conn.execute("DELETE FROM set_back", []).map(drop)
    }
}

/// The store is closed at `now`.
pub(crate) fn at_close(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    match noted(conn)? {
        Some(noted) => note(conn, noted.ids, now),
        None => Ok(()),
    }
}

/// The time that was `was` is `now`. A row that is damaged stays recognisable as such.
fn follow(conn: &Connection, was: Timestamp, now: Timestamp) -> rusqlite::Result<()> {
    let by = now.as_millis().saturating_sub(was.as_millis());
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
    if by >= 0 {
        return Ok(());
    }
    // What was due stays due.
    conn.execute(
        concat!(
            "UPDATE jobs SET run_at = ?1, sum = CASE WHEN sum = ",
            step_sum!("run_at"),
            " THEN ",
            step_sum!("?1"),
            " ELSE sum END WHERE state = 0 AND fence = 0 AND run_at > ?1 AND run_at <= ?2"
        ),
        params![now.as_millis(), was.as_millis()],
    )?;
    Ok(())
}
