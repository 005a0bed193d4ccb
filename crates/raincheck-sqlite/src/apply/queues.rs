//! Queues: their settings, pausing, purging, deleting.

use std::sync::Arc;

use raincheck_core::decide::room;
use raincheck_core::id::JobId;
use raincheck_core::name::{GroupName, Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::store::{Answer, Lag, QueueLag, QueueRefused, QueueStatus, Slice, Standing};
use raincheck_core::time::Timestamp;
use rusqlite::params;

use super::change::cancel_loaded;
use super::groups;
use crate::ready::Place;
use crate::row::QueueKey;
use crate::tx::Tx;

/// Creates a queue or replaces its settings.
pub(crate) fn put(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    name: &QueueName,
    spec: &QueueSpec,
    managed: bool,
) -> rusqlite::Result<Result<Arc<Queue>, QueueRefused>> {
    let earlier = tx.memory.queue(ns, name).map(|(_, queue)| queue);
    if earlier.as_ref().is_some_and(|queue| queue.managed && !managed) {
        return Ok(Err(QueueRefused::Managed));
    }
    let created_at = earlier.as_ref().map_or(tx.now, |queue| queue.created_at);
    let mut queue = Queue::new(ns.clone(), name.clone(), spec.clone(), created_at);
    queue.managed = managed;
    // What the configuration says again at each start is no new word.
    queue.callback_gone = earlier
        .as_ref()
        .and_then(|queue| queue.callback_gone)
        .filter(|_| managed);
    queue.paused = earlier.and_then(|queue| queue.paused);
    write(tx, queue).map(Ok)
}

/// Makes a queue an ordinary one.
pub(crate) fn release(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    name: &QueueName,
) -> rusqlite::Result<Result<Arc<Queue>, QueueRefused>> {
    let Some((_, queue)) = tx.memory.queue(ns, name) else {
        return Ok(Err(QueueRefused::Unknown));
    };
    if !queue.managed {
        return Ok(Ok(queue));
    }
    let mut queue = Queue::clone(&queue);
    queue.managed = false;
    write(tx, queue).map(Ok)
}

/// Creates a queue with default settings.
pub(crate) fn create(tx: &mut Tx<'_>, ns: &Namespace, name: &QueueName) -> rusqlite::Result<Arc<Queue>> {
    write(
        tx,
        Queue::new(ns.clone(), name.clone(), QueueSpec::default(), tx.now),
    )
}

fn write(tx: &mut Tx<'_>, queue: Queue) -> rusqlite::Result<Arc<Queue>> {
    let settings = serde_json::to_string(&queue.spec)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let mut upsert = tx.conn.prepare_cached(
        "INSERT INTO queues (namespace, name, settings, managed, paused_at, created_at, callback_gone_at, sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, row_sum(?1, ?2, ?3, ?5, ?6, ?7)) \
         ON CONFLICT (namespace, name) DO UPDATE SET settings = excluded.settings, managed = excluded.managed, \
         paused_at = excluded.paused_at, created_at = excluded.created_at, callback_gone_at = excluded.callback_gone_at, sum = excluded.sum \
         RETURNING id",
    )?;
    let values = params![
        queue.namespace.as_str(),
        queue.name.as_str(),
        settings,
        queue.managed,
        queue.paused.map(Timestamp::as_millis),
        queue.created_at.as_millis(),
        queue.callback_gone.map(Timestamp::as_millis),
    ];
    let key: QueueKey = upsert.query_row(values, |row| row.get(0))?;
    let queue = Arc::new(queue);
    tx.memory
        .set_queue(key, &queue.namespace, &queue.name, Some(Arc::clone(&queue)));
    groups::follow(tx, key)?;
    // New settings may allow what the old ones did not.
    if queue.paused.is_none() {
        tx.wake(key);
    }
    Ok(queue)
}

/// Pauses or resumes a queue.
pub(crate) fn pause(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    name: &QueueName,
    paused: bool,
) -> rusqlite::Result<Result<Arc<Queue>, QueueRefused>> {
    let Some((_, queue)) = tx.memory.queue(ns, name) else {
        return Ok(Err(QueueRefused::Unknown));
    };
    if queue.paused.is_some() == paused {
        return Ok(Ok(queue));
    }
    let mut queue = Queue::clone(&queue);
    queue.paused = paused.then_some(tx.now);
    write(tx, queue).map(Ok)
}

/// Notes that the receiver of the callback of this job's queue wants nothing more.
pub(super) fn callback_gone(tx: &mut Tx<'_>, job: JobId) -> rusqlite::Result<()> {
    let Some((key, _)) = tx.load_seq(job.seq())? else {
        return Ok(());
    };
    let queue = tx.memory.queues.get(&key).and_then(|memory| memory.queue.clone());
    if let Some(queue) = queue.filter(|queue| queue.callback().is_some()) {
        let mut queue = Queue::clone(&queue);
        queue.callback_gone = Some(tx.now);
        write(tx, queue)?;
    }
    Ok(())
}

/// Cancels at most `limit` jobs that wait.
pub(crate) fn purge(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    name: &QueueName,
    limit: u32,
) -> rusqlite::Result<Result<Slice, QueueRefused>> {
    let Some((key, _)) = tx.memory.queue(ns, name) else {
        return Ok(Err(QueueRefused::Unknown));
    };
    let waiting = tx.memory.waiting(key, limit as usize);
    for seq in &waiting {
        match tx.load_seq(*seq) {
            Ok(Some((key, job))) => drop(cancel_loaded(tx, key, job)?),
            Ok(None) => {}
            Err(error) => tx.set_aside(*seq, error, false)?,
        }
    }
    let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
    Ok(Ok(Slice {
        count,
        more: count == limit,
    }))
}

/// Forgets a queue's settings.
pub(crate) fn delete(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    name: &QueueName,
) -> rusqlite::Result<Result<(), QueueRefused>> {
    let Some((key, queue)) = tx.memory.queue(ns, name) else {
        return Ok(Err(QueueRefused::Unknown));
    };
    if queue.managed {
        return Ok(Err(QueueRefused::Managed));
    }
    let unfinished = tx
        .memory
        .queues
        .get(&key)
        .map_or(0, |memory| memory.counts().unfinished());
    if unfinished > 0 {
        return Ok(Err(QueueRefused::NotEmpty(unfinished)));
    }
    let mut update = tx.conn.prepare_cached(
        "UPDATE queues SET settings = NULL, paused_at = NULL, callback_gone_at = NULL, \
         sum = row_sum(namespace, name, NULL, NULL, created_at, NULL) WHERE id = ?1",
    )?;
    update.execute([key])?;
    tx.memory.set_queue(key, ns, name, None);
    groups::forget(tx, key)?;
    Ok(Ok(()))
}

/// One queue with its counts.
pub(crate) fn status(tx: &Tx<'_>, ns: &Namespace, name: &QueueName) -> Option<QueueStatus> {
    let (key, queue) = tx.memory.queue(ns, name)?;
    let counts = tx.memory.queues.get(&key)?.counts();
    Some(QueueStatus { queue, counts })
}

/// A queue and a waiting job's place in it.
pub(crate) fn standing(
    tx: &Tx<'_>,
    ns: &Namespace,
    name: &QueueName,
    group: &Option<GroupName>,
    place: &Place,
) -> Option<Standing> {
    let status = status(tx, ns, name)?;
    let (key, _) = tx.memory.queue(ns, name)?;
    let ahead = tx.memory.queues.get(&key)?.ready.ahead(group, place);
    let held = room(&status.queue.limits(), tx.memory.used(key), 1, tx.now).held;
    let group = group.as_ref();
    Some(Standing {
        status,
        ahead,
        held,
        group_held: group.and_then(|group| tx.memory.group_held(key, group, tx.now)),
    })
}

/// How far behind each queue is, by namespace and name.
pub(crate) fn lag(tx: &Tx<'_>) -> Vec<QueueLag> {
    let there = tx.memory.queues.values().filter_map(|memory| {
        let queue = memory.queue.as_ref()?;
        Some(QueueLag {
            namespace: queue.namespace.clone(),
            queue: queue.name.clone(),
            due_since: memory.ready.oldest().map(Timestamp::from_millis),
            waits: memory.waits,
        })
    });
    let mut lag: Vec<_> = there.collect();
    lag.sort_by(|a, b| (&a.namespace, &a.queue).cmp(&(&b.namespace, &b.queue)));
    lag
}

/// That, and how many webhooks are pending.
pub(crate) fn behind(queues: Answer<Vec<QueueLag>>, webhooks: Answer<u64>) -> Answer<Lag> {
    Box::pin(async move {
        Ok(Lag {
            queues: queues.await?,
            webhooks: webhooks.await?,
        })
    })
}

/// All queues of all namespaces.
pub(crate) fn all(tx: &Tx<'_>) -> Vec<Arc<Queue>> {
    let all = list(tx, None).into_iter();
    all.map(|status| status.queue).collect()
}

/// All queues of a namespace, or of all, by name.
pub(crate) fn list(tx: &Tx<'_>, ns: Option<&Namespace>) -> Vec<QueueStatus> {
    let there = tx.memory.queues.values().filter_map(|memory| {
        let queue = Arc::clone(memory.queue.as_ref()?);
        Some(QueueStatus {
            queue,
            counts: memory.counts(),
        })
    });
    let mut found: Vec<_> = there
        .filter(|status| ns.is_none_or(|ns| status.queue.namespace == *ns))
        .collect();
    found.sort_by(|a, b| (&a.queue.namespace, &a.queue.name).cmp(&(&b.queue.namespace, &b.queue.name)));
    found
}
