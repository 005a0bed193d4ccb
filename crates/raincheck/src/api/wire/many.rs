//! Many submissions in one body: a JSON array, or NDJSON.
//!
//! Invariant: a body is cut into entries before any of them is looked at, so that one with too many is refused whole;
//! an entry that is no submission harms no other.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::code::Code;
use crate::api::problem::Problem;

/// The most entries of one list.
pub(crate) const ENTRIES_MAX: usize = 10_000;

/// The largest list, in bytes.
pub(crate) const LIST_BYTES_MAX: u64 = 64 << 20;

/// A list's entries, each still as it was sent.
#[derive(Debug)]
pub(crate) struct Entries<'a>(pub(crate) Vec<&'a [u8]>);

/// Whether a JSON body is a list.
pub(crate) fn is_list(body: &[u8]) -> bool {
    body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[')
}

/// What stands between an array's brackets; what is beyond the limit is counted and not kept.
struct Array<'a> {
    entries: Vec<&'a [u8]>,
    surplus: bool,
}

impl<'de> Deserialize<'de> for Array<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seq;

        impl<'de> Visitor<'de> for Seq {
            type Value = Array<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(64);
                while entries.len() < ENTRIES_MAX {
                    let Some(entry) = seq.next_element::<&'de RawValue>()? else {
                        let surplus = false;
                        return Ok(Array { entries, surplus });
                    };
                    entries.push(entry.get().as_bytes());
                }
                let mut surplus = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    surplus = true;
                }
                Ok(Array { entries, surplus })
            }
        }

        deserializer.deserialize_seq(Seq)
    }
}

impl<'a> Entries<'a> {
    /// The elements of a JSON array.
    ///
    /// # Errors
    /// When it is not well-formed, or has too many.
    pub(crate) fn of_array(body: &'a [u8]) -> Result<Self, Problem> {
        // Checked once here, not again for each value.
        let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("the body is not UTF-8"))?;
        let array: Array<'a> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let detail = format!("the body is not well-formed JSON: line {line}, column {column}");
            Problem::bad_request(detail)
        })?;
        if array.surplus {
            return Err(too_many());
        }
        Ok(Self(array.entries))
    }

    /// The lines of NDJSON that are not blank.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn of_lines(body: &'a [u8]) -> Result<Self, Problem> {
        let lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
        let entries: Vec<_> = lines
            .filter(|line| !line.is_empty())
            .take(ENTRIES_MAX + 1)
            .collect();
        if entries.len() > ENTRIES_MAX {
            return Err(too_many());
        }
        Ok(Self(entries))
    }
}

fn too_many() -> Problem {
    let detail =
        format!("the list has more than {ENTRIES_MAX} entries; nothing was stored, send it in parts");
    Problem::new(Code::BodyTooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_cut_into_its_elements() {
        let cut = |text: &'static str| Entries::of_array(text.as_bytes()).map(|entries| entries.0);
        assert_eq!(cut(" [ ] ").unwrap(), [b""; 0]);
        assert_eq!(
            cut(r#"[{"a": [1,2]} , 7,"x]"]"#).unwrap(),
            [&br#"{"a": [1,2]}"#[..], b"7", br#""x]""#]
        );
        for malformed in ["[", "[1,]", "[1 2]", "[1] 2", "[{]"] {
            let detail = cut(malformed).unwrap_err().detail().to_owned();
            assert!(
                detail.starts_with("the body is not well-formed JSON: line 1"),
                "{malformed}: {detail}"
            );
        }
        assert!(Entries::of_array(b"[\"\xff\"]").is_err());
        assert!(Entries::of_array("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn ndjson_is_cut_into_its_lines() {
        let lines = Entries::of_lines(b"{\"a\":1}\r\n\n  {\n\xff\n7").unwrap().0;
        assert_eq!(lines, [&b"{\"a\":1}"[..], b"{", b"\xff", b"7"]);
        assert_eq!(Entries::of_lines(b"").unwrap().0, [b""; 0]);
    }

    #[test]
    fn ten_thousand_are_taken_and_not_one_more() {
        let array = |n: usize| format!("[{}]", vec!["7"; n].join(","));
        let lines = |n: usize| "7\n".repeat(n);
        assert_eq!(
            Entries::of_array(array(ENTRIES_MAX).as_bytes()).unwrap().0.len(),
            ENTRIES_MAX
        );
        assert_eq!(
            Entries::of_lines(lines(ENTRIES_MAX).as_bytes()).unwrap().0.len(),
            ENTRIES_MAX
        );
        assert!(Entries::of_array(array(ENTRIES_MAX + 1).as_bytes()).is_err());
        assert!(Entries::of_lines(lines(ENTRIES_MAX + 1).as_bytes()).is_err());
    }
}
