//! A job on its way into its row.
//!
//! Invariant: what is written here is what [`read`](super::read) reads.

use raincheck_core::batch::Member;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::job::{Attempt, Job, Phase, Since};
use raincheck_core::lease::Lease;
use raincheck_core::name::GroupName;
use raincheck_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::{AttemptRow, History, LeaseRow, QueueKey, json, key, of_asked, of_step, outcome_state, state};
use crate::sum;

fn lease_text(lease: &Lease) -> rusqlite::Result<String> {
    json(&LeaseRow {
        nonce: lease.nonce,
        worker: lease.worker.clone(),
        kind: lease.kind,
        started: lease.started_at.as_millis(),
        term: u64::try_from(lease.term.as_millis()).unwrap_or(u64::MAX),
        expires: lease.expires_at.as_millis(),
        deadline: lease.attempt_deadline.as_millis(),
        cancel_by: lease.cancel_by.map(Timestamp::as_millis),
        claim_id: lease.claim_id.clone(),
        progress: lease.progress.clone(),
    })
}

fn history_text(job: &Job) -> rusqlite::Result<Option<String>> {
    let created = (job.created_at != job.id.created_at()).then(|| job.created_at.as_millis());
    let links = job.retry_of.is_some() || job.retried_as.is_some();
    let set = job.since != Since::default();
    if job.attempts.is_empty() && job.error.is_none() && !links && created.is_none() && !set {
        return Ok(None);
    }
    let row = |attempt: &Attempt| AttemptRow {
        n: attempt.n,
        worker: attempt.worker.clone(),
        started: attempt.started_at.as_millis(),
        ended: attempt.ended_at.as_millis(),
        outcome: attempt.outcome,
        error: attempt.error.clone(),
    };
    let history = History {
        attempts: job.attempts.iter().map(row).collect(),
        error: job.error.clone(),
        retry_of: job.retry_of,
        retried_as: job.retried_as,
        created,
        accepted_since: job.since.accepted.map(Timestamp::as_millis),
        due_since: job.since.due.map(Timestamp::as_millis),
    };
    json(&history).map(Some)
}

fn settled_bytes(job: &Job) -> Option<[u8; 28]> {
    job.settled.map(|settled| {
        let mut bytes = [0; 28];
        bytes[..12].copy_from_slice(&settled.nonce.0);
        bytes[12..].copy_from_slice(&settled.digest);
        bytes
    })
}

/// The phase's columns: state, finished_at, expires_at, which is kept by the time without what the clock was set by.
fn phase_columns(job: &Job, moved: i64) -> (i64, Option<i64>, Option<i64>) {
    match &job.phase {
        Phase::Waiting => (state::WAITING, None, None),
        Phase::Running(_) => (state::RUNNING, None, None),
        Phase::Done {
            outcome,
            finished_at,
            expires_at,
        } => (
            outcome_state(*outcome),
            Some(finished_at.as_millis()),
            // A member goes with its batch: its own row is never due.
            job.member
                .is_none()
                .then(|| expires_at.as_millis().saturating_sub(moved)),
        ),
    }
}

/// A member's columns: batch, batch_tail, batch_index.
fn member_columns(member: Member) -> [i64; 3] {
    let index = i64::try_from(member.index).unwrap_or(i64::MAX);
    [
        member.batch.seq().cast_signed(),
        member.batch.tail().cast_signed(),
        index,
    ]
}

/// Inserts a job, with some columns more.
macro_rules! insert_job {
    ($columns:literal, $values:literal) => {
        concat!(
            "INSERT INTO jobs (seq, tail, queue, priority, run_at, job_group, options, history, idempotency, input_type, input, ",
            "sum, asked_sum, history_sum, input_sum, state, version, attempt, fence, started_at, lease, cancelling",
            $columns,
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, 0",
            $values,
            ")"
        )
    };
}

/// Inserts a job that was just accepted, and perhaps claimed, with its input where that goes into the row.
pub(crate) fn insert(
    conn: &Connection,
    job: &Job,
    queue: QueueKey,
    idempotency: Option<&str>,
    input: Option<&Input>,
) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(if job.member.is_some() {
        insert_job!(", batch, batch_tail, batch_index", ", ?22, ?23, ?24")
    } else {
        insert_job!("", "")
    })?;
    if let Some(member) = job.member {
        for (column, value) in (22..).zip(member_columns(member)) {
            insert.raw_bind_parameter(column, value)?;
        }
    }
    let (options, history) = (options_text(job)?, history_text(job)?);
    let lease = job.lease().map(lease_text).transpose()?;
    let (state, ..) = phase_columns(job, 0);
    let content_type = input.and_then(|input| input.content_type.as_deref());
    let common = params![
        key(job.id),
        job.id.tail().cast_signed(),
        queue,
        job.priority,
        job.run_at.as_millis(),
        job.group.as_ref().map(GroupName::as_str),
        options,
        history,
        idempotency,
        content_type,
        input.map(|input| &*input.body),
        step_sum(job, lease.as_deref(), None, 0),
        asked_sum(job, queue, options.as_deref()),
        history_sum(job, history.as_deref()),
        input.map(|input| sum::of(
            [Some(key(job.id))],
            [content_type.map(str::as_bytes), Some(&input.body)]
        )),
        state,
        job.version,
        job.attempt,
        job.fence.0,
        job.started_at.map(Timestamp::as_millis),
        lease,
    ];
    for (index, value) in common.iter().enumerate() {
        insert.raw_bind_parameter(index + 1, value)?;
    }
    insert.raw_execute()?;
    Ok(())
}

fn options_text(job: &Job) -> rusqlite::Result<Option<String>> {
    if job.options.is_empty() {
        Ok(None)
    } else {
        json(&job.options).map(Some)
    }
}

/// The sum of what each step of the job changes.
fn step_sum(job: &Job, lease: Option<&str>, place: Option<i64>, moved: i64) -> i64 {
    let (state, finished_at, expires_at) = phase_columns(job, moved);
    let settled = settled_bytes(job);
    let numbers = [
        Some(key(job.id)),
        Some(state),
        Some(job.priority.into()),
        Some(job.version.into()),
        Some(job.attempt.into()),
        Some(job.fence.0.into()),
        Some(job.cancel_requested.into()),
        Some(job.run_at.as_millis()),
        job.started_at.map(Timestamp::as_millis),
        finished_at,
        expires_at,
    ];
    let settled = settled.as_ref().map(<[u8; 28]>::as_slice);
    of_step(numbers, place, [lease.map(str::as_bytes), settled])
}

fn asked_sum(job: &Job, queue: QueueKey, options: Option<&str>) -> i64 {
    let whose = [Some(key(job.id)), Some(job.id.tail().cast_signed()), Some(queue)];
    let group = job.group.as_ref().map(|group| group.as_str().as_bytes());
    let member = job.member.map(|member| member_columns(member).map(Some));
    of_asked(whose, member, [group, options.map(str::as_bytes)])
}

fn history_sum(job: &Job, history: Option<&str>) -> i64 {
    sum::of([Some(key(job.id))], [history.map(str::as_bytes)])
}

/// Writes a job's options back, which only a patch changes.
pub(crate) fn write_options(conn: &Connection, queue: QueueKey, job: &Job) -> rusqlite::Result<()> {
    let mut update = conn.prepare_cached("UPDATE jobs SET options = ?2, asked_sum = ?3 WHERE seq = ?1")?;
    let options = options_text(job)?;
    let sum = asked_sum(job, queue, options.as_deref());
    update.execute(params![key(job.id), options, sum])?;
    Ok(())
}

/// Writes a job's next state back, with its result where that goes into the row, and its place among the members of its batch that have
/// ended where it ends as one. The clock was `moved` by so much, in all.
///
/// The two steps that every job takes, to be claimed and to end, name only the columns that they change: SQLite then
/// looks at no index that they leave alone.
pub(crate) fn write(
    conn: &Connection,
    before: &Job,
    job: &Job,
    result: Option<&JobResult>,
    place: Option<u64>,
    moved: i64,
) -> rusqlite::Result<()> {
    let place = place.map(u64::cast_signed);
    match (&before.phase, &job.phase) {
        (Phase::Waiting, Phase::Running(lease)) => write_claimed(conn, job, lease),
        (Phase::Running(_), Phase::Done { .. }) => write_ended(conn, job, result, place, moved),
        _ => {
            debug_assert!(result.is_none(), "only the end of an attempt leaves a result");
            let place = match (place, job.member) {
                // It ended before and keeps its place.
                (None, Some(_)) if job.done() => place_of(conn, job)?,
                (place, _) => place,
            };
            write_all(conn, job, place, moved)?;
            if place.is_some() {
                conn.prepare_cached("UPDATE jobs SET batch_place = ?2 WHERE seq = ?1")?
                    .execute(params![key(job.id), place])?;
            }
            Ok(())
        }
    }
}

fn write_claimed(conn: &Connection, job: &Job, lease: &Lease) -> rusqlite::Result<()> {
    let mut update = conn.prepare_cached(
        "UPDATE jobs SET state = 1, version = ?2, attempt = ?3, fence = ?4, started_at = ?5, lease = ?6, settled = NULL, \
         sum = ?7 WHERE seq = ?1",
    )?;
    let lease = lease_text(lease)?;
    update.execute(params![
        key(job.id),
        job.version,
        job.attempt,
        job.fence.0,
        job.started_at.map(Timestamp::as_millis),
        lease,
        step_sum(job, Some(&lease), None, 0),
    ])?;
    Ok(())
}

/// Ends a job that ran, with some columns more.
macro_rules! end_job {
    ($more:literal) => {
        concat!(
            "UPDATE jobs SET state = ?2, version = ?3, attempt = ?4, cancelling = ?5, finished_at = ?6, ",
            "expires_at = ?7, lease = NULL, history = ?8, settled = ?9, sum = ?10, history_sum = ?11",
            $more,
            " WHERE seq = ?1"
        )
    };
}

fn write_ended(
    conn: &Connection,
    job: &Job,
    result: Option<&JobResult>,
    place: Option<i64>,
    moved: i64,
) -> rusqlite::Result<()> {
    let (state, finished_at, expires_at) = phase_columns(job, moved);
    let mut update = conn.prepare_cached(match (result, place) {
        (Some(_), None) => {
            end_job!(", result_status = ?12, result_type = ?13, result = ?14, result_sum = ?15")
        }
        (Some(_), Some(_)) => end_job!(
            ", result_status = ?12, result_type = ?13, result = ?14, result_sum = ?15, batch_place = ?16"
        ),
        (None, Some(_)) => end_job!(", batch_place = ?12"),
        (None, None) => end_job!(""),
    })?;
    if place.is_some() {
        update.raw_bind_parameter(if result.is_some() { 16 } else { 12 }, place)?;
    }
    if let Some(result) = result {
        let content_type = result.content_type.as_deref();
        update.raw_bind_parameter(12, result.status)?;
        update.raw_bind_parameter(13, content_type)?;
        update.raw_bind_parameter(14, &*result.body)?;
        let numbers = [Some(key(job.id)), Some(result.status.into())];
        let sum = sum::of(numbers, [content_type.map(str::as_bytes), Some(&result.body)]);
        update.raw_bind_parameter(15, sum)?;
    }
    update.raw_bind_parameter(1, key(job.id))?;
    update.raw_bind_parameter(2, state)?;
    update.raw_bind_parameter(3, job.version)?;
    update.raw_bind_parameter(4, job.attempt)?;
    update.raw_bind_parameter(5, job.cancel_requested)?;
    update.raw_bind_parameter(6, finished_at)?;
    update.raw_bind_parameter(7, expires_at)?;
    let history = history_text(job)?;
    update.raw_bind_parameter(8, history.as_deref())?;
    update.raw_bind_parameter(9, settled_bytes(job))?;
    update.raw_bind_parameter(10, step_sum(job, None, place, moved))?;
    update.raw_bind_parameter(11, history_sum(job, history.as_deref()))?;
    update.raw_execute()?;
    Ok(())
}

fn place_of(conn: &Connection, job: &Job) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT batch_place FROM jobs WHERE seq = ?1")?
        .query_row([key(job.id)], |row| row.get(0))
}

fn write_all(conn: &Connection, job: &Job, place: Option<i64>, moved: i64) -> rusqlite::Result<()> {
    let (state, finished_at, expires_at) = phase_columns(job, moved);
    let mut update = conn.prepare_cached(
        "UPDATE jobs SET state = ?2, version = ?3, attempt = ?4, fence = ?5, cancelling = ?6, run_at = ?7, started_at = ?8, \
         finished_at = ?9, expires_at = ?10, lease = ?11, history = ?12, settled = ?13, priority = ?14, sum = ?15, \
         history_sum = ?16 WHERE seq = ?1",
    )?;
    let (lease, history) = (job.lease().map(lease_text).transpose()?, history_text(job)?);
    update.execute(params![
        key(job.id),
        state,
        job.version,
        job.attempt,
        job.fence.0,
        job.cancel_requested,
        job.run_at.as_millis(),
        job.started_at.map(Timestamp::as_millis),
        finished_at,
        expires_at,
        lease,
        history,
        settled_bytes(job),
        job.priority,
        step_sum(job, lease.as_deref(), place, moved),
        history_sum(job, history.as_deref()),
    ])?;
    Ok(())
}
