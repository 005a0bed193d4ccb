//! A job as a row, and back.
//!
//! Invariant: what [`Rows`] wrote, [`read`] reads back as the same job. Columns hold what SQL selects on or what
//! changes often; the rest is JSON that `sqlite3` shows as text.

use std::collections::HashMap;

use raincheck_core::batch::{BatchId, Member};
use raincheck_core::content::Header;
use raincheck_core::id::{Fence, JobId, Nonce};
use raincheck_core::job::{Job, JobOptions, Options, Outcome, Phase, Settled, Since};
use raincheck_core::name::{GroupName, Namespace, QueueName};
use raincheck_core::store::Missing;
use raincheck_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use crate::sum;

mod beside;
mod shape;
mod statements;
mod texts;
mod write;

use shape::{History, LeaseRow, Said};
pub(crate) use statements::Left;
pub(crate) use write::{Rows, WriteRows, write_options};

/// A queue's key in the table `queues`.
pub(crate) type QueueKey = i64;

/// Who a queue's key stands for.
pub(crate) type QueueNames = HashMap<QueueKey, (Namespace, QueueName)>;

/// The values of `state`.
pub(crate) mod state {
    pub(crate) const WAITING: i64 = 0;
    pub(crate) const RUNNING: i64 = 1;
    pub(crate) const DELETED: i64 = 6;
    pub(crate) const PRUNED: i64 = 7;
}

const fn outcome_state(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Succeeded => 2,
        Outcome::Failed => 3,
        Outcome::Cancelled => 4,
        Outcome::Expired => 5,
    }
}

/// Selects jobs with the columns, and their order, that [`read`] expects.
macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "SELECT seq, tail, queue, state, priority, version, attempt, fence, cancelling, run_at, started_at, ",
            "finished_at, expires_at, job_group, options, lease, history, settled, batch, batch_tail, batch_index, ",
            "batch_place, sum, asked_sum, history_sum, ifnull((SELECT moved FROM clock_set), 0) FROM jobs ",
            $rest
        )
    };
}
pub(crate) use select_jobs;

/// The column with a member's place in the order in which its batch's members ended.
pub(crate) const PLACE: usize = 21;

const BY_KEY: &str = select_jobs!("WHERE seq = ?1");

fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The key of a job's row.
pub(crate) fn key(id: JobId) -> i64 {
    // 60 bits always fit.
    id.seq().cast_signed()
}

/// The id of the row with these halves.
pub(crate) fn id(seq: i64, tail: i64) -> JobId {
    JobId::from_parts(seq.cast_unsigned(), tail.cast_unsigned())
}

/// A row: a job, or what is left of one.
#[derive(Debug)]
pub(crate) enum Found {
    Job(QueueKey, Box<Job>),
    /// The tombstone of a job.
    Gone(JobId, Missing),
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// Why a row does not fit together.
#[derive(Debug, thiserror::Error)]
#[error("job {seq} has {what}")]
struct BadRow {
    seq: i64,
    what: &'static str,
}

fn parsed<T: for<'de> Deserialize<'de>>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(|e| unreadable(column, e))?
    {
        Some(text) => serde_json::from_str(text)
            .map(Some)
            .map_err(|error| unreadable(column, error)),
        None => Ok(None),
    }
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// The job's place in its batch, where it has one.
fn member(row: &Row<'_>) -> rusqlite::Result<Option<Member>> {
    let Some(seq) = row.get::<_, Option<i64>>(18)? else {
        return Ok(None);
    };
    let tail: i64 = row.get(19)?;
    Ok(Some(Member {
        batch: BatchId::from_parts(seq.cast_unsigned(), tail.cast_unsigned()),
        index: row.get::<_, i64>(20)?.unsigned_abs(),
    }))
}

fn phase(row: &Row<'_>, seq: i64, state: i64, member: Option<Member>) -> rusqlite::Result<Phase> {
    let bad = |what| unreadable(3, BadRow { seq, what });
    let outcome = match state {
        state::WAITING => return Ok(Phase::Waiting),
        state::RUNNING => {
            let lease = parsed::<LeaseRow>(row, 15)?.ok_or_else(|| bad("no lease although it runs"))?;
            let lease = lease
                .read(time(row, 10)?)
                .ok_or_else(|| bad("a lease without a start"))?;
            return Ok(Phase::Running(lease));
        }
        2 => Outcome::Succeeded,
        3 => Outcome::Failed,
        4 => Outcome::Cancelled,
        5 => Outcome::Expired,
        _ => return Err(bad("an unknown state")),
    };
    let finished_at = time(row, 11)?.ok_or_else(|| bad("no end although it is done"))?;
    let forever = member.map(|_| Timestamp::MAX);
    // By the clock as it is now.
    let moved: i64 = row.get(25)?;
    let expires_at = row.get::<_, Option<i64>>(12)?;
    let expires_at = expires_at
        .map(|at| Timestamp::from_millis(at.saturating_add(moved)))
        .or(forever);
    let expires_at = expires_at.ok_or_else(|| bad("no retention although it is done"))?;
    Ok(Phase::Done {
        outcome,
        finished_at,
        expires_at,
    })
}

/// The sum of what each step of a job changes; with its place among the ended members of its batch, where it has one.
fn of_step(step: [Option<i64>; 11], place: Option<i64>, texts: [Option<&[u8]>; 2]) -> i64 {
    let [a, b, c, d, e, f, g, h, i, j, k] = step;
    match place {
        None => sum::of(step, texts),
        place => sum::of([a, b, c, d, e, f, g, h, i, j, k, place], texts),
    }
}

/// The sum of whose a job is, its batch and line included where it has one, and of what was asked.
fn of_asked(whose: [Option<i64>; 3], member: Option<[Option<i64>; 3]>, asked: [Option<&[u8]>; 2]) -> i64 {
    let [seq, tail, queue] = whose;
    match member {
        None => sum::of(whose, asked),
        Some([batch, batch_tail, line]) => sum::of([seq, tail, queue, batch, batch_tail, line], asked),
    }
}

/// The sum of where a job's result lies that is not in its row.
pub(crate) fn of_result_at(seq: i64, at: Option<i64>) -> i64 {
    sum::of([Some(seq), at], [])
}

/// Refuses a row, selected by [`select_jobs`], that is not as it was written.
pub(crate) fn check_sums(row: &Row<'_>, seq: i64, queue: QueueKey, state: i64) -> rusqlite::Result<()> {
    let number = |column| row.get::<_, Option<i64>>(column);
    let step = [
        Some(seq),
        Some(state),
        number(4)?,
        number(5)?,
        number(6)?,
        number(7)?,
        number(8)?,
        number(9)?,
        number(10)?,
        number(11)?,
        number(12)?,
    ];
    let place = number(PLACE)?;
    let (lease, settled) = (sum::raw(row, 15)?, sum::raw(row, 17)?);
    sum::check("the state", seq, number(22)?, || {
        of_step(step, place, [lease, settled])
    })?;
    let whose = [Some(seq), number(1)?, Some(queue)];
    let member = match number(18)? {
        None => None,
        batch => Some([batch, number(19)?, number(20)?]),
    };
    let asked = [sum::raw(row, 13)?, sum::raw(row, 14)?];
    sum::check("the options", seq, number(23)?, || of_asked(whose, member, asked))?;
    let history = sum::raw(row, 16)?;
    sum::check("the history", seq, number(24)?, || {
        sum::of([Some(seq)], [history])
    })
}

/// Refuses a tombstone that is a job: what is left of one has no sums.
pub(crate) fn check_tombstone(row: &Row<'_>, seq: i64) -> rusqlite::Result<()> {
    let asked: Option<i64> = row.get(23)?;
    let what = "the sums of a job that is there";
    asked.map_or(Ok(()), |_| Err(unreadable(3, BadRow { seq, what })))
}

/// Reads the row that a query by [`select_jobs`] gave.
pub(crate) fn read(row: &Row<'_>, names: &QueueNames) -> rusqlite::Result<Found> {
    let seq: i64 = row.get(0)?;
    let queue: QueueKey = row.get(2)?;
    let state: i64 = row.get(3)?;
    let missing = match state {
        state::DELETED => Some(Missing::Deleted),
        state::PRUNED => Some(Missing::Expired),
        _ => None,
    };
    if let Some(missing) = missing {
        check_tombstone(row, seq)?;
        return Ok(Found::Gone(id(seq, row.get(1)?), missing));
    }
    check_sums(row, seq, queue, state)?;
    let bad = |what| unreadable(2, BadRow { seq, what });
    let (namespace, name) = names.get(&queue).ok_or_else(|| bad("an unknown queue"))?;
    let id = id(seq, row.get(1)?);
    let member = member(row)?;
    let mut history: History = parsed(row, 16)?.unwrap_or_default();
    let said = Said {
        started_at: time(row, 10)?,
        finished_at: time(row, 11)?,
    };
    let attempts = std::mem::take(&mut history.attempts).into_iter();
    let attempts: Option<Vec<_>> = attempts.map(|attempt| attempt.read(said)).collect();
    let group = row.get_ref(13)?.as_str_or_null().map_err(|e| unreadable(13, e))?;
    let settled = match row.get::<_, Option<[u8; 28]>>(17)? {
        Some(bytes) => {
            let mut settled = Settled {
                nonce: Nonce([0; 12]),
                digest: [0; 16],
            };
            settled.nonce.0.copy_from_slice(&bytes[..12]);
            settled.digest.copy_from_slice(&bytes[12..]);
            Some(settled)
        }
        None => None,
    };
    let job = Job {
        id,
        namespace: namespace.clone(),
        queue: name.clone(),
        group: group
            .map(GroupName::new)
            .transpose()
            .map_err(|error| unreadable(13, error))?,
        priority: row.get(4)?,
        options: parsed::<Options>(row, 14)?
            .map(JobOptions::from)
            .unwrap_or_default(),
        created_at: history
            .created
            .map_or_else(|| id.created_at(), Timestamp::from_millis),
        run_at: Timestamp::from_millis(row.get(9)?),
        since: Since {
            accepted: history.accepted_since.map(Timestamp::from_millis),
            due: history.due_since.map(Timestamp::from_millis),
        },
        started_at: time(row, 10)?,
        phase: phase(row, seq, state, member)?,
        version: row.get(5)?,
        attempt: row.get(6)?,
        fence: Fence(row.get(7)?),
        cancel_requested: row.get(8)?,
        attempts: attempts.ok_or_else(|| {
            unreadable(
                16,
                BadRow {
                    seq,
                    what: "an attempt without its times",
                },
            )
        })?,
        error: history.error,
        settled,
        retry_of: history.retry_of,
        retried_as: history.retried_as,
        member,
    };
    Ok(Found::Job(queue, Box::new(job)))
}

/// The row with this key, whatever its id's other half.
pub(crate) fn load_key(conn: &Connection, names: &QueueNames, seq: i64) -> rusqlite::Result<Option<Found>> {
    let mut select = conn.prepare_cached(BY_KEY)?;
    let mut rows = select.query([seq])?;
    rows.next()?.map(|row| read(row, names)).transpose()
}

/// The job with this id in this namespace.
pub(crate) fn load(
    conn: &Connection,
    names: &QueueNames,
    ns: &Namespace,
    id: JobId,
) -> rusqlite::Result<Result<(QueueKey, Job), Missing>> {
    let mut select = conn.prepare_cached(BY_KEY)?;
    let mut rows = select.query([key(id)])?;
    let Some(row) = rows.next()? else {
        return Ok(Err(Missing::Unknown));
    };
    let same_tail = row.get::<_, i64>(1)? == id.tail().cast_signed();
    let queue: QueueKey = row.get(2)?;
    let same_namespace = names.get(&queue).is_some_and(|(owner, _)| owner == ns);
    if !same_tail || !same_namespace {
        return Ok(Err(Missing::Unknown));
    }
    Ok(match read(row, names)? {
        Found::Job(queue, job) => Ok((queue, *job)),
        Found::Gone(_, missing) => Err(missing),
    })
}

/// Headers as a column.
pub(crate) fn headers_text(headers: &[Header]) -> rusqlite::Result<Option<String>> {
    if headers.is_empty() {
        Ok(None)
    } else {
        json(&headers).map(Some)
    }
}

/// Headers from a column.
pub(crate) fn headers(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Header>> {
    Ok(parsed(row, column)?.unwrap_or_default())
}
