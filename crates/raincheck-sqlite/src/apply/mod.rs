//! What each operation does inside the writer's transaction: select, have `decide` judge, write back.
//!
//! Invariant: nothing here decides. A file holds the operations on one part of a job's life.

pub(crate) mod acts;
pub(crate) mod batches;
pub(crate) mod change;
pub(crate) mod claim;
pub(crate) mod clock;
pub(crate) mod deliveries;
pub(crate) mod emit;
pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod prune;
pub(crate) mod queues;
pub(crate) mod secrets;
pub(crate) mod settle;
pub(crate) mod submit;
pub(crate) mod unique;

use raincheck_core::job::Job;
use rusqlite::{Connection, params};

use crate::row;

/// Makes a job findable by its tags.
fn put_tags(conn: &Connection, job: &Job) -> rusqlite::Result<()> {
    for tag in &job.options.tags {
        let mut insert = conn
            .prepare_cached("INSERT OR IGNORE INTO tags (tag, seq, sum) VALUES (?1, ?2, row_sum(?1, ?2))")?;
        insert.execute(params![tag.as_str(), row::key(job.id)])?;
    }
    Ok(())
}

/// Forgets a job's tags.
fn drop_tags(conn: &Connection, job: &Job) -> rusqlite::Result<()> {
    for tag in &job.options.tags {
        let mut delete = conn.prepare_cached("DELETE FROM tags WHERE tag = ?1 AND seq = ?2")?;
        delete.execute(params![tag.as_str(), row::key(job.id)])?;
    }
    Ok(())
}
