//! What each operation does inside the writer's transaction: select, have `decide` judge, write back.
//!
//! Invariant: nothing here decides. A file holds the operations on one part of a job's life.

pub(crate) mod change;
pub(crate) mod claim;
pub(crate) mod emit;
pub(crate) mod prune;
pub(crate) mod queues;
pub(crate) mod secrets;
pub(crate) mod settle;
pub(crate) mod submit;
pub(crate) mod unique;

use bytes::Bytes;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::Job;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{output, row};

/// Keeps a job's input.
fn put_input(conn: &Connection, id: JobId, input: &Input) -> rusqlite::Result<()> {
    let mut insert =
        conn.prepare_cached("INSERT INTO inputs (seq, content_type, headers, body) VALUES (?1, ?2, ?3, ?4)")?;
    let headers = row::headers_text(&input.headers)?;
    insert.execute(params![row::key(id), input.content_type, headers, &*input.body])?;
    Ok(())
}

/// A job's input.
pub(crate) fn input(conn: &Connection, id: JobId) -> rusqlite::Result<Option<Input>> {
    let mut select = conn.prepare_cached("SELECT content_type, headers, body FROM inputs WHERE seq = ?1")?;
    let input = select.query_row([row::key(id)], |row| {
        Ok(Input {
            content_type: row.get(0)?,
            headers: row::headers(row, 1)?,
            body: Bytes::copy_from_slice(row.get_ref(2)?.as_bytes()?),
        })
    });
    input.optional()
}

/// Makes a job findable by its tags.
fn put_tags(conn: &Connection, job: &Job) -> rusqlite::Result<()> {
    for tag in &job.options.tags {
        let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO tags (tag, seq) VALUES (?1, ?2)")?;
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

/// Keeps a job's result; `emitted` names the claim whose output is its body already.
fn put_result(
    conn: &Connection,
    id: JobId,
    result: &JobResult,
    emitted: Option<Fence>,
) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO results (seq, status, content_type, headers, body, fence) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let body: &[u8] = if emitted.is_some() { &[] } else { &result.body };
    let headers = row::headers_text(&result.headers)?;
    insert.execute(params![
        row::key(id),
        result.status,
        result.content_type,
        headers,
        body,
        emitted.map(|fence| fence.0),
    ])?;
    Ok(())
}

/// A job's result.
pub(crate) fn result(conn: &Connection, id: JobId) -> rusqlite::Result<Option<JobResult>> {
    let mut select =
        conn.prepare_cached("SELECT status, content_type, headers, body, fence FROM results WHERE seq = ?1")?;
    let seq = row::key(id);
    let result = select.query_row([seq], |row| {
        let body = match row.get::<_, Option<u32>>(4)? {
            Some(fence) => output::whole(conn, seq, fence)?,
            None => Bytes::copy_from_slice(row.get_ref(3)?.as_bytes()?),
        };
        Ok(JobResult::new(
            row.get(0)?,
            row.get(1)?,
            row::headers(row, 2)?,
            body,
        ))
    });
    result.optional()
}

/// Deletes a job's input and result; its output goes in slices ([`output::sweep`]).
fn drop_bodies(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM inputs WHERE seq = ?1")?
        .execute([seq])?;
    conn.prepare_cached("DELETE FROM results WHERE seq = ?1")?
        .execute([seq])?;
    Ok(())
}
