//! Limits of groups: what is written for them, and what follows from new settings.

use std::sync::Arc;

use raincheck_core::group::GroupSpec;
use raincheck_core::job::Job;
use raincheck_core::name::{GroupName, Namespace, QueueName};
use raincheck_core::store::{GroupStatus, QueueRefused};
use rusqlite::params;

use crate::body;
use crate::row::QueueKey;
use crate::tx::Tx;

/// A group and what bounds it.
pub(crate) fn status(
    tx: &Tx<'_>,
    ns: &Namespace,
    queue: &QueueName,
    group: &GroupName,
) -> Option<GroupStatus> {
    let (key, queue) = tx.memory.queue(ns, queue)?;
    let written = tx.memory.queues.get(&key)?.groups.written.get(group).copied();
    Some(GroupStatus { queue, written })
}

/// Writes limits for one group, or forgets them.
pub(crate) fn put(
    tx: &mut Tx<'_>,
    ns: &Namespace,
    queue: &QueueName,
    group: &GroupName,
    spec: Option<GroupSpec>,
) -> rusqlite::Result<Result<GroupStatus, QueueRefused>> {
    let Some((key, queue)) = tx.memory.queue(ns, queue) else {
        return Ok(Err(QueueRefused::Unknown));
    };
    let written = tx
        .memory
        .queues
        .get_mut(&key)
        .map(|memory| &mut memory.groups.written);
    if let Some(spec) = spec {
        let settings = serde_json::to_string(&spec)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let mut upsert = tx.conn.prepare_cached(
            "INSERT INTO groups (queue, job_group, settings, sum) VALUES (?1, ?2, ?3, row_sum(?1, ?2, ?3)) \
             ON CONFLICT (queue, job_group) DO UPDATE SET settings = excluded.settings, sum = excluded.sum",
        )?;
        upsert.execute(params![key, group.as_str(), settings])?;
        written.map(|written| written.insert(group.clone(), spec));
    } else {
        let mut delete = tx
            .conn
            .prepare_cached("DELETE FROM groups WHERE queue = ?1 AND job_group = ?2")?;
        delete.execute(params![key, group.as_str()])?;
        written.map(|written| written.remove(group));
    }
    follow(tx, key)?;
    if queue.paused.is_none() {
        tx.wake(key);
    }
    Ok(Ok(GroupStatus { queue, written: spec }))
}

/// The queue is forgotten, and so is what is written for its groups.
pub(super) fn forget(tx: &mut Tx<'_>, key: QueueKey) -> rusqlite::Result<()> {
    let mut delete = tx.conn.prepare_cached("DELETE FROM groups WHERE queue = ?1")?;
    delete.execute([key])?;
    if let Some(memory) = tx.memory.queues.get_mut(&key) {
        memory.groups.written.clear();
    }
    follow(tx, key)
}

/// The queue's settings, or what is written for its groups, have changed: counts what is bounded from now on and was not
/// before, and weighs every group anew.
pub(super) fn follow(tx: &mut Tx<'_>, key: QueueKey) -> rusqlite::Result<()> {
    let bounded = tx.memory.bounds_groups(key);
    let Some(memory) = tx.memory.queues.get_mut(&key) else {
        return Ok(());
    };
    let queue = memory.queue.clone();
    memory
        .ready
        .set_fair(queue.as_ref().is_none_or(|queue| queue.fair()));
    let (counted, bytes) = (memory.groups.counted(), memory.bytes);
    let bounds_bytes = queue.is_some_and(|queue| queue.depth_bytes().is_some());
    if bounds_bytes != bytes.is_some() {
        let bytes = bounds_bytes
            .then(|| body::waiting_bytes(tx.conn, key))
            .transpose()?;
        if let Some(memory) = tx.memory.queues.get_mut(&key) {
            memory.bytes = bytes;
        }
    }
    if bounded != counted {
        let running = bounded.then(|| running(tx, key)).transpose()?;
        tx.memory.count_groups(key, running.as_deref());
    }
    tx.memory.carry_over(key, tx.now);
    if bounded || counted {
        tx.memory.weigh_all(key, tx.now);
    }
    Ok(())
}

/// The jobs of the queue that run.
fn running(tx: &Tx<'_>, key: QueueKey) -> rusqlite::Result<Vec<Arc<Job>>> {
    let mut running = Vec::new();
    for seq in tx.memory.running() {
        if let Some((of, job)) = tx.load_seq(seq)?
            && of == key
        {
            running.push(job);
        }
    }
    Ok(running)
}
