//! Accepting jobs, and recognising those that were accepted before.

use std::sync::Arc;

use raincheck_core::content::Input;
use raincheck_core::decide::{self, Backlog, Contest, IdempotencyMatch, NewJob};
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::{
    Change, ChangeRefused, Idempotency, Retry, Submission, SubmitRefused, Submitted,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::settle::moved;
use super::{put_tags, queues, unique};
use crate::body;
use crate::memory::New;
use crate::row::{self, Found, QueueKey};
use crate::sum;
use crate::tx::Tx;

type Answer = Result<Submitted, SubmitRefused>;

/// Accepts one job.
pub(crate) fn submit(tx: &mut Tx<'_>, ns: &Namespace, submission: &Submission) -> rusqlite::Result<Answer> {
    let new = &submission.job;
    if let Some(idempotency) = &submission.idempotency
        && let Some(answer) = replay(tx, ns, &new.queue, idempotency)?
    {
        return Ok(answer);
    }
    let key = match there(tx, ns, &new.queue) {
        None if submission.create_queue => {
            queues::create(tx, ns, &new.queue)?;
            there(tx, ns, &new.queue)
        }
        key => key,
    };
    let Some(key) = key else {
        return Ok(Err(SubmitRefused::UnknownQueue));
    };
    let idempotency = submission.idempotency.as_ref();
    let contest = unique::contest(tx, key, new)?;
    if let Some((holder, Contest::Attached)) = contest {
        if let Some(idempotency) = idempotency {
            attach(tx, key, holder.id, idempotency)?;
        }
        return Ok(Ok(Submitted::Attached(holder)));
    }
    if let Err(refused) = admit(tx, key, contest, &submission.input)? {
        return Ok(Err(refused));
    }
    accept(tx, key, new, &submission.input, idempotency)?;
    Ok(Ok(Submitted::Created))
}

/// The queue's key, where it exists.
fn there(tx: &Tx<'_>, ns: &Namespace, name: &QueueName) -> Option<QueueKey> {
    tx.memory.queue(ns, name).map(|(key, _)| key)
}

/// Whether the job's value is its to take and the queue has room. Where it takes the place of another, that one has
/// ended when this returns.
fn admit(
    tx: &mut Tx<'_>,
    key: QueueKey,
    contest: Option<(Arc<Job>, Contest)>,
    input: &Input,
) -> rusqlite::Result<Result<(), SubmitRefused>> {
    if contest.is_some() {
        // What the other one holds is read from its rows.
        tx.write_new()?;
    }
    let Some(memory) = tx.memory.queues.get(&key) else {
        return Ok(Ok(()));
    };
    let waiting = Backlog {
        jobs: memory.counts().waiting(),
        bytes: memory.bytes.unwrap_or(0),
    };
    let (queue, size) = (memory.queue.clone(), input.body.len() as u64);
    let room = |replaced| {
        let queue = queue.as_deref();
        queue.map_or(Ok(()), |queue| decide::admit(queue, waiting, replaced, size))
    };
    Ok(match contest {
        Some((holder, Contest::Refused(_))) => Err(SubmitRefused::UniqueConflict { holder: holder.id }),
        Some((holder, Contest::Replaced(ended))) => {
            // What it holds matters only where bytes are bounded.
            let replaced = match memory.bytes {
                Some(_) => body::input_bytes(tx.conn, holder.id)?,
                None => 0,
            };
            let room = room(Some(replaced));
            if room.is_ok() {
                moved(tx, key, &holder, *ended)?;
            }
            room
        }
        Some((_, Contest::Attached | Contest::TakenOver)) | None => room(None),
    })
}

fn accept(
    tx: &mut Tx<'_>,
    key: QueueKey,
    new: &NewJob,
    input: &Input,
    idempotency: Option<&Idempotency>,
) -> rusqlite::Result<Arc<Job>> {
    let job = decide::submit_at(new, tx.now);
    let small = body::small_input(input);
    let word = idempotency.map(|idempotency| idempotency.key.as_str());
    if small.is_none() {
        body::put_input(tx.conn, job.id, input)?;
    }
    put_tags(tx.conn, &job)?;
    unique::take(tx.conn, key, &job)?;
    if let Some(idempotency) = idempotency {
        put_key(tx.conn, key, job.id, idempotency)?;
    }
    let job = Arc::new(job);
    tx.memory.unwritten.put(New {
        queue: key,
        job: Arc::clone(&job),
        idempotency: word.map(str::to_owned),
        input: small.cloned(),
    });
    tx.accepted(key, Arc::clone(&job), input);
    Ok(job)
}

fn put_key(conn: &Connection, queue: QueueKey, id: JobId, idempotency: &Idempotency) -> rusqlite::Result<()> {
    let mut insert = conn
        .prepare_cached(
            "INSERT INTO idempotency (queue, key, seq, fingerprint, sum) VALUES (?1, ?2, ?3, ?4, row_sum(?1, ?2, ?3, ?4))",
        )?;
    insert.execute(params![
        queue,
        idempotency.key,
        row::key(id),
        idempotency.fingerprint
    ])?;
    Ok(())
}

/// Points a key at the job of another request, to die with it.
fn attach(tx: &Tx<'_>, key: QueueKey, id: JobId, idempotency: &Idempotency) -> rusqlite::Result<()> {
    put_key(tx.conn, key, id, idempotency)?;
    let mut insert = tx
        .conn
        .prepare_cached("INSERT INTO attached_keys (seq, key, sum) VALUES (?1, ?2, row_sum(?1, ?2))")?;
    insert.execute(params![row::key(id), idempotency.key])?;
    Ok(())
}

/// What the key says of the request, where it is known.
pub(crate) fn replay(
    tx: &Tx<'_>,
    ns: &Namespace,
    queue: &QueueName,
    idempotency: &Idempotency,
) -> rusqlite::Result<Option<Answer>> {
    let Some(key) = tx.memory.key(ns, queue) else {
        return Ok(None);
    };
    let mut select = tx.conn.prepare_cached(concat!(
        "SELECT seq, fingerprint, ",
        sum::is_whole!(idempotency),
        " FROM idempotency WHERE queue = ?1 AND key = ?2"
    ))?;
    let kept = select.query_row(params![key, idempotency.key], |row| {
        sum::whole(row, 2, "an idempotency key")?;
        Ok((row.get::<_, i64>(0)?, row.get(1)?))
    });
    let Some((seq, fingerprint)) = kept.optional()? else {
        return Ok(None);
    };
    if decide::idempotency(&fingerprint, &idempotency.fingerprint) == IdempotencyMatch::Mismatch {
        return Ok(Some(Err(SubmitRefused::IdempotencyMismatch)));
    }
    if let Some(new) = tx.memory.unwritten.get(seq.cast_unsigned()) {
        let (job, id) = (Arc::clone(&new.job), new.job.id);
        return Ok(Some(Ok(Submitted::Replayed(Ok(job), id))));
    }
    // The key's row dies with the job's, so there is one.
    let found = row::load_key(tx.conn, &tx.memory.names, seq)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Some(Ok(match found {
        Found::Job(_, job) => {
            let id = job.id;
            Submitted::Replayed(Ok(Arc::from(job)), id)
        }
        Found::Gone(id, missing) => Submitted::Replayed(Err(missing), id),
    })))
}

/// Submits a finished job again.
pub(crate) fn retry(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    retry: &Retry,
) -> rusqlite::Result<Result<Arc<Job>, ChangeRefused>> {
    let (key, job) = match tx.load(ns, retry.id)? {
        Ok(found) => found,
        Err(missing) => return Ok(Err(missing.into())),
    };
    if let Some(earlier) = job.retried_as
        && let Ok((_, earlier)) = tx.load(ns, earlier)?
        && !earlier.done()
    {
        return Ok(Ok(earlier));
    }
    let Ok((new, retried)) = decide::retry(&job, retry.new_id) else {
        return Ok(Err(ChangeRefused::NotDone));
    };
    if there(tx, ns, &job.queue).is_none() {
        return Ok(Err(SubmitRefused::UnknownQueue.into()));
    }
    let contest = unique::contest(tx, key, &new)?;
    let input = tx.input(job.id)?;
    if let Err(refused) = admit(tx, key, contest, &input)? {
        return Ok(Err(refused.into()));
    }
    let retried = Arc::new(retried);
    let new = accept(tx, key, &new, &input, None)?;
    tx.store(key, &job, &retried)?;
    let result = body::result(tx.conn, job.id)?.map(Arc::new);
    tx.tell(Change { job: retried, result });
    Ok(Ok(new))
}
