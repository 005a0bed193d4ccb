//! Building the memory from the rows: on open, and after a rollback.

use std::sync::Arc;

use raincheck_core::job::Outcome;
use raincheck_core::name::{GroupName, Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::{Damaged, Memory};
use crate::row::{self, Found, QueueKey, state};
use crate::{back, batch_row, body, sum};

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A row of `queues`.
fn queue(row: &Row<'_>) -> rusqlite::Result<(QueueKey, Namespace, QueueName, Option<Arc<Queue>>)> {
    sum::whole(row, 8, "a queue")?;
    let namespace: String = row.get(1)?;
    let namespace = Namespace::new(&namespace).map_err(|error| unreadable(1, error))?;
    let name: String = row.get(2)?;
    let name = QueueName::new(&name).map_err(|error| unreadable(2, error))?;
    let settings = match row.get::<_, Option<String>>(3)? {
        Some(text) => {
            let spec: QueueSpec = serde_json::from_str(&text).map_err(|error| unreadable(3, error))?;
            let created_at = Timestamp::from_millis(row.get(6)?);
            let mut queue = Queue::new(namespace.clone(), name.clone(), spec, created_at);
            queue.managed = row.get(4)?;
            queue.paused = row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis);
            queue.callback_gone = row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis);
            Some(Arc::new(queue))
        }
        None => None,
    };
    Ok((row.get(0)?, namespace, name, settings))
}

/// So much of the file is mapped while all of it is read.
const MAPPED_BYTES_MAX: i64 = 1 << 40;

impl Memory {
    /// Reads everything that is not finished, and counts the rest, without these jobs, which are damaged; those that are found
    /// to be join them. One pass over the jobs, which is some tenths of a second for a million of them.
    pub(crate) fn load(
        conn: &Connection,
        recent_jobs: usize,
        now: Timestamp,
        damaged: Damaged,
    ) -> rusqlite::Result<Self> {
        let mut memory = Self::new(recent_jobs);
        memory.damaged = damaged;
        let mut queues = conn.prepare(concat!(
            "SELECT id, namespace, name, settings, managed, paused_at, created_at, callback_gone_at, ",
            sum::is_whole!(queues),
            " FROM queues"
        ))?;
        let mut rows = queues.query([])?;
        while let Some(row) = rows.next()? {
            let (key, namespace, name, settings) = queue(row)?;
            memory.set_queue(key, &namespace, &name, settings);
        }
        memory.moved = back::moved(conn)?;
        let last: Option<i64> = conn.query_row("SELECT max(seq) FROM results", [], |row| row.get(0))?;
        memory.last_result = last.unwrap_or(0).max(memory.last_result);
        memory.rates.load(conn)?;
        memory.load_groups(conn)?;
        memory.carry_over_rates(now);
        for live in batch_row::live(conn)? {
            memory.put_batch(live);
        }
        // Every page is looked at once: it is not copied for that.
        conn.pragma_update(None, "mmap_size", MAPPED_BYTES_MAX)?;
        let mut jobs =
            conn.prepare("SELECT seq, queue, state, priority, run_at, job_group, options, batch FROM jobs")?;
        let mut rows = jobs.query([])?;
        while let Some(row) = rows.next()? {
            memory.load_job(conn, row, now)?;
        }
        drop(rows);
        conn.pragma_update(None, "mmap_size", 0)?;
        memory.release_staged(now);
        let keys: Vec<QueueKey> = memory.queues.keys().copied().collect();
        for key in keys {
            let queue = memory.at(key);
            if queue.bytes.is_some() {
                queue.bytes = Some(body::waiting_bytes(conn, key)?);
            }
            if queue.groups.counted() {
                memory.weigh_all(key, now);
            }
        }
        Ok(memory)
    }

    /// Reads what is written for single groups, and begins to count those that run where something bounds groups.
    fn load_groups(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut select = conn.prepare(concat!(
            "SELECT queue, job_group, settings, ",
            sum::is_whole!(groups),
            " FROM groups"
        ))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            sum::whole(row, 3, "a group's limits")?;
            let group = GroupName::new(row.get_ref(1)?.as_str()?).map_err(|e| unreadable(1, e))?;
            let spec = serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(|e| unreadable(2, e))?;
            self.at(row.get(0)?).groups.written.insert(group, spec);
        }
        let keys: Vec<QueueKey> = self.queues.keys().copied().collect();
        for key in keys {
            if self.bounds_groups(key) {
                self.count_groups(key, Some(&[]));
            }
            let memory = self.at(key);
            let queue = memory.queue.clone();
            memory
                .ready
                .set_fair(queue.as_ref().is_none_or(|queue| queue.fair()));
            memory.bytes = queue.and_then(|queue| queue.depth_bytes()).map(|_| 0);
        }
        Ok(())
    }

    /// A clock that was set back since must not hold anybody back for longer than the limits do.
    fn carry_over_rates(&mut self, now: Timestamp) {
        for key in self.queues.keys().copied().collect::<Vec<_>>() {
            self.carry_over(key, now);
        }
    }

    fn load_job(&mut self, conn: &Connection, row: &Row<'_>, now: Timestamp) -> rusqlite::Result<()> {
        let key: QueueKey = row.get(1)?;
        let outcome = match row.get(2)? {
            2 => Outcome::Succeeded,
            3 => Outcome::Failed,
            4 => Outcome::Cancelled,
            5 => Outcome::Expired,
            state::DELETED | state::PRUNED => return Ok(()),
            state => return self.load_live(conn, row, key, state, now),
        };
        self.at(key).finished[super::slot(outcome)] += 1;
        Ok(())
    }

    fn load_live(
        &mut self,
        conn: &Connection,
        row: &Row<'_>,
        key: QueueKey,
        state: i64,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let seq: i64 = row.get(0)?;
        if self.damaged.has(seq.cast_unsigned()) {
            return Ok(());
        }
        let plain = row
            .get_ref(6)?
            .as_str_or_null()
            .map_err(|e| unreadable(6, e))?
            .is_none();
        if state == state::WAITING && plain {
            // The common case, without reading the job: no options, so it is never overdue.
            let group = row.get_ref(5)?.as_str_or_null().map_err(|e| unreadable(5, e))?;
            let group = group
                .map(GroupName::new)
                .transpose()
                .map_err(|e| unreadable(5, e))?;
            let batch = row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs);
            let place = (row.get(3)?, row.get(4)?, seq.cast_unsigned());
            if place.1 > now.as_millis() {
                self.enter_waiting(key, place, group, batch, now);
            } else {
                // It was committed long ago: nothing is to be waited for.
                self.at(key).ready.push(group, place);
            }
            return Ok(());
        }
        let names = Arc::clone(&self.names);
        match row::load_key(conn, &names, seq) {
            Ok(Some(Found::Job(key, job))) => self.enter(key, &job, now),
            Ok(Some(Found::Gone(..)) | None) => {}
            Err(error) if sum::is_damage(&error) => {
                self.set_aside(seq.cast_unsigned(), sum::told(&error), true);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
