//! Unique values: who holds one, and letting go of it.
//!
//! Invariant: a row of `uniques` is there exactly while the job it names [holds](decide::holds) its value. It is
//! written with the job and deleted in the transaction in which the job lets go.

use std::sync::Arc;

use raincheck_core::decide::{self, Contest, NewJob};
use raincheck_core::job::Job;
use raincheck_core::unique::Unique;
use rusqlite::{Connection, OptionalExtension, params};

use crate::row::{self, QueueKey};
use crate::sum;
use crate::tx::Tx;

/// The job that holds the new one's value, and what comes of that.
pub(crate) fn contest(
    tx: &mut Tx<'_>,
    key: QueueKey,
    new: &NewJob,
) -> rusqlite::Result<Option<(Arc<Job>, Contest)>> {
    let Some(unique) = &new.options.unique else {
        return Ok(None);
    };
    let mut select = tx.conn.prepare_cached(concat!(
        "SELECT seq, ",
        sum::is_whole!(uniques),
        " FROM uniques WHERE queue = ?1 AND value = ?2"
    ))?;
    let seq = select.query_row(params![key, unique.value.as_str()], |row| {
        sum::whole(row, 1, "a unique value")?;
        row.get::<_, i64>(0)
    });
    let Some(seq) = seq.optional()? else {
        return Ok(None);
    };
    // The row dies with what the job holds, so the job is there.
    let holder = match tx.load_seq(seq.cast_unsigned()) {
        Ok(Some((_, holder))) => holder,
        Ok(None) => return Err(rusqlite::Error::QueryReturnedNoRows),
        Err(error) => {
            // One that is damaged never ends, so it holds nothing.
            tx.set_aside(seq.cast_unsigned(), error, false)?;
            return Ok(None);
        }
    };
    let policy = tx.memory.settings(key, &holder).policy(&holder.options);
    let contest = decide::contest(&holder, new, &policy, tx.now);
    Ok(Some((holder, contest)))
}

/// Notes that the job holds its value, whoever held it before.
pub(crate) fn take(conn: &Connection, key: QueueKey, job: &Job) -> rusqlite::Result<()> {
    if let Some(unique) = &job.options.unique {
        let mut insert =
            conn.prepare_cached(
                "INSERT OR REPLACE INTO uniques (queue, value, seq, sum) VALUES (?1, ?2, ?3, row_sum(?1, ?2, ?3))",
            )?;
        insert.execute(params![key, unique.value.as_str(), row::key(job.id)])?;
    }
    Ok(())
}

/// Follows a transition: where the job lets go of its value by it, so does its row.
pub(crate) fn follow(conn: &Connection, key: QueueKey, before: &Job, after: &Job) -> rusqlite::Result<()> {
    match &before.options.unique {
        Some(unique) if decide::holds(before) && !decide::holds(after) => let_go(conn, key, unique, before),
        Some(_) | None => Ok(()),
    }
}

/// The job is forgotten, and its value with it.
pub(crate) fn forget(conn: &Connection, key: QueueKey, job: &Job) -> rusqlite::Result<()> {
    match &job.options.unique {
        Some(unique) if decide::holds(job) => let_go(conn, key, unique, job),
        Some(_) | None => Ok(()),
    }
}

fn let_go(conn: &Connection, key: QueueKey, unique: &Unique, job: &Job) -> rusqlite::Result<()> {
    // Only its own row: another job may have taken the value over already.
    let mut delete =
        conn.prepare_cached("DELETE FROM uniques WHERE queue = ?1 AND value = ?2 AND seq = ?3")?;
    delete.execute(params![key, unique.value.as_str(), row::key(job.id)])?;
    Ok(())
}
