//! A batch as a row, and back.
//!
//! Invariant: what [`insert`] and [`update`] wrote, [`read`] reads back as the same batch.

use std::time::Duration;

use raincheck_core::batch::{Batch, BatchId, BatchMissing, Ends, Refusal, Stage};
use raincheck_core::name::Namespace;
use raincheck_core::store::Idempotency;
use raincheck_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::back;
use crate::memory::LiveBatch;
use crate::sum;

/// The values of `state`.
const OPEN: i64 = 0;
const SEALED: i64 = 1;
const DONE: i64 = 2;
pub(crate) const PRUNED: i64 = 7;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<String>,
    /// When it was opened, where its id says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_ms: Option<i64>,
}

fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// The key of a batch's row.
pub(crate) fn key(id: BatchId) -> i64 {
    // 60 bits always fit.
    id.seq().cast_signed()
}

/// SQLite's numbers are signed; ours never come near their end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A row: a batch, or what is left of one.
pub(crate) enum Found {
    Batch(Box<LiveBatch>),
    /// The tombstone of a batch.
    Gone,
}

const COLUMNS: &str = concat!(
    "SELECT seq, tail, namespace, state, cancelling, cancel_from, open_until, finished_at, ",
    "expires_at + ifnull((SELECT moved FROM clock_set), 0), lines, rejected, ",
    "succeeded, failed, cancelled, expired, settings, refusals, ",
    sum::is_whole!(batches),
    ", ",
    sum::is_whole!(batches_asked, "asked_sum"),
    ", ",
    sum::is_whole!(batches_refusals, "refusals_sum"),
    " FROM batches"
);

/// Why a row does not fit together.
#[derive(Debug, thiserror::Error)]
#[error("batch {0} lacks the times of its state")]
struct BadRow(i64);

fn read(row: &Row<'_>) -> rusqlite::Result<Found> {
    for column in 17..20 {
        sum::whole(row, column, "a batch")?;
    }
    let seq: i64 = row.get(0)?;
    let state: i64 = row.get(3)?;
    if state == PRUNED {
        return Ok(Found::Gone);
    }
    let time = |column| -> rusqlite::Result<Timestamp> {
        let millis: Option<i64> = row.get(column)?;
        millis
            .map(Timestamp::from_millis)
            .ok_or_else(|| unreadable(column, BadRow(seq)))
    };
    let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let namespace: String = row.get(2)?;
    let settings: String = row.get(15)?;
    let settings: Settings = serde_json::from_str(&settings).map_err(|error| unreadable(15, error))?;
    let refusals: String = row.get(16)?;
    let refusals: Vec<Refusal> = serde_json::from_str(&refusals).map_err(|error| unreadable(16, error))?;
    let id = BatchId::from_parts(seq.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
    let created_at = settings.created_ms.map(Timestamp::from_millis);
    let batch = Batch {
        id,
        created_at: created_at.unwrap_or_else(|| id.created_at()),
        namespace: Namespace::new(&namespace).map_err(|error| unreadable(2, error))?,
        keep: settings.keep_ms.map(Duration::from_millis),
        open_for: settings.open_ms.map(Duration::from_millis),
        callback: settings.callback,
        stage: match state {
            OPEN => Stage::Open { until: time(6)? },
            SEALED => Stage::Sealed,
            _ => Stage::Done {
                finished_at: time(7)?,
                expires_at: time(8)?,
            },
        },
        cancel_requested: row.get(4)?,
        lines: number(9)?,
        rejected: number(10)?,
        refusals,
        ends: Ends {
            succeeded: number(11)?,
            failed: number(12)?,
            cancelled: number(13)?,
            expired: number(14)?,
        },
    };
    let cancel_from = row.get::<_, Option<i64>>(5)?.map(i64::unsigned_abs);
    Ok(Found::Batch(Box::new(LiveBatch::new(batch, cancel_from))))
}

/// The batch with this id in this namespace.
pub(crate) fn load(
    conn: &Connection,
    ns: &Namespace,
    id: BatchId,
) -> rusqlite::Result<Result<LiveBatch, BatchMissing>> {
    let mut select = conn.prepare_cached(&format!(
        "{COLUMNS} WHERE seq = ?1 AND tail = ?2 AND namespace = ?3"
    ))?;
    let found = select.query_row(params![key(id), id.tail().cast_signed(), ns.as_str()], read);
    Ok(match found.optional()? {
        Some(Found::Batch(live)) => Ok(*live),
        Some(Found::Gone) => Err(BatchMissing::Expired),
        None => Err(BatchMissing::Unknown),
    })
}

/// The batch with this key.
pub(crate) fn load_key(conn: &Connection, key: i64) -> rusqlite::Result<Option<LiveBatch>> {
    let mut select = conn.prepare_cached(&format!("{COLUMNS} WHERE seq = ?1"))?;
    Ok(match select.query_row([key], read).optional()? {
        Some(Found::Batch(live)) => Some(*live),
        Some(Found::Gone) | None => None,
    })
}

/// All that are not done.
pub(crate) fn live(conn: &Connection) -> rusqlite::Result<Vec<LiveBatch>> {
    let mut select = conn.prepare(&format!("{COLUMNS} WHERE state < 2"))?;
    let found = select.query_map([], read)?;
    let live = found.filter_map(|found| match found {
        Ok(Found::Batch(live)) => Some(Ok(*live)),
        Ok(Found::Gone) => None,
        Err(error) => Some(Err(error)),
    });
    live.collect()
}

/// The batch that was opened under this key, and what was sent under it then.
pub(crate) fn by_word(
    conn: &Connection,
    ns: &Namespace,
    word: &str,
) -> rusqlite::Result<Option<(BatchId, [u8; 32])>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT seq, tail, fingerprint, ",
        sum::is_whole!(batches_asked, "asked_sum"),
        " FROM batches WHERE namespace = ?1 AND key = ?2"
    ))?;
    let found = select.query_row(params![ns.as_str(), word], |row| {
        sum::whole(row, 3, "a batch")?;
        let (seq, tail): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((
            BatchId::from_parts(seq.cast_unsigned(), tail.cast_unsigned()),
            row.get(2)?,
        ))
    });
    found.optional()
}

/// Inserts a batch that was just opened.
pub(crate) fn insert(
    conn: &Connection,
    batch: &Batch,
    idempotency: Option<&Idempotency>,
) -> rusqlite::Result<()> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let settings = Settings {
        keep_ms: batch.keep.map(millis),
        open_ms: batch.open_for.map(millis),
        callback: batch.callback.clone(),
        created_ms: Some(batch.created_at)
            .filter(|at| *at != batch.id.created_at())
            .map(Timestamp::as_millis),
    };
    let mut insert = conn.prepare_cached(
        "INSERT INTO batches (seq, tail, namespace, state, cancelling, lines, rejected, succeeded, failed, cancelled, \
         expired, settings, refusals, key, fingerprint, asked_sum, refusals_sum) \
         VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, 0, 0, ?4, '[]', ?5, ?6, row_sum(?1, ?2, ?3, ?4, ?5, ?6), row_sum(?1, '[]'))",
    )?;
    insert.execute(params![
        key(batch.id),
        batch.id.tail().cast_signed(),
        batch.namespace.as_str(),
        json(&settings)?,
        idempotency.map(|idempotency| idempotency.key.as_str()),
        idempotency.map(|idempotency| idempotency.fingerprint),
    ])?;
    update(conn, &mut LiveBatch::new(batch.clone(), None))
}

/// Writes a batch back.
pub(crate) fn update(conn: &Connection, live: &mut LiveBatch) -> rusqlite::Result<()> {
    let batch = &live.batch;
    let (state, until, finished_at, expires_at) = match batch.stage {
        Stage::Open { until } => (OPEN, Some(until), None, None),
        Stage::Sealed => (SEALED, None, None, None),
        Stage::Done {
            finished_at,
            expires_at,
        } => {
            // By the time without what the clock was set by.
            let expires_at = expires_at.as_millis().saturating_sub(back::moved(conn)?);
            (DONE, None, Some(finished_at), Some(expires_at))
        }
    };
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let mut update = conn.prepare_cached(
        "UPDATE batches SET state = ?2, cancelling = ?3, cancel_from = ?4, open_until = ?5, finished_at = ?6, \
         expires_at = ?7, prune_at = ?7, lines = ?8, rejected = ?9, succeeded = ?10, failed = ?11, cancelled = ?12, \
         expired = ?13, sum = row_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) WHERE seq = ?1",
    )?;
    update.execute(params![
        key(batch.id),
        state,
        batch.cancel_requested,
        live.cancel_from.map(signed),
        millis(until),
        millis(finished_at),
        expires_at,
        signed(batch.lines),
        signed(batch.rejected),
        signed(batch.ends.succeeded),
        signed(batch.ends.failed),
        signed(batch.ends.cancelled),
        signed(batch.ends.expired),
    ])?;
    if live.refusals_written < batch.refusals.len() {
        conn.prepare_cached(
            "UPDATE batches SET refusals = ?2, refusals_sum = row_sum(?1, ?2) WHERE seq = ?1",
        )?
        .execute(params![key(batch.id), json(&batch.refusals)?])?;
        live.refusals_written = batch.refusals.len();
    }
    Ok(())
}
