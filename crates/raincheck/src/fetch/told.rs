//! What is told of an answer that was fetched, beside its status, type and bytes: kept with the result in a header of our own.
//!
//! Invariant: it is made here from what was asked and from headers of an allow-list; no server can write into it.

use std::collections::BTreeMap;

use http::HeaderMap;
use raincheck_core::content::JobResult;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The header in which it is kept, as JSON. It is shown in the results of a batch, and never sent as a header.
pub const FETCHED: &str = "raincheck-fetched";

/// Headers of an answer that are told.
const SHOWN: [&str; 14] = [
    "age",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "date",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "server",
    "vary",
];
/// A longer value is left out.
const VALUE_BYTES_MAX: usize = 1 << 10;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    /// What was wanted.
    pub(crate) url: String,
    /// Where the answer came from, where redirects led elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) final_url: Option<String>,
    /// What the answer said of itself.
    pub(crate) headers: BTreeMap<String, String>,
    /// Which attempt it was.
    pub(crate) attempts: u32,
    /// How many bytes the body has.
    pub(crate) bytes: u64,
    /// The file that the body is in, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// Whether the server said that an earlier answer still holds, so that this is that one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) revalidated: bool,
}

impl Told {
    /// The headers of an answer that are told.
    pub(crate) fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        // What there is of them, which is little: to look for each that may be costs more than all the rest that is told.
        for name in headers.keys().filter(|name| SHOWN.contains(&name.as_str())) {
            let values = headers.get_all(name).iter();
            let mut values = values.filter_map(|value| value.to_str().ok());
            let mut value = values.next().unwrap_or_default().to_owned();
            for more in values {
                value.push_str(", ");
                value.push_str(more);
            }
            if !value.is_empty() && value.len() <= VALUE_BYTES_MAX {
                shown.insert(name.as_str().to_owned(), value);
            }
        }
        shown
    }

    /// Where the answer came from.
    pub(crate) fn last_url(&self) -> &str {
        self.final_url.as_deref().unwrap_or(&self.url)
    }

    /// By what it can be asked whether the answer still holds: an entity tag, a date, or both (RFC 9110 section 8.8).
    pub(crate) fn validators(&self) -> Option<(Option<&str>, Option<&str>)> {
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        let found = (header("etag"), header("last-modified"));
        (found != (None, None)).then_some(found)
    }

    /// As it is kept with a result.
    pub(crate) fn header(&self) -> (String, String) {
        let text = serde_json::to_string(self).expect("its keys are text");
        (FETCHED.to_owned(), text)
    }

    /// What was told of this result.
    pub(crate) fn of(result: &JobResult) -> Option<Self> {
        serde_json::from_str(header(result)?).ok()
    }
}

fn header(result: &JobResult) -> Option<&str> {
    let found = result.headers.iter().find(|(name, _)| name == FETCHED);
    found.map(|(_, value)| value.as_str())
}

/// What is told of an answer that was fetched, as JSON: `{"url": …, "final_url": …, "headers": {…}, "attempts": …, "bytes": …}`.
#[must_use]
pub fn fetched(result: &JobResult) -> Option<&RawValue> {
    serde_json::from_str(header(result)?).ok()
}

/// The same, and what a line and a tally want to know of it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fetched<'a> {
    /// As JSON.
    #[serde(skip)]
    pub(super) json: &'a str,
    /// How many bytes the body has.
    pub bytes: u64,
    /// Whether the server said that an earlier answer still holds.
    pub revalidated: bool,
    /// Whether the body is in a file.
    #[serde(rename = "file", deserialize_with = "is_there")]
    pub(super) in_file: bool,
}

impl<'a> Fetched<'a> {
    /// Whether anything was told of the answer that this is the result of.
    #[must_use]
    pub fn is_there(result: &JobResult) -> bool {
        header(result).is_some()
    }

    /// What was told of the answer that this is the result of.
    #[must_use]
    pub fn of(result: &'a JobResult) -> Option<Self> {
        Self::read(header(result)?)
    }

    /// Reads what was told, as JSON.
    #[must_use]
    pub fn read(json: &'a str) -> Option<Self> {
        let read: Self = serde_json::from_str(json).ok()?;
        Some(Self { json, ..read })
    }
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_is_told_reads_back_and_holds_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("etag", "\"x\""),
            ("set-cookie", "a=b"),
            ("link", "<a>"),
            ("link", "<b>"),
            ("raincheck-fetched", "{}"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let told = Told {
            url: "http://a/".to_owned(),
            headers: Told::shown(&headers),
            attempts: 2,
            bytes: 7,
            ..Told::default()
        };
        let result = JobResult::new(200, None, vec![told.header()], Bytes::new());
        let (read, file) = (
            Fetched::of(&result).unwrap(),
            r#"{"file":"a","revalidated":true}"#,
        );
        assert_eq!((read.bytes, read.revalidated, read.in_file), (7, false, false));
        assert_eq!(Some(read.json), fetched(&result).map(RawValue::get));
        let read = Fetched::read(file).unwrap();
        assert_eq!((read.bytes, read.revalidated, read.in_file), (0, true, true));
        assert!(Fetched::read("{} {}").is_none());
        assert_eq!(Told::of(&result), Some(told));
        assert_eq!(
            fetched(&result).map(RawValue::get),
            Some(
                r#"{"url":"http://a/","headers":{"etag":"\"x\"","link":"<a>, <b>"},"attempts":2,"bytes":7}"#
            )
        );
    }
}
