//! Checksums of rows.
//!
//! Invariant: the sum of a row is made of exactly the values that are read back with it, so that [`check`] refuses a row of
//! which a disk changed a byte; a row without a sum is one that an earlier version wrote.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row};

/// What the sum of a table's row is made of, as SQL.
macro_rules! sum_of {
    (queues) => {
        "row_sum(namespace, name, settings, paused_at, created_at, callback_gone_at)"
    };
    (groups) => {
        "row_sum(queue, job_group, settings)"
    };
    (idempotency) => {
        "row_sum(queue, key, seq, fingerprint)"
    };
    (attached_keys) => {
        "row_sum(seq, key)"
    };
    (uniques) => {
        "row_sum(queue, value, seq)"
    };
    (tags) => {
        "row_sum(tag, seq)"
    };
    (deliveries) => {
        "row_sum(deliveries.seq, source, next_at, body)"
    };
    (api_keys) => {
        "row_sum(id, namespace, name, scopes, queues, created_at, expires_at, digest)"
    };
    (acts) => {
        "row_sum(id, at, namespace, actor, address, action, target, request_id, refused)"
    };
    (signing_secrets) => {
        "row_sum(namespace, secret, sealed_by, since, until)"
    };
    (set_back) => {
        "row_sum(ids, at)"
    };
    (clock_set) => {
        "row_sum(moved)"
    };
    (set_aside) => {
        "row_sum(seq, why)"
    };
    (one_secret) => {
        "row_sum(secret, sealed_by)"
    };
    (batches_asked) => {
        "row_sum(seq, tail, namespace, settings, key, fingerprint)"
    };
    (batches_refusals) => {
        "row_sum(seq, refusals)"
    };
    (batches) => {
        "row_sum(seq, state, cancelling, cancel_from, open_until, finished_at, expires_at, lines, rejected, succeeded, failed, \
         cancelled, expired)"
    };
}
pub(crate) use sum_of;

/// Whether a row is as it was written, as SQL: a column of a query, which [`whole`] reads.
macro_rules! is_whole {
    ($table:ident) => {
        $crate::sum::is_whole!($table, "sum")
    };
    ($table:ident, $sum:literal) => {
        concat!("ifnull(", $sum, " = ", $crate::sum::sum_of!($table), ", 1)")
    };
}
pub(crate) use is_whole;

/// Every table but those of jobs, their bodies and their output: what its rows are, and which of them are not as they were
/// written.
pub(crate) const CHANGED: [(&str, &str); 17] = [
    (
        "a queue",
        concat!("SELECT 1 FROM queues WHERE NOT ", is_whole!(queues)),
    ),
    (
        "a group's limits",
        concat!("SELECT 1 FROM groups WHERE NOT ", is_whole!(groups)),
    ),
    (
        "an idempotency key",
        concat!("SELECT 1 FROM idempotency WHERE NOT ", is_whole!(idempotency)),
    ),
    (
        "an idempotency key",
        concat!("SELECT 1 FROM attached_keys WHERE NOT ", is_whole!(attached_keys)),
    ),
    (
        "a unique value",
        concat!("SELECT 1 FROM uniques WHERE NOT ", is_whole!(uniques)),
    ),
    ("a tag", concat!("SELECT 1 FROM tags WHERE NOT ", is_whole!(tags))),
    (
        "a webhook",
        concat!("SELECT 1 FROM deliveries WHERE NOT ", is_whole!(deliveries)),
    ),
    (
        "an API key",
        concat!("SELECT 1 FROM api_keys WHERE NOT ", is_whole!(api_keys)),
    ),
    (
        "an act of the audit log",
        concat!("SELECT 1 FROM acts WHERE NOT ", is_whole!(acts)),
    ),
    (
        "a signing secret",
        concat!(
            "SELECT 1 FROM signing_secrets WHERE NOT ",
            is_whole!(signing_secrets)
        ),
    ),
    (
        "when the clock was set back",
        concat!("SELECT 1 FROM set_back WHERE NOT ", is_whole!(set_back)),
    ),
    (
        "by how much the clock was set",
        concat!("SELECT 1 FROM clock_set WHERE NOT ", is_whole!(clock_set)),
    ),
    (
        "a note of a damaged job",
        concat!("SELECT 1 FROM set_aside WHERE NOT ", is_whole!(set_aside)),
    ),
    (
        "the pepper of keys",
        concat!("SELECT 1 FROM key_pepper WHERE NOT ", is_whole!(one_secret)),
    ),
    (
        "the key of tickets",
        concat!("SELECT 1 FROM ticket_key WHERE NOT ", is_whole!(one_secret)),
    ),
    (
        "a batch",
        concat!(
            "SELECT 1 FROM batches WHERE NOT (",
            is_whole!(batches),
            " AND ",
            is_whole!(batches_asked, "asked_sum"),
            ")"
        ),
    ),
    (
        "a batch's refusals",
        concat!(
            "SELECT 1 FROM batches WHERE NOT ",
            is_whole!(batches_refusals, "refusals_sum")
        ),
    ),
];

/// Makes `row_sum` known to a connection: the sum of any values in their order, each told from its neighbours; and `jobs_sum`,
/// as rows of jobs have them: some numbers, and two texts.
pub(crate) fn register(conn: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("row_sum", -1, flags, |values| Ok(of_values(values)))?;
    conn.create_scalar_function("jobs_sum", -1, flags, |values| Ok(of_job(values)))
}

fn of_job(values: &Context<'_>) -> i64 {
    let number = |place| match values.get_raw(place) {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    };
    let text = |place| match values.get_raw(place) {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    };
    let texts = values.len().saturating_sub(2);
    let numbers: Vec<_> = (0..texts).map(number).collect();
    of_some(&numbers, [text(texts), text(texts + 1)])
}

fn of_values(values: &Context<'_>) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for place in 0..values.len() {
        match values.get_raw(place) {
            ValueRef::Null => hasher.update(&[0]),
            ValueRef::Integer(number) => {
                hasher.update(&[1]);
                hasher.update(&number.to_le_bytes());
            }
            ValueRef::Real(number) => {
                hasher.update(&[2]);
                hasher.update(&number.to_le_bytes());
            }
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                hasher.update(&[3]);
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            }
        }
    }
    hasher.finalize().into()
}

/// Refuses a row whose column, made by [`is_whole`], says that it is not as it was written.
///
/// # Errors
/// The same as for a row that cannot be read.
pub(crate) fn whole(row: &Row<'_>, column: usize, what: &'static str) -> rusqlite::Result<()> {
    if row.get(column)? {
        return Ok(());
    }
    Err(other_changed(what))
}

/// Says of a row of no job that it is not as it was written.
pub(crate) fn other_changed(what: &'static str) -> rusqlite::Error {
    let changed = Box::new(OtherChanged { what });
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, changed)
}

/// Why another row is not taken.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not as it was written: its checksum differs")]
struct OtherChanged {
    what: &'static str,
}

/// Stands for a number that is not there.
const NONE: i64 = i64::MIN;

/// The sum of these values. Each text is told from its neighbours by its length.
pub(crate) fn of<const N: usize, const T: usize>(
    numbers: [Option<i64>; N],
    texts: [Option<&[u8]>; T],
) -> i64 {
    of_some(&numbers, texts)
}

/// The same of so many numbers: sixteen at most, with the texts.
#[inline]
pub(crate) fn of_some<const T: usize>(numbers: &[Option<i64>], texts: [Option<&[u8]>; T]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    let lengths = texts.map(|text| text.map_or(-1, |text| i64::try_from(text.len()).unwrap_or(i64::MAX)));
    let mut bytes = [0; 128];
    let all = numbers.iter().map(|number| number.unwrap_or(NONE)).chain(lengths);
    let mut end = 0;
    for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(all) {
        *place = number.to_le_bytes();
        end += 8;
    }
    hasher.update(&bytes[..end]);
    for text in texts.into_iter().flatten() {
        hasher.update(text);
    }
    hasher.finalize().into()
}

/// Why a row is not taken.
#[derive(Debug, thiserror::Error)]
#[error("{what} of job {seq} is not as it was written: its checksum differs")]
struct Changed {
    seq: i64,
    what: &'static str,
}

/// Refuses a row whose sum differs from the one that was written with it.
///
/// # Errors
/// The same as for a row that cannot be read.
pub(crate) fn check(
    what: &'static str,
    seq: i64,
    written: Option<i64>,
    found: impl FnOnce() -> i64,
) -> rusqlite::Result<()> {
    if written.is_none_or(|written| written == found()) {
        return Ok(());
    }
    Err(changed(what, seq))
}

/// Says of a job's row that it is not as it was written.
pub(crate) fn changed(what: &'static str, seq: i64) -> rusqlite::Error {
    let changed = Box::new(Changed { seq, what });
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, changed)
}

/// Whether a row was read and is not what was written: the disk, not the query, is at fault.
pub(crate) const fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
    )
}

/// What is wrong with the row of which this says that it is damaged.
pub(crate) fn told(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::FromSqlConversionFailure(_, _, cause) = error {
        return cause.to_string();
    }
    error.to_string()
}

/// A column's bytes, as they stand there.
pub(crate) fn raw<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a [u8]>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_its_place_count() {
        let all = [
            of([Some(1), None], [Some(b"a".as_slice()), Some(b"bc")]),
            of([None, Some(1)], [Some(b"a".as_slice()), Some(b"bc")]),
            of([Some(1), Some(0)], [Some(b"a".as_slice()), Some(b"bc")]),
            of([Some(1), None], [Some(b"ab".as_slice()), Some(b"c")]),
            of([Some(1), None], [Some(b"abc".as_slice()), None]),
            of([Some(1), None], [Some(b"abc".as_slice()), Some(b"")]),
        ];
        for (n, sum) in all.iter().enumerate() {
            assert!(!all[..n].contains(sum), "{n}");
        }
    }

    #[test]
    fn the_sums_in_files_stay_what_they_are() {
        assert_eq!(of([Some(7), None], [Some(b"abc".as_slice())]), EXPECTED);
    }

    const EXPECTED: i64 = 4_226_778_372;
}
