//! Where inputs and results lie: small ones in the job's row, others in a table of their own.
//!
//! Invariant: a body lies in one place. Who writes a job's row asks [`small_input`] or [`small_result`] whether it goes
//! there, and calls [`put_input`] or [`Tx::put_result`](crate::tx::Tx::put_result) where it does not.

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

/// A job's result.
pub(crate) fn result(conn: &Connection, id: JobId) -> rusqlite::Result<Option<JobResult>> {
    let seq = row::key(id);
    let mut select = conn.prepare_cached(
        "SELECT result_status, result_type, result, result_sum, result_at FROM jobs WHERE seq = ?1",
    )?;
    let in_row = select.query_row([seq], |row| {
        let (status, sum, at): (Option<u16>, _, _) = (row.get(0)?, row.get(3)?, row.get(4)?);
        let Some(status) = status else {
            sum::check("the result", seq, sum, || row::of_result_at(seq, at))?;
            return Ok(Err(at));
        };
        let numbers = [Some(seq), Some(status.into())];
        let texts = [sum::raw(row, 1)?, sum::raw(row, 2)?];
        sum::check("the result", seq, sum, || sum::of(numbers, texts))?;
        Ok(Ok(JobResult::new(
            status,
            row.get(1)?,
            Vec::new(),
            bytes(row, 2)?,
        )))
    });
    let at: Option<i64> = match in_row.optional()? {
        Some(Ok(small)) => return Ok(Some(small)),
        Some(Err(at)) => at,
        None => None,
    };
    let mut select = conn.prepare_cached(
        "SELECT status, content_type, headers, body, fence, sum FROM results WHERE seq = ?1",
    )?;
    // An earlier version kept it at the job's own key.
    let result = select.query_row([at.unwrap_or(seq)], |row| {
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
    match result.optional()? {
        None if at.is_some() => Err(sum::changed("where the result lies", seq)),
        result => Ok(result),
    }
}

/// Deletes what lies beside a job's row, which is still there; its output goes in slices ([`output::sweep`]).
pub(crate) fn drop_bodies(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM inputs WHERE seq = ?1")?
        .execute([seq])?;
    conn.prepare_cached(
        "DELETE FROM results WHERE seq = (SELECT ifnull(result_at, seq) FROM jobs WHERE seq = ?1)",
    )?
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz;
    use crate::memory::New;
    use crate::row::{Left, Rows, WriteRows};
    use crate::schema;

    /// A store with a job that has ended with this result, at this key or, `None`, as an earlier version kept it.
    fn ended(result: &JobResult, at: Option<i64>) -> (Connection, JobId) {
        let conn = schema::in_memory().unwrap();
        let waiting = fuzz::job(1);
        let running = fuzz::running(&waiting);
        let done = fuzz::done(&running);
        let new = New {
            queue: 1,
            job: waiting.clone().into(),
            idempotency: None,
            input: None,
        };
        let rows = Rows::new(&conn);
        rows.insert(&[new]).unwrap();
        rows.write(&waiting, &running, Left::Nothing, None, 0).unwrap();
        let left = at.map_or(Left::Nothing, Left::Beside);
        rows.write(&running, &done, left, None, 0).unwrap();
        let at = at.unwrap_or(row::key(done.id));
        rows.insert_result(at, done.id, result, None).unwrap();
        drop(rows);
        (conn, done.id)
    }

    fn large() -> JobResult {
        let headers = vec![("x-a".to_owned(), "say \"a\"".to_owned())];
        JobResult::new(
            203,
            Some("text/plain".to_owned()),
            headers,
            vec![b'x'; 3000].into(),
        )
    }

    #[test]
    fn a_result_beside_its_job_is_read_and_goes_with_it_wherever_it_lies() {
        for at in [None, Some(1 << 61)] {
            let (conn, id) = ended(&large(), at);
            assert_eq!(result(&conn, id).unwrap(), Some(large()), "{at:?}");
            drop_bodies(&conn, row::key(id)).unwrap();
            let left: i64 = conn
                .query_row("SELECT count(*) FROM results", [], |row| row.get(0))
                .unwrap();
            assert_eq!(left, 0, "{at:?}");
        }
    }

    #[test]
    fn where_a_result_lies_is_not_taken_for_another_place() {
        let (conn, id) = ended(&large(), Some(1 << 61));
        let change = |sql| conn.execute(sql, []).unwrap();
        // Another job's, of the same bytes.
        change(
            "INSERT INTO results SELECT seq + 1, status, content_type, headers, body, fence, sum FROM results",
        );
        for sql in [
            "UPDATE jobs SET result_at = result_at + 1",
            "UPDATE jobs SET result_at = NULL",
            "UPDATE jobs SET result_at = 7",
        ] {
            change(sql);
            assert!(result(&conn, id).is_err(), "{sql}");
            change("UPDATE jobs SET result_at = 1 << 61");
            assert_eq!(result(&conn, id).unwrap(), Some(large()));
        }
        change("DELETE FROM results");
        assert!(result(&conn, id).is_err(), "it is lost");
    }
}
