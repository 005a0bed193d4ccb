//! Conditional requests and ranges (RFC 9110 sections 13 and 14).
//!
//! Invariant: what is malformed is ignored, as the RFC says, so that the whole is sent; only a well-formed range outside
//! the bytes is refused.

use std::ops::Range;

use http::header::{self, HeaderMap, HeaderValue};

/// A job document's tag.
pub(crate) fn weak_tag(version: u32) -> HeaderValue {
    super::answer::value(format!("W/\"{version}\""))
}

/// A result's tag.
pub(crate) fn strong_tag(digest: &[u8; 16]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in digest {
        tag.push(char::from(DIGITS[usize::from(byte >> 4)]));
        tag.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    tag.push('"');
    tag
}

/// Whether `If-None-Match` holds the tag (given with its quotes, without `W/`), compared weakly, or a star.
pub(crate) fn none_match(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|text| {
            let mut rest = text.trim();
            if rest == "*" {
                return true;
            }
            loop {
                rest = rest.trim_start_matches([' ', '\t', ',']);
                let Some(open) = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"') else {
                    return false;
                };
                let Some((opaque, after)) = open.split_once('"') else {
                    return false;
                };
                if tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(opaque) {
                    return true;
                }
                rest = after;
            }
        })
}

/// Which versions `If-Match` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Any: it is absent, or a star.
    Any,
    /// One of these; none where no tag is one that a job can have.
    Versions(Vec<u32>),
}

/// What `If-Match` asks of a job document. Its tags are weak, for the document tells of time as well, yet a version
/// stands for exactly one state of the job, so they are compared by their versions.
///
/// # Errors
/// When the header is malformed: unlike other conditions this one guards a change and is not ignored.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Expected, &'static str> {
    const MALFORMED: &str = "takes the ETag of the job, such as W/\"3\", several of them, or *";
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(Expected::Any);
    }
    let mut versions = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let mut rest = value.to_str().map_err(|_| MALFORMED)?.trim();
        if rest == "*" {
            return Ok(Expected::Any);
        }
        loop {
            let open = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"');
            let (tag, after) = open.and_then(|open| open.split_once('"')).ok_or(MALFORMED)?;
            // A version has one spelling.
            versions.extend(
                tag.parse()
                    .ok()
                    .filter(|version: &u32| version.to_string() == tag),
            );
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            rest = rest.strip_prefix(',').ok_or(MALFORMED)?.trim_start();
        }
    }
    Ok(Expected::Versions(versions))
}

/// Which bytes were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of them.
    Whole,
    /// These.
    Part(Range<usize>),
    /// None that exist.
    Outside,
}

/// What `Range` and `If-Range` ask of `len` bytes with this strong tag. Several ranges at once are answered with the
/// whole, which RFC 9110 section 14.2 allows.
pub(crate) fn range(headers: &HeaderMap, tag: &str, len: usize) -> Asked {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Asked::Whole;
    };
    // A result has no date, so only its tag can match, and strongly (RFC 9110 section 13.1.5).
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|value| value.as_bytes() != tag.as_bytes() || tag.starts_with("W/"))
    {
        return Asked::Whole;
    }
    part(text, len).unwrap_or(Asked::Whole)
}

/// `None` where the text is not one well-formed range of bytes.
fn part(text: &str, len: usize) -> Option<Asked> {
    let (unit, set) = text.split_once('=')?;
    let (first, last) = set.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let number = |text: &str| -> Option<usize> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(usize::MAX))
    };
    if first.is_empty() {
        let suffix = number(last)?.min(len);
        return Some(if suffix == 0 {
            Asked::Outside
        } else {
            Asked::Part(len - suffix..len)
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        usize::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    Some(if first >= len {
        Asked::Outside
    } else {
        Asked::Part(first..last.saturating_add(1).min(len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_tag_is_found_in_any_list() {
        for (text, found) in [
            ("*", true),
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"x\", W/\"a,b\" ,\"a\"", true),
            ("\"x,\"a\"", false),
            ("a", false),
            ("\"a", false),
            ("", false),
            ("W/\"b\"", false),
        ] {
            assert_eq!(
                none_match(&headers(&[("if-none-match", text)]), "\"a\""),
                found,
                "{text}"
            );
        }
    }

    #[test]
    fn if_match_names_versions_and_nothing_malformed_passes_for_any() {
        let ask = |text: &str| expected(&headers(&[("if-match", text)]));
        let versions = |list: &[u32]| Ok(Expected::Versions(list.to_vec()));
        assert_eq!(expected(&HeaderMap::new()), Ok(Expected::Any));
        assert_eq!(ask(" * "), Ok(Expected::Any));
        assert_eq!(ask("W/\"3\""), versions(&[3]));
        assert_eq!(ask("\"3\" , W/\"4\""), versions(&[3, 4]));
        assert_eq!(ask("\"x\", \"03\", \"\""), versions(&[]));
        for malformed in ["", "3", "\"3", "W/3", "\"3\" \"4\"", "\"3\",", "*, \"3\""] {
            assert!(ask(malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        for (text, asked) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-5", Asked::Part(2..6)),
            ("Bytes=7-", Asked::Part(7..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-99", Asked::Part(0..10)),
            ("bytes=9-99999999999999999999999", Asked::Part(9..10)),
            ("bytes=10-", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=5-2", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("0-1", Asked::Whole),
        ] {
            assert_eq!(range(&headers(&[("range", text)]), "\"t\"", 10), asked, "{text}");
        }
        assert_eq!(
            range(&headers(&[("range", "bytes=-1")]), "\"t\"", 0),
            Asked::Outside
        );
    }

    #[test]
    fn a_range_counts_only_while_the_result_is_the_same() {
        let ask = |tag| {
            range(
                &headers(&[("range", "bytes=0-0"), ("if-range", tag)]),
                "\"t\"",
                10,
            )
        };
        assert_eq!(ask("\"t\""), Asked::Part(0..1));
        assert_eq!(ask("W/\"t\""), Asked::Whole);
        assert_eq!(ask("\"u\""), Asked::Whole);
        assert_eq!(ask("Sat, 21 Nov 2026 06:00:00 GMT"), Asked::Whole);
    }
}
