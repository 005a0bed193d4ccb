//! Where inputs and results lie: small ones in the job's row, others in a table of their own.
//!
//! Invariant: a body lies in one place. Who writes a job's row asks [`small_input`] or [`small_result`] whether it goes
//! there, and calls [`put_input`] or [`put_result`] where it does not.

use std::sync::Arc;

use bytes::Bytes;
use raincheck_core::content::{Header, Input, JobResult};
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::Job;
use raincheck_core::store::Change;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::row::QueueKey;
use crate::{output, row, sum};

/// The largest body in a job's row. Each transition writes the row again, so a larger one would cost more there than a
/// table of its own costs once.
const SMALL_BYTES_MAX: usize = 256;

const fn fits(headers: &[Header], body: &Bytes) -> bool {
    headers.is_empty() && body.len() <= SMALL_BYTES_MAX
}

/// The input, where it goes into the job's row.
pub(crate) fn small_input(input: &Input) -> Option<&Input> {
    fits(&input.headers, &input.body).then_some(input)
}

/// The result, where it goes into the job's row; `emitted` names the claim whose output is its body already.
pub(crate) fn small_result(result: &JobResult, emitted: Option<Fence>) -> Option<&JobResult> {
    (emitted.is_none() && fits(&result.headers, &result.body)).then_some(result)
}

/// Keeps a job's input beside its row.
pub(crate) fn put_input(conn: &Connection, id: JobId, input: &Input) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO inputs (seq, content_type, headers, body, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let headers = row::headers_text(&input.headers)?;
    let (kind, head) = (
        input.content_type.as_deref().map(str::as_bytes),
        headers.as_deref().map(str::as_bytes),
    );
    let sum = sum::of([Some(row::key(id))], [kind, head, Some(&input.body)]);
    insert.execute(params![
        row::key(id),
        input.content_type,
        headers,
        &*input.body,
        sum
    ])?;
    Ok(())
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_bytes()?))
}

/// A job's input.
pub(crate) fn input(conn: &Connection, id: JobId) -> rusqlite::Result<Option<Input>> {
    let mut select = conn.prepare_cached(
        "SELECT input_type, input, input_sum FROM jobs WHERE seq = ?1 AND input IS NOT NULL",
    )?;
    let seq = row::key(id);
    let small = select.query_row([seq], |row| {
        let texts = [sum::raw(row, 0)?, sum::raw(row, 1)?];
        sum::check("the input", seq, row.get(2)?, || sum::of([Some(seq)], texts))?;
        Ok(Input {
            content_type: row.get(0)?,
            headers: Vec::new(),
            body: bytes(row, 1)?,
        })
    });
    if let Some(small) = small.optional()? {
        return Ok(Some(small));
    }
    let mut select =
        conn.prepare_cached("SELECT content_type, headers, body, sum FROM inputs WHERE seq = ?1")?;
    let input = select.query_row([seq], |row| {
        let texts = [sum::raw(row, 0)?, sum::raw(row, 1)?, sum::raw(row, 2)?];
        sum::check("the input", seq, row.get(3)?, || sum::of([Some(seq)], texts))?;
        Ok(Input {
            content_type: row.get(0)?,
            headers: row::headers(row, 1)?,
            body: bytes(row, 2)?,
        })
    });
    input.optional()
}

/// How many bytes a job's input has.
pub(crate) fn input_bytes(conn: &Connection, id: JobId) -> rusqlite::Result<u64> {
    let mut select = conn.prepare_cached(
        "SELECT coalesce(length(input), (SELECT length(body) FROM inputs WHERE inputs.seq = jobs.seq), 0) \
         FROM jobs WHERE seq = ?1",
    )?;
    let bytes: i64 = select.query_row([row::key(id)], |row| row.get(0))?;
    Ok(bytes.unsigned_abs())
}

/// How many bytes the inputs of a queue's waiting jobs have. Looks at every job of the queue.
pub(crate) fn waiting_bytes(conn: &Connection, queue: QueueKey) -> rusqlite::Result<u64> {
    let mut select = conn.prepare_cached(
        "SELECT coalesce(sum(coalesce(length(input), (SELECT length(body) FROM inputs WHERE inputs.seq = jobs.seq), 0)), 0) \
         FROM jobs WHERE queue = ?1 AND state = 0",
    )?;
    let bytes: i64 = select.query_row([queue], |row| row.get(0))?;
    Ok(bytes.unsigned_abs())
}

/// Keeps a job's result beside its row; `emitted` names the claim whose output is its body already.
pub(crate) fn put_result(
    conn: &Connection,
    id: JobId,
    result: &JobResult,
    emitted: Option<Fence>,
) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO results (seq, status, content_type, headers, body, fence, sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let body: &[u8] = if emitted.is_some() { &[] } else { &result.body };
    let headers = row::headers_text(&result.headers)?;
    let numbers = [
        Some(row::key(id)),
        Some(result.status.into()),
        emitted.map(|fence| fence.0.into()),
    ];
    let (kind, head) = (
        result.content_type.as_deref().map(str::as_bytes),
        headers.as_deref().map(str::as_bytes),
    );
    let sum = sum::of(numbers, [kind, head, Some(body)]);
    insert.execute(params![
        row::key(id),
        result.status,
        result.content_type,
        headers,
        body,
        emitted.map(|fence| fence.0),
        sum,
    ])?;
    Ok(())
}

/// A job's result.
pub(crate) fn result(conn: &Connection, id: JobId) -> rusqlite::Result<Option<JobResult>> {
    let seq = row::key(id);
    let mut select = conn.prepare_cached(
        "SELECT result_status, result_type, result, result_sum FROM jobs WHERE seq = ?1 AND result_status IS NOT NULL",
    )?;
    let small = select.query_row([seq], |row| {
        let (numbers, texts) = ([Some(seq), row.get(0)?], [sum::raw(row, 1)?, sum::raw(row, 2)?]);
        sum::check("the result", seq, row.get(3)?, || sum::of(numbers, texts))?;
        let body = bytes(row, 2)?;
        Ok(JobResult::new(row.get(0)?, row.get(1)?, Vec::new(), body))
    });
    if let Some(small) = small.optional()? {
        return Ok(Some(small));
    }
    let mut select = conn.prepare_cached(
        "SELECT status, content_type, headers, body, fence, sum FROM results WHERE seq = ?1",
    )?;
    let result = select.query_row([seq], |row| {
        let numbers = [Some(seq), row.get(0)?, row.get(4)?];
        let texts = [sum::raw(row, 1)?, sum::raw(row, 2)?, sum::raw(row, 3)?];
        sum::check("the result", seq, row.get(5)?, || sum::of(numbers, texts))?;
        let body = match row.get::<_, Option<u32>>(4)? {
            Some(fence) => output::whole(conn, seq, fence)?,
            None => bytes(row, 3)?,
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

/// Deletes what lies beside a job's row; its output goes in slices ([`output::sweep`]).
pub(crate) fn drop_bodies(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM inputs WHERE seq = ?1")?
        .execute([seq])?;
    conn.prepare_cached("DELETE FROM results WHERE seq = ?1")?
        .execute([seq])?;
    Ok(())
}

/// The job with its result, where it is done and has one.
pub(crate) fn change(conn: &Connection, job: Job) -> rusqlite::Result<Change> {
    let result = if job.done() {
        result(conn, job.id)?.map(Arc::new)
    } else {
        None
    };
    Ok(Change {
        job: Arc::new(job),
        result,
    })
}
