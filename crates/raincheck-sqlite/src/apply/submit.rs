//! Accepting jobs, and recognising those that were accepted before.

use std::sync::Arc;

use raincheck_core::content::Input;
use raincheck_core::decide::{self, IdempotencyMatch, NewJob};
use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::{
    Change, ChangeRefused, Idempotency, Retry, Submission, SubmitRefused, Submitted,
};
use rusqlite::{OptionalExtension, params};

use super::{put_input, put_tags, queues};
use crate::row::{self, Found, QueueKey};
use crate::writer::Tx;

type Answer = Result<Submitted, SubmitRefused>;

/// Accepts one job.
pub(crate) fn submit(tx: &mut Tx<'_>, ns: &Namespace, submission: &Submission) -> rusqlite::Result<Answer> {
    let new = &submission.job;
    if let Some(idempotency) = &submission.idempotency
        && let Some(answer) = replay(tx, ns, &new.queue, idempotency)?
    {
        return Ok(answer);
    }
    let key = match admit(tx, ns, &new.queue) {
        Err(SubmitRefused::UnknownQueue) if submission.create_queue => {
            queues::create(tx, ns, &new.queue)?;
            admit(tx, ns, &new.queue)
        }
        admitted => admitted,
    };
    let key = match key {
        Ok(key) => key,
        Err(refused) => return Ok(Err(refused)),
    };
    accept(tx, key, new, &submission.input, submission.idempotency.as_ref())?;
    Ok(Ok(Submitted::Created))
}

/// Whether the queue exists and has room.
fn admit(tx: &Tx<'_>, ns: &Namespace, name: &QueueName) -> Result<QueueKey, SubmitRefused> {
    let (key, queue) = tx.memory.queue(ns, name).ok_or(SubmitRefused::UnknownQueue)?;
    let depth = queue.depth();
    match tx.memory.queues.get(&key) {
        Some(memory) if memory.counts().waiting() >= depth => Err(SubmitRefused::QueueFull { depth }),
        Some(_) | None => Ok(key),
    }
}

fn accept(
    tx: &mut Tx<'_>,
    key: QueueKey,
    new: &NewJob,
    input: &Input,
    idempotency: Option<&Idempotency>,
) -> rusqlite::Result<Arc<Job>> {
    let job = decide::submit(new);
    row::insert(
        tx.conn,
        &job,
        key,
        idempotency.map(|idempotency| idempotency.key.as_str()),
    )?;
    put_input(tx.conn, job.id, input)?;
    put_tags(tx.conn, &job)?;
    if let Some(Idempotency {
        key: word,
        fingerprint,
    }) = idempotency
    {
        let mut insert = tx.conn.prepare_cached(
            "INSERT INTO idempotency (queue, key, seq, fingerprint) VALUES (?1, ?2, ?3, ?4)",
        )?;
        insert.execute(params![key, word, row::key(job.id), fingerprint])?;
    }
    let job = Arc::new(job);
    tx.memory.enter(key, &job, tx.now);
    tx.memory.keep(key, &job, Some(input));
    tx.tell_advanced(Arc::clone(&job));
    Ok(job)
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
    let mut select = tx
        .conn
        .prepare_cached("SELECT seq, fingerprint FROM idempotency WHERE queue = ?1 AND key = ?2")?;
    let kept = select.query_row(params![key, idempotency.key], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?))
    });
    let Some((seq, fingerprint)) = kept.optional()? else {
        return Ok(None);
    };
    if decide::idempotency(&fingerprint, &idempotency.fingerprint) == IdempotencyMatch::Mismatch {
        return Ok(Some(Err(SubmitRefused::IdempotencyMismatch)));
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
    if let Err(refused) = admit(tx, ns, &job.queue) {
        return Ok(Err(refused.into()));
    }
    let input = tx.input(job.id)?;
    let retried = Arc::new(retried);
    let new = accept(tx, key, &new, &input, None)?;
    tx.store(key, &job, &retried)?;
    let result = super::result(tx.conn, job.id)?.map(Arc::new);
    tx.tell(Change { job: retried, result });
    Ok(Ok(new))
}
