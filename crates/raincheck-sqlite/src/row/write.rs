//! A job on its way into its row.
//!
//! Invariant: what is written here is what [`read`](super::read) reads.

use std::cell::RefCell;

use raincheck_core::batch::Member;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::{Job, Phase};
use raincheck_core::name::GroupName;
use raincheck_core::time::Timestamp;
use rusqlite::{Connection, params};

use super::beside::Beside;
use super::statements::{AT_ONCE, CLAIM_JOB, END, END_MEMBER, Kept, Left, Values};
use super::texts::OptionsText;
use super::{QueueKey, key, of_asked, of_result_at, of_step, outcome_state, state, statements, texts};
use crate::memory::New;
use crate::sum;

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
    let mut text = OptionsText::default();
    let options = text.of(&job.options)?;
    let sum = asked_sum(job, queue, options);
    update.execute(params![key(job.id), options, sum])?;
    Ok(())
}

/// Writes the rows of jobs.
pub(crate) trait WriteRows {
    /// Inserts jobs that were just accepted, and perhaps claimed, with their inputs where those go into the rows.
    fn insert(&self, jobs: &[New]) -> rusqlite::Result<()>;

    /// Inserts a result that lies beside its job's row, at this key; `emitted` names the claim whose output is its body already.
    fn insert_result(
        &self,
        at: i64,
        id: JobId,
        result: &JobResult,
        emitted: Option<Fence>,
    ) -> rusqlite::Result<()>;

    /// Writes a job's next state back, with what its end left, and its place among the members of its batch that have
    /// ended where it ends as one. The clock was `moved` by so much, in all.
    fn write(
        &self,
        before: &Job,
        job: &Job,
        left: Left<'_>,
        place: Option<u64>,
        moved: i64,
    ) -> rusqlite::Result<()>;
}

/// What writes the rows of jobs: the statements that every job needs, and room for the texts in it.
pub(crate) struct Rows<'c> {
    conn: &'c Connection,
    insert: [Kept<'c>; 3],
    insert_members: [Kept<'c>; 3],
    claim: Kept<'c>,
    end: [Kept<'c>; 3],
    end_member: [Kept<'c>; 3],
    beside: Beside<'c>,
    options: RefCell<OptionsText>,
    lease: RefCell<String>,
    history: RefCell<String>,
}

impl<'c> Rows<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self {
            conn,
            insert: AT_ONCE.map(|rows| Kept::new(statements::insert(false, rows))),
            insert_members: AT_ONCE.map(|rows| Kept::new(statements::insert(true, rows))),
            claim: Kept::new(CLAIM_JOB),
            end: END.map(Kept::new),
            end_member: END_MEMBER.map(Kept::new),
            beside: Beside::new(),
            options: RefCell::default(),
            lease: RefCell::default(),
            history: RefCell::default(),
        }
    }
}

impl WriteRows for Rows<'_> {
    fn insert(&self, jobs: &[New]) -> rusqlite::Result<()> {
        let mut rest = jobs;
        while let Some(first) = rest.first() {
            let members = first.job.member.is_some();
            let alike = rest.iter().take_while(|new| new.job.member.is_some() == members);
            let alike = alike.take(AT_ONCE[0]).count();
            let statements = if members {
                &self.insert_members
            } else {
                &self.insert
            };
            let fitting = AT_ONCE
                .iter()
                .zip(statements)
                .find(|(at_once, _)| **at_once <= alike);
            let Some((at_once, insert)) = fitting else { break };
            let (these, others) = rest.split_at(*at_once);
            insert.run(self.conn, |values| {
                these.iter().try_for_each(|new| self.put_new(values, new))
            })?;
            rest = others;
        }
        Ok(())
    }

    fn insert_result(
        &self,
        at: i64,
        id: JobId,
        result: &JobResult,
        emitted: Option<Fence>,
    ) -> rusqlite::Result<()> {
        self.beside.insert(self.conn, (at, id), result, emitted)
    }

    /// The two steps that every job takes, to be claimed and to end, name only the columns that they change: SQLite then
    /// looks at no index that they leave alone.
    fn write(
        &self,
        before: &Job,
        job: &Job,
        left: Left<'_>,
        place: Option<u64>,
        moved: i64,
    ) -> rusqlite::Result<()> {
        let place = place.map(u64::cast_signed);
        match (&before.phase, &job.phase) {
            (Phase::Waiting, Phase::Running(_)) => self.write_claimed(job),
            (Phase::Running(_), Phase::Done { .. }) => self.write_ended(job, left, place, moved),
            _ => {
                debug_assert!(
                    matches!(left, Left::Nothing),
                    "only the end of an attempt leaves a result"
                );
                let place = match (place, job.member) {
                    // It ended before and keeps its place.
                    (None, Some(_)) if job.done() => place_of(self.conn, job)?,
                    (place, _) => place,
                };
                self.write_all(job, place, moved)?;
                if place.is_some() {
                    self.conn
                        .prepare_cached("UPDATE jobs SET batch_place = ?2 WHERE seq = ?1")?
                        .execute(params![key(job.id), place])?;
                }
                Ok(())
            }
        }
    }
}

impl Rows<'_> {
    /// One job of those that are inserted.
    fn put_new(&self, values: &mut Values<'_, '_>, new: &New) -> rusqlite::Result<()> {
        let New {
            queue,
            job,
            idempotency,
            input,
        } = new;
        let mut options = self.options.borrow_mut();
        let options = options.of(&job.options)?;
        let (mut lease, mut history) = (self.lease.borrow_mut(), self.history.borrow_mut());
        let lease = lease_text(&mut lease, job)?;
        let history = history_text(&mut history, job)?;
        let (seq, (state, ..)) = (key(job.id), phase_columns(job, 0));
        let input = input.as_ref();
        let content_type = input.and_then(|input| input.content_type.as_deref());
        let input_sum = |input: &Input| {
            let texts = [content_type.map(str::as_bytes), Some(&*input.body)];
            sum::of([Some(seq)], texts)
        };
        values
            .put(seq)?
            .put(job.id.tail().cast_signed())?
            .put(queue)?
            .put(job.priority)?
            .put(job.run_at.as_millis())?
            .put(job.group.as_ref().map(GroupName::as_str))?
            .put(options)?
            .put(history)?
            .put(idempotency.as_deref())?
            .put(content_type)?
            .put(input.map(|input| &*input.body))?
            .put(step_sum(job, lease, None, 0))?
            .put(asked_sum(job, *queue, options))?
            .put(history_sum(job, history))?
            .put(input.map(input_sum))?
            .put(state)?
            .put(job.version)?
            .put(job.attempt)?
            .put(job.fence.0)?
            .put(job.started_at.map(Timestamp::as_millis))?
            .put(lease)?;
        for column in job.member.into_iter().flat_map(member_columns) {
            values.put(column)?;
        }
        Ok(())
    }

    fn write_claimed(&self, job: &Job) -> rusqlite::Result<()> {
        let mut lease = self.lease.borrow_mut();
        let lease = lease_text(&mut lease, job)?;
        self.claim.run(self.conn, |values| {
            values
                .put(key(job.id))?
                .put(job.version)?
                .put(job.attempt)?
                .put(job.fence.0)?
                .put(job.started_at.map(Timestamp::as_millis))?
                .put(lease)?
                .put(step_sum(job, lease, None, 0))?;
            Ok(())
        })
    }

    fn write_ended(&self, job: &Job, left: Left<'_>, place: Option<i64>, moved: i64) -> rusqlite::Result<()> {
        let end = if place.is_some() {
            &self.end_member
        } else {
            &self.end
        };
        let mut history = self.history.borrow_mut();
        let history = history_text(&mut history, job)?;
        let (seq, (state, finished_at, expires_at)) = (key(job.id), phase_columns(job, moved));
        end[left.index()].run(self.conn, |values| {
            values
                .put(seq)?
                .put(state)?
                .put(job.version)?
                .put(job.attempt)?
                .put(job.cancel_requested)?
                .put(finished_at)?
                .put(history)?
                .put(settled_bytes(job))?
                .put(step_sum(job, None, place, moved))?
                .put(history_sum(job, history))?
                .put(place.or(expires_at))?;
            match left {
                Left::Nothing => {}
                Left::InRow(result) => {
                    let content_type = result.content_type.as_deref();
                    let numbers = [Some(seq), Some(result.status.into())];
                    let sum = sum::of(numbers, [content_type.map(str::as_bytes), Some(&result.body)]);
                    values
                        .put(sum)?
                        .put(result.status)?
                        .put(content_type)?
                        .put(&*result.body)?;
                }
                Left::Beside(at) => {
                    values.put(of_result_at(seq, Some(at)))?.put(at)?;
                }
            }
            Ok(())
        })
    }

    fn write_all(&self, job: &Job, place: Option<i64>, moved: i64) -> rusqlite::Result<()> {
        let (state, finished_at, expires_at) = phase_columns(job, moved);
        let mut update = self.conn.prepare_cached(
            "UPDATE jobs SET state = ?2, version = ?3, attempt = ?4, fence = ?5, cancelling = ?6, run_at = ?7, started_at = ?8, \
             finished_at = ?9, expires_at = ?10, lease = ?11, history = ?12, settled = ?13, priority = ?14, sum = ?15, \
             history_sum = ?16 WHERE seq = ?1",
        )?;
        let (mut lease, mut history) = (self.lease.borrow_mut(), self.history.borrow_mut());
        let lease = lease_text(&mut lease, job)?;
        let history = history_text(&mut history, job)?;
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
            step_sum(job, lease, place, moved),
            history_sum(job, history),
        ])?;
        Ok(())
    }
}

fn lease_text<'t>(text: &'t mut String, job: &Job) -> rusqlite::Result<Option<&'t str>> {
    let Some(lease) = job.lease() else { return Ok(None) };
    texts::lease(text, lease, job.started_at)?;
    Ok(Some(text))
}

fn history_text<'t>(text: &'t mut String, job: &Job) -> rusqlite::Result<Option<&'t str>> {
    texts::history(text, job)?;
    Ok(Some(&**text).filter(|text| !text.is_empty()))
}

fn place_of(conn: &Connection, job: &Job) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT batch_place FROM jobs WHERE seq = ?1")?
        .query_row([key(job.id)], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use raincheck_core::batch::BatchId;
    use raincheck_core::name::{Namespace, QueueName};

    use super::super::{Found, QueueNames, load_key};
    use super::*;
    use crate::{fuzz, schema};

    /// The n-th job: every third runs, and those from `members` on are of a batch.
    fn nth(n: u64, members: u64) -> New {
        let mut job = fuzz::job(n);
        if n.is_multiple_of(3) {
            job = fuzz::running(&job);
        }
        job.member = (n >= members).then(|| Member {
            batch: BatchId::from_parts(7, 8),
            index: n,
        });
        New {
            queue: 1,
            job: Arc::new(job),
            idempotency: n.is_multiple_of(5).then(|| n.to_string()),
            input: n.is_multiple_of(2).then(fuzz::input),
        }
    }

    #[test]
    fn jobs_that_are_inserted_together_are_read_as_they_were() {
        let names = QueueNames::from([(1, (Namespace::default(), QueueName::new("q").unwrap()))]);
        for count in [1_u64, 3, 4, 5, 15, 16, 17, 37, 40] {
            for members in [0, count / 2, count] {
                let conn = schema::in_memory().unwrap();
                let all: Vec<_> = (0..count).map(|n| nth(n, members)).collect();
                Rows::new(&conn).insert(&all).unwrap();
                for new in &all {
                    let Ok(Some(Found::Job(1, job))) = load_key(&conn, &names, key(new.job.id)) else {
                        panic!("{count} {members} {:?}", new.job);
                    };
                    assert_eq!(*job, *new.job, "{count} {members}");
                    let input = crate::body::input(&conn, job.id).unwrap();
                    assert_eq!(input.is_some(), new.input.is_some(), "{count} {members}");
                }
            }
        }
    }
}
