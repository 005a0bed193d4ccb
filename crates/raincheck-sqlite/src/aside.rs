//! Jobs that were set aside because a row of theirs is damaged, as a table: what followed from it is done once, also over a
//! restart, and whoever opens the store next was told of them.
//!
//! Invariant: a row here is written by the transaction that has the job's batch count it.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::sum;

/// Those that were set aside before, and why.
pub(crate) fn known(conn: &Connection) -> rusqlite::Result<BTreeMap<u64, String>> {
    let mut select = conn.prepare(concat!(
        "SELECT seq, why, ",
        sum::is_whole!(set_aside),
        " FROM set_aside"
    ))?;
    let rows = select.query_map([], |row| {
        sum::whole(row, 2, "a note of a damaged job")?;
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
    })?;
    rows.collect()
}

/// Notes one; whether it was not known before.
pub(crate) fn note(conn: &Connection, seq: u64, why: &str) -> rusqlite::Result<bool> {
    let mut insert = conn
        .prepare_cached("INSERT OR IGNORE INTO set_aside (seq, why, sum) VALUES (?1, ?2, row_sum(?1, ?2))")?;
    Ok(insert.execute(params![seq.cast_signed(), why])? > 0)
}
