//! Checksums of rows.
//!
//! Invariant: the sum of a row is made of exactly the values that are read back with it, so that [`check`] refuses a row of
//! which a disk changed a byte; a row without a sum is one that an earlier version wrote.

use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};

/// Stands for a number that is not there.
const NONE: i64 = i64::MIN;

/// The sum of these values. Each text is told from its neighbours by its length.
pub(crate) fn of<const N: usize, const T: usize>(
    numbers: [Option<i64>; N],
    texts: [Option<&[u8]>; T],
) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    let lengths = texts.map(|text| text.map_or(-1, |text| i64::try_from(text.len()).unwrap_or(i64::MAX)));
    let mut bytes = [0; 128];
    let all = numbers
        .map(|number| number.unwrap_or(NONE))
        .into_iter()
        .chain(lengths);
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
    let changed = Box::new(Changed { seq, what });
    Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, changed))
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
