//! Chunks of output and log as rows.
//!
//! Invariants: the rows of a claim follow each other without a gap; [`mark`] of the last row tells all that the next one
//! needs to know.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::Job;
use raincheck_core::output::{Chunk, Mark, Piece, Stream};
use raincheck_core::store::{OUTPUT_PAGE_BYTES, Output};
use raincheck_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{row, sum};

const fn number(stream: Stream) -> i64 {
    match stream {
        Stream::Output => 0,
        Stream::Log => 1,
    }
}

/// SQLite's numbers are signed; ours never come near their end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Where the job's chunks have got to.
pub(crate) fn mark(conn: &Connection, job: i64) -> rusqlite::Result<Option<Mark>> {
    let mut select = conn.prepare_cached(
        "SELECT n, fence, seq, output_bytes, log_bytes, former_bytes FROM output WHERE job = ?1 ORDER BY n DESC LIMIT 1",
    )?;
    let mark = select.query_row([job], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Mark {
            n: number(0)?,
            fence: Fence(row.get(1)?),
            seq: row.get(2)?,
            output_bytes: number(3)?,
            log_bytes: number(4)?,
            former_bytes: number(5)?,
        })
    });
    mark.optional()
}

fn body_sum(job: i64, n: i64, body: &[u8]) -> i64 {
    sum::of([Some(job), Some(n)], [Some(body)])
}

/// Keeps a chunk.
pub(crate) fn insert(conn: &Connection, chunk: &Chunk, mark: &Mark) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO output (job, n, fence, attempt, seq, stream, at, output_bytes, log_bytes, former_bytes, body, \
         sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    insert.execute(params![
        row::key(chunk.job),
        signed(chunk.n),
        chunk.fence.0,
        chunk.attempt,
        chunk.seq,
        number(chunk.piece.stream),
        chunk.at.as_millis(),
        signed(mark.output_bytes),
        signed(mark.log_bytes),
        signed(mark.former_bytes),
        &*chunk.piece.body,
        body_sum(row::key(chunk.job), signed(chunk.n), &chunk.piece.body),
    ])?;
    Ok(())
}

/// Marks the job as one that has emitted.
pub(crate) fn note(conn: &Connection, job: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE jobs SET emitted = 1 WHERE seq = ?1")?
        .execute([job])?;
    Ok(())
}

/// Deletes the chunks before number `n`.
pub(crate) fn drop_before(conn: &Connection, job: i64, n: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM output WHERE job = ?1 AND n < ?2")?
        .execute(params![job, signed(n)])?;
    Ok(())
}

fn chunk(row: &Row<'_>, job: JobId) -> rusqlite::Result<Chunk> {
    let (key, n, body) = (row::key(job), row.get(0)?, row.get_ref(6)?.as_bytes()?);
    sum::check("the output", key, row.get(7)?, || body_sum(key, n, body))?;
    let stream = match row.get::<_, i64>(4)? {
        0 => Stream::Output,
        _ => Stream::Log,
    };
    Ok(Chunk {
        job,
        n: row.get::<_, i64>(0)?.unsigned_abs(),
        fence: Fence(row.get(1)?),
        attempt: row.get(2)?,
        seq: row.get(3)?,
        at: Timestamp::from_millis(row.get(5)?),
        piece: Piece {
            stream,
            body: Bytes::copy_from_slice(row.get_ref(6)?.as_bytes()?),
        },
    })
}

const CHUNKS: &str = "SELECT n, fence, attempt, seq, stream, at, body, sum FROM output WHERE job = ?1 AND n >= ?2 ORDER BY n LIMIT ?3";

/// The chunk with this number.
pub(crate) fn one(conn: &Connection, job: JobId, n: u64) -> rusqlite::Result<Option<Chunk>> {
    let mut select = conn.prepare_cached(CHUNKS)?;
    let found = select.query_row(params![row::key(job), signed(n), 1], |row| chunk(row, job));
    Ok(found.optional()?.filter(|chunk| chunk.n == n))
}

/// A page of the job's chunks.
pub(crate) fn page(conn: &Connection, job: Job, after: u64, limit: u32) -> rusqlite::Result<Output> {
    let key = row::key(job.id);
    let mut page = Output {
        last: mark(conn, key)?.map_or(0, |mark| mark.n),
        chunks: Vec::new(),
        before: None,
        job: Arc::new(job),
    };
    if after > 0 {
        let mut fence = conn.prepare_cached("SELECT fence FROM output WHERE job = ?1 AND n = ?2")?;
        let fence = fence.query_row(params![key, signed(after)], |row| row.get(0));
        page.before = fence.optional()?.map(Fence);
    }
    if page.last <= after {
        return Ok(page);
    }
    let mut bytes = 0;
    let mut select = conn.prepare_cached(CHUNKS)?;
    let mut rows = select.query(params![key, signed(after.saturating_add(1)), limit])?;
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(6)?.as_bytes()?.len();
        if bytes > OUTPUT_PAGE_BYTES && !page.chunks.is_empty() {
            break;
        }
        page.chunks.push(Arc::new(chunk(row, page.job.id)?));
    }
    Ok(page)
}

/// What the claim emitted as output, whole.
pub(crate) fn whole(conn: &Connection, job: i64, fence: u32) -> rusqlite::Result<Bytes> {
    let mut whole = BytesMut::new();
    each_of(conn, job, fence, |body| {
        whole.extend_from_slice(body);
        true
    })?;
    Ok(whole.freeze())
}

/// Whether the claim emitted exactly these bytes as output.
pub(crate) fn is_whole(conn: &Connection, job: i64, fence: u32, body: &[u8]) -> rusqlite::Result<bool> {
    let mut left = body;
    let mut same = true;
    each_of(conn, job, fence, |part| {
        match left.strip_prefix(part) {
            Some(rest) => left = rest,
            None => same = false,
        }
        same
    })?;
    Ok(same && left.is_empty())
}

/// Goes through the bodies of a claim's output while `go_on` says so.
fn each_of(
    conn: &Connection,
    job: i64,
    fence: u32,
    mut go_on: impl FnMut(&[u8]) -> bool,
) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached(
        "SELECT body, n, sum FROM output WHERE job = ?1 AND fence = ?2 AND stream = 0 ORDER BY n",
    )?;
    let mut rows = select.query(params![job, fence])?;
    while let Some(row) = rows.next()? {
        let (body, n) = (row.get_ref(0)?.as_bytes()?, row.get(1)?);
        sum::check("the output", job, row.get(2)?, || body_sum(job, n, body))?;
        if !go_on(body) {
            break;
        }
    }
    Ok(())
}

/// Deletes about `limit` chunks of forgotten jobs; whether more are to go.
pub(crate) fn sweep(conn: &Connection, limit: u32) -> rusqlite::Result<bool> {
    let mut left = u64::from(limit);
    loop {
        let mut forgotten = conn.prepare_cached("SELECT seq FROM jobs WHERE emitted = 2 LIMIT 1")?;
        let Some(job) = forgotten.query_row([], |row| row.get::<_, i64>(0)).optional()? else {
            return Ok(false);
        };
        if left == 0 {
            return Ok(true);
        }
        // The numbers of what is left follow each other, or nearly: a range is a slice.
        let mut first = conn.prepare_cached("SELECT min(n) FROM output WHERE job = ?1")?;
        match first.query_row([job], |row| row.get::<_, Option<i64>>(0))? {
            Some(first) => {
                let end = first.unsigned_abs().saturating_add(left);
                let gone = conn
                    .prepare_cached("DELETE FROM output WHERE job = ?1 AND n < ?2")?
                    .execute(params![job, signed(end)])?;
                left = left.saturating_sub(gone.max(1) as u64);
            }
            None => {
                conn.prepare_cached("UPDATE jobs SET emitted = NULL WHERE seq = ?1")?
                    .execute([job])?;
            }
        }
    }
}
