//! The outbox: recorded with the end of a job, claimed, ended, looked at.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::batch::BatchId;
use raincheck_core::decide::{self, TryEnd};
use raincheck_core::delivery::{Delivery, DeliveryId, Event, Source, Stage, Try};
use raincheck_core::id::JobId;
use raincheck_core::job::{Job, Outcome};
use raincheck_core::name::Namespace;
use raincheck_core::queue::Queue;
use raincheck_core::store::{About, Change, DueDeliveries, EndTry, Outgoing};
use raincheck_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{batches, queues};
use crate::batch_row;
use crate::body;
use crate::row::{self, Found, QueueNames};
use crate::sum;
use crate::tx::Tx;

/// What a row holds beside its key and when it is due.
#[derive(Serialize, Deserialize)]
struct DeliveryRow {
    url: String,
    /// Of a job: how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Outcome>,
    created: i64,
    tries: u32,
    #[serde(default)]
    tries_before: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    held: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<i64>,
    delivered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Try>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How long a delivery waits that cannot be read.
const PUT_OFF: Duration = Duration::from_secs(3_600);

/// The source of a batch's own deliveries.
const OF_BATCH: i64 = 2;

/// A delivery's key.
fn key(id: DeliveryId) -> (i64, i64) {
    match id {
        DeliveryId::Job { job, source } => {
            let source = match source {
                Source::Job => 0,
                Source::Queue => 1,
            };
            (row::key(job), source)
        }
        DeliveryId::Batch(batch) => (batch_row::key(batch), OF_BATCH),
    }
}

/// Records what a job that has just ended makes.
pub(crate) fn record(tx: &Tx<'_>, queue: Option<&Queue>, job: &Job) -> rusqlite::Result<()> {
    let of_queue = queue.and_then(Queue::callback);
    for delivery in decide::deliveries(job, of_queue) {
        write(tx.conn, &delivery)?;
    }
    Ok(())
}

/// Writes a delivery that was not there.
pub(super) fn write(conn: &Connection, delivery: &Delivery) -> rusqlite::Result<()> {
    run(
        conn,
        "INSERT OR REPLACE INTO deliveries (seq, source, next_at, body, sum) VALUES (?1, ?2, ?3, ?4, row_sum(?1, ?2, ?3, ?4))",
        delivery,
    )
}

/// Writes what became of a delivery.
fn rewrite(conn: &Connection, delivery: &Delivery) -> rusqlite::Result<()> {
    run(
        conn,
        "UPDATE deliveries SET next_at = ?3, body = ?4, sum = row_sum(?1, ?2, ?3, ?4) WHERE seq = ?1 AND source = ?2",
        delivery,
    )
}

fn run(conn: &Connection, statement: &str, delivery: &Delivery) -> rusqlite::Result<()> {
    let row = DeliveryRow {
        url: delivery.url.clone(),
        event: match delivery.event {
            Event::Ended(outcome) => Some(outcome),
            Event::BatchCompleted => None,
        },
        created: delivery.created_at.as_millis(),
        tries: delivery.tries,
        tries_before: delivery.tries_before,
        held: delivery.held,
        asked: delivery.asked_at.map(Timestamp::as_millis),
        delivered: delivery.stage == Stage::Delivered,
        last: delivery.last.clone(),
    };
    let text = serde_json::to_string(&row)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let (seq, source) = key(delivery.id);
    conn.prepare_cached(statement)?.execute(params![
        seq,
        source,
        delivery.next_at().map(Timestamp::as_millis),
        text,
    ])?;
    Ok(())
}

/// Forgets what a job or a batch has made.
pub(super) fn forget(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM deliveries WHERE seq = ?1")?
        .execute([seq])?;
    Ok(())
}

/// A row as it stands; whose it is, its job or its batch tells.
struct Kept {
    seq: i64,
    source: i64,
    next_at: Option<Timestamp>,
    body: DeliveryRow,
}

const KEPT: &str = concat!(
    "SELECT deliveries.seq, source, next_at, body, ",
    sum::is_whole!(deliveries, "deliveries.sum"),
    " FROM deliveries"
);

impl Kept {
    /// Reads a row of a query that begins with the columns of [`KEPT`].
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        sum::whole(row, 4, "a webhook")?;
        let body = row.get_ref(3)?.as_str()?;
        let body = serde_json::from_str(body)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(error)))?;
        Ok(Self {
            seq: row.get(0)?,
            source: row.get(1)?,
            next_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
            body,
        })
    }

    fn of_job(self, job: JobId, namespace: Namespace) -> Delivery {
        let source = if self.source == 0 {
            Source::Job
        } else {
            Source::Queue
        };
        self.owned(DeliveryId::Job { job, source }, namespace)
    }

    fn owned(self, id: DeliveryId, namespace: Namespace) -> Delivery {
        let body = self.body;
        Delivery {
            id,
            namespace,
            url: body.url,
            event: body.event.map_or(Event::BatchCompleted, Event::Ended),
            created_at: Timestamp::from_millis(body.created),
            stage: match self.next_at {
                Some(next_at) => Stage::Pending { next_at },
                None if body.delivered => Stage::Delivered,
                None => Stage::Abandoned,
            },
            tries: body.tries,
            tries_before: body.tries_before,
            held: body.held,
            asked_at: body.asked.map(Timestamp::from_millis),
            last: body.last,
        }
    }
}

const OWNED: &str = concat!(
    "SELECT deliveries.seq, source, next_at, body, ",
    sum::is_whole!(deliveries, "deliveries.sum"),
    ", jobs.tail, jobs.queue, batches.tail, batches.namespace ",
    "FROM deliveries LEFT JOIN jobs ON source < 2 AND jobs.seq = deliveries.seq ",
    "LEFT JOIN batches ON source = 2 AND batches.seq = deliveries.seq"
);

/// Reads a row of a query that begins with [`OWNED`].
fn owned(row: &Row<'_>, names: &QueueNames) -> rusqlite::Result<Delivery> {
    let kept = Kept::read(row)?;
    if kept.source == OF_BATCH {
        let tail: i64 = row.get(7)?;
        let batch = BatchId::from_parts(kept.seq.cast_unsigned(), tail.cast_unsigned());
        let namespace: String = row.get(8)?;
        let namespace = Namespace::new(&namespace).map_err(|_| rusqlite::Error::QueryReturnedNoRows)?;
        return Ok(kept.owned(DeliveryId::Batch(batch), namespace));
    }
    let job = row::id(kept.seq, row.get(5)?);
    let (namespace, _) = names
        .get(&row.get(6)?)
        .ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(kept.of_job(job, namespace.clone()))
}

fn find(tx: &Tx<'_>, id: DeliveryId) -> rusqlite::Result<Option<Delivery>> {
    let (seq, source) = key(id);
    if let DeliveryId::Job { job, .. } = id
        && let Some(Change { job, .. }) = tx
            .fresh
            .ended(seq.cast_unsigned())
            .filter(|kept| kept.job.id == job)
    {
        let mut select = tx
            .conn
            .prepare_cached(&format!("{KEPT} WHERE seq = ?1 AND source = ?2"))?;
        let kept = select.query_row([seq, source], Kept::read).optional()?;
        return Ok(kept.map(|kept| kept.of_job(job.id, job.namespace.clone())));
    }
    let mut select = tx
        .conn
        .prepare_cached(&format!("{OWNED} WHERE deliveries.seq = ?1 AND source = ?2"))?;
    let found = select.query_row([seq, source], |row| owned(row, &tx.memory.names));
    Ok(found.optional()?.filter(|delivery| delivery.id == id))
}

/// What a delivery tells of, and the delivery.
fn whole(tx: &Tx<'_>, kept: Kept) -> rusqlite::Result<Option<(Delivery, About)>> {
    if kept.source == OF_BATCH {
        let status = batches::completed(tx.conn, kept.seq)?;
        return Ok(status.map(|status| {
            let id = DeliveryId::Batch(status.batch.id);
            (
                kept.owned(id, status.batch.namespace.clone()),
                About::Batch(status),
            )
        }));
    }
    let Change { job, result } = match tx.fresh.ended(kept.seq.cast_unsigned()) {
        Some(ended) => ended,
        None => match row::load_key(tx.conn, &tx.memory.names, kept.seq)? {
            Some(Found::Job(_, job)) => Change {
                result: body::result(tx.conn, job.id)?.map(Arc::new),
                job: Arc::from(job),
            },
            Some(Found::Gone(..)) | None => return Ok(None),
        },
    };
    let delivery = kept.of_job(job.id, job.namespace.clone());
    Ok(Some((delivery, About::Job { job, result })))
}

/// Begins tries, at most `limit`.
pub(crate) fn claim(tx: &Tx<'_>, limit: u32) -> rusqlite::Result<DueDeliveries> {
    let mut select = tx.conn.prepare_cached(&format!(
        "{KEPT} WHERE next_at <= ?1 ORDER BY next_at, seq, source LIMIT ?2"
    ))?;
    let mut rows = select.query(params![tx.now.as_millis(), limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let (seq, source): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (delivery, about) = match Kept::read(row).and_then(|kept| whole(tx, kept)) {
            Ok(Some(found)) => found,
            Ok(None) => {
                // Nothing is left to tell of.
                forget(tx.conn, seq)?;
                continue;
            }
            Err(error) if sum::is_damage(&error) => {
                put_off(tx, seq, source, &error)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(delivery) = decide::try_delivery(&delivery, tx.now) else {
            continue;
        };
        rewrite(tx.conn, &delivery)?;
        due.push(Outgoing { delivery, about });
    }
    let mut next_at = tx
        .conn
        .prepare_cached("SELECT min(next_at) FROM deliveries WHERE next_at IS NOT NULL")?;
    let next_at: Option<i64> = next_at.query_row([], |row| row.get(0))?;
    Ok(DueDeliveries {
        due,
        next_at: next_at.map(Timestamp::from_millis),
    })
}

/// Lets the others go before a delivery that cannot be read, or whose job cannot: it is tried again later, and told again.
fn put_off(tx: &Tx<'_>, seq: i64, source: i64, error: &rusqlite::Error) -> rusqlite::Result<()> {
    tracing::error!(seq, source, %error, "a webhook cannot be sent: its row or its job's is damaged; restore a backup");
    let mut update = tx
        .conn
        .prepare_cached("UPDATE deliveries SET next_at = ?3 WHERE seq = ?1 AND source = ?2")?;
    update.execute(params![seq, source, tx.now.plus(PUT_OFF).as_millis()])?;
    Ok(())
}

/// Ends a try; whether it counted.
pub(crate) fn end(tx: &mut Tx<'_>, wanted: &EndTry) -> rusqlite::Result<bool> {
    let Some(delivery) = find(tx, wanted.id)? else {
        return Ok(false);
    };
    let Some(next) = decide::end_try(&delivery, wanted.n, &wanted.end, wanted.seed, tx.now) else {
        return Ok(false);
    };
    rewrite(tx.conn, &next)?;
    if let (
        TryEnd::Gone,
        DeliveryId::Job {
            job,
            source: Source::Queue,
        },
    ) = (&wanted.end, wanted.id)
    {
        queues::callback_gone(tx, job)?;
    }
    Ok(true)
}

/// How many are to be sent, now or later.
pub(crate) fn pending(conn: &Connection) -> rusqlite::Result<u64> {
    let mut count = conn.prepare_cached("SELECT count(*) FROM deliveries WHERE next_at IS NOT NULL")?;
    let count: i64 = count.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// A page of the namespace's deliveries, newest job first.
pub(crate) fn list(
    conn: &Connection,
    names: &QueueNames,
    ns: &Namespace,
    before: Option<DeliveryId>,
    limit: u32,
) -> rusqlite::Result<Vec<Delivery>> {
    let (seq, source) = before.map_or((i64::MAX, 0), key);
    let mut select = conn.prepare_cached(&format!(
        "{OWNED} WHERE (deliveries.seq, source) < (?1, ?2) ORDER BY deliveries.seq DESC, source DESC"
    ))?;
    let mut rows = select.query(params![seq, source])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        if page.len() >= limit as usize {
            break;
        }
        let delivery = owned(row, names)?;
        if delivery.namespace == *ns {
            page.push(delivery);
        }
    }
    Ok(page)
}

/// Has a delivery tried at once.
pub(crate) fn redeliver(tx: &Tx<'_>, ns: &Namespace, id: DeliveryId) -> rusqlite::Result<Option<Delivery>> {
    let Some(delivery) = find(tx, id)?.filter(|delivery| delivery.namespace == *ns) else {
        return Ok(None);
    };
    let next = decide::redeliver(&delivery, tx.now);
    rewrite(tx.conn, &next)?;
    Ok(Some(next))
}
