//! Which paths a rule is for: `/reports/**`, `/*/export`, `/v2/report-*.pdf`.
//!
//! `*` stands for any characters of one segment, `**` for any number of whole segments, none included: `/reports/**` is
//! `/reports` and everything below it. Everything else stands for itself, byte for byte: a path is compared as it was sent,
//! which is what the upstream sees.
//!
//! Invariant: a path that an upstream might read as another one (it has dot segments, plain or encoded) matches nothing but
//! `/**`, so that no rule is walked around, and none reaches beyond itself.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A pattern of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: Arc<str>,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// `**`.
    Any,
    /// Any but that; `*` within stands for any characters.
    One(Box<[u8]>),
}

/// Why a text is no pattern of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseGlobError {
    /// It does not begin with a slash.
    #[error("a path begins with a slash, such as /reports/**")]
    Relative,
    /// `**` beside something else.
    #[error("** stands alone between slashes, such as /reports/**; * is for a part of a segment")]
    Beside,
    /// Something that no path has.
    #[error("write a path as it is sent: without query, spaces and dot segments, other characters as %XX")]
    NoPath,
}

impl FromStr for Glob {
    type Err = ParseGlobError;

    fn from_str(text: &str) -> Result<Self, ParseGlobError> {
        let rest = text.strip_prefix('/').ok_or(ParseGlobError::Relative)?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
        if !text.bytes().all(plain) || has_dot_segments(text) {
            return Err(ParseGlobError::NoPath);
        }
        let segments = rest.split('/').map(|segment| match segment {
            "**" => Ok(Segment::Any),
            _ if segment.contains("**") => Err(ParseGlobError::Beside),
            _ => Ok(Segment::One(segment.as_bytes().into())),
        });
        Ok(Self {
            segments: segments.collect::<Result<_, _>>()?,
            text: text.into(),
        })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Glob {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, to be shared.
    pub(crate) const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it is for everything there is.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.segments == [Segment::Any]
    }

    /// Whether it is for this path, given as it was sent, without its query.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if self.is_all() {
            return true;
        }
        if has_dot_segments(path) {
            return false;
        }
        path.strip_prefix('/').is_some_and(|rest| {
            let segments: Vec<&[u8]> = rest.as_bytes().split(|byte| *byte == b'/').collect();
            all(&self.segments, &segments) || (segments.last() == Some(&&b""[..]) && self.below(&segments))
        })
    }

    /// Whether a path that ends in a slash is the folder itself: `/reports/` under `/reports/**`.
    fn below(&self, segments: &[&[u8]]) -> bool {
        self.segments.last() == Some(&Segment::Any) && all(&self.segments, &segments[..segments.len() - 1])
    }
}

/// Whether the segments match, each `**` taking as few as it can: only the last one ever has to take more.
fn all(pattern: &[Segment], path: &[&[u8]]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while s < path.len() {
        match pattern.get(p) {
            Some(Segment::Any) => {
                again = Some((p, s));
                p += 1;
                continue;
            }
            Some(Segment::One(one)) if within(one, path[s]) => {
                p += 1;
                s += 1;
                continue;
            }
            Some(Segment::One(_)) | None => {}
        }
        let Some((any, from)) = again else { return false };
        again = Some((any, from + 1));
        (p, s) = (any + 1, from + 1);
    }
    pattern[p..].iter().all(|segment| *segment == Segment::Any)
}

/// The same for the characters of one segment.
fn within(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                again = Some((p, t));
                p += 1;
                continue;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
                continue;
            }
            Some(_) | None => {}
        }
        let Some((star, from)) = again else { return false };
        again = Some((star, from + 1));
        (p, t) = (star + 1, from + 1);
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether somebody who resolves dot segments (RFC 3986 section 5.2.4), be they written plainly or encoded, with slashes of
/// either kind, would read another path. The common case costs one look for a dot and a percent sign.
pub(crate) fn has_dot_segments(path: &str) -> bool {
    if memchr::memchr2(b'.', b'%', path.as_bytes()).is_none() {
        return false;
    }
    segments(path).any(|segment| matches!(&*segment, b"." | b".."))
}

/// The segments as one who decodes the path once sees them; what follows a `;` is no part of a segment's name.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = Vec<u8>> {
    let decoded = decoded(path);
    let mut all = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        all.push(name.to_vec());
    }
    all.into_iter()
}

fn decoded(path: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = (*byte == b'%').then(|| (digit(bytes.get(at + 1)), digit(bytes.get(at + 2))));
        if let Some((Some(high), Some(low))) = pair {
            out.push(u8::try_from(high * 16 + low).unwrap_or_default());
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        glob.parse::<Glob>().unwrap().matches(path)
    }

    #[test]
    fn a_pattern_is_for_the_paths_it_says() {
        for (glob, path, expected) in [
            ("/reports/**", "/reports/2026-11", true),
            ("/reports/**", "/reports/a/b/c", true),
            ("/reports/**", "/reports", true),
            ("/reports/**", "/reports/", true),
            ("/reports/**", "/reportsx", false),
            ("/reports/**", "/Reports/a", false),
            ("/reports/*", "/reports/a", true),
            ("/reports/*", "/reports/a/b", false),
            ("/reports/*", "/reports", false),
            ("/reports", "/reports", true),
            ("/reports", "/reports/", false),
            ("/**/export", "/export", true),
            ("/**/export", "/a/b/export", true),
            ("/**/export", "/a/export/b", false),
            ("/a/**/b/**/c", "/a/x/b/b/y/c", true),
            ("/a/**/b/**/c", "/a/x/y/c", false),
            ("/r-*.pdf", "/r-1.pdf", true),
            ("/r-*.pdf", "/r-.pdf.pdf", true),
            ("/r-*.pdf", "/r-1.pdfx", false),
            ("/*a*b*", "/xxaxxbxx", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/**", "/", true),
            ("/**", "/a/../b", true),
            ("/**", "*", true),
            ("/a%20b", "/a%20b", true),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_as_another_matches_nothing_narrower_than_all() {
        for path in [
            "/reports/../admin",
            "/reports/./x",
            "/reports/%2e%2e/admin",
            "/reports/.%2E/admin",
            "/reports/%2e%2e%2fadmin",
            "/reports/..%5cadmin",
            "/reports/..;/admin",
            "/reports/..",
        ] {
            assert!(!matches("/reports/**", path), "{path}");
            assert!(matches("/**", path), "{path}");
        }
        for path in [
            "/reports/a..b",
            "/reports/...",
            "/reports/.well-known",
            "/reports/%2",
            "/reports/a%2fb",
        ] {
            assert!(matches("/reports/**", path), "{path}");
        }
        assert!(!matches("/reports/**", "//reports/a"), "an empty segment is one");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, why) in [
            ("", ParseGlobError::Relative),
            ("reports/**", ParseGlobError::Relative),
            ("/a**", ParseGlobError::Beside),
            ("/a?b", ParseGlobError::NoPath),
            ("/a b", ParseGlobError::NoPath),
            ("/a/../b", ParseGlobError::NoPath),
            ("/ä", ParseGlobError::NoPath),
        ] {
            assert_eq!(text.parse::<Glob>(), Err(why), "{text}");
        }
    }

    #[test]
    fn a_pattern_full_of_stars_is_compared_in_a_moment() {
        let glob = format!("/{}b", "*a".repeat(60));
        assert!(!matches(&glob, &format!("/{}", "a".repeat(8_000))));
        let glob = format!("/{}b", "**/a/".repeat(60));
        assert!(!matches(&glob, &"/a".repeat(4_000)));
    }
}
