//! How long a caller wants to wait: `Prefer: wait=N`, `Prefer: respond-async` (RFC 7240) and `?wait=N`.
//!
//! Invariant: a preference that cannot be understood or granted is ignored, as RFC 7240 says; a query parameter that
//! cannot be is refused, for somebody wrote it down.

use std::time::Duration;

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use super::problem::Problem;
use super::query::{once, pairs, unknown};

/// The longest wait that is granted.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Tells which preferences were honoured.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a request prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// How long to wait at most, already cut to [`WAIT_MAX`].
    pub(crate) wait: Option<Duration>,
    /// Whether not to wait is fine, said explicitly.
    pub(crate) respond_async: bool,
}

impl Prefer {
    /// What the request's headers and query say; the query wins.
    ///
    /// # Errors
    /// When the query holds anything else than `wait`, or that more than once or not as a number of seconds.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Problem> {
        let mut prefer = Self::from_headers(&parts.headers);
        if let Some(wait) = wait_in_query(parts.uri.query())? {
            prefer.wait = Some(wait);
        }
        Ok(prefer)
    }

    /// What the headers say.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        for value in headers.get_all(PREFER) {
            for preference in preferences(value.as_bytes()) {
                let Ok(preference) = std::str::from_utf8(preference) else {
                    continue;
                };
                // Parameters after a semicolon refine a preference; none is known for these two.
                let main = preference.split(';').next().unwrap_or_default();
                let (name, value) = main.split_once('=').unwrap_or((main, ""));
                let (name, value) = (name.trim(), value.trim().trim_matches('"'));
                if name.eq_ignore_ascii_case("respond-async") {
                    prefer.respond_async = true;
                } else if name.eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                    // The first of several counts (RFC 7240 section 2).
                    prefer.wait = seconds(value);
                }
            }
        }
        prefer
    }

    /// Takes out of the headers what is said to this server; what else is preferred is said to whoever does the work.
    pub(crate) fn leave_others(headers: &mut HeaderMap) {
        let Entry::Occupied(said) = headers.entry(PREFER) else {
            return;
        };
        let (_, values) = said.remove_entry_mult();
        let mut others = Vec::new();
        for value in values {
            others.extend(
                preferences(value.as_bytes())
                    .filter(|preference| !ours(preference))
                    .map(<[u8]>::to_vec),
            );
        }
        if let (false, Ok(others)) = (
            others.is_empty(),
            HeaderValue::from_bytes(&others.join(&b", "[..])),
        ) {
            headers.insert(PREFER, others);
        }
    }

    /// The `Preference-Applied` of an answer that was given under these preferences, where any was honoured.
    /// `respond_async` counts only where the answer came before the work was done.
    pub(crate) fn applied(self, answered_early: bool) -> Option<HeaderValue> {
        let text = match (self.wait, self.respond_async && answered_early) {
            (None, false) => return None,
            (None, true) => return Some(HeaderValue::from_static("respond-async")),
            (Some(wait), false) => format!("wait={}", wait.as_secs()),
            (Some(wait), true) => format!("respond-async, wait={}", wait.as_secs()),
        };
        Some(HeaderValue::try_from(text).expect("words and digits are visible"))
    }
}

/// The preferences of a line. A comma between quotes parts nothing.
fn preferences(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = line.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

/// Whether this server is meant.
fn ours(preference: &[u8]) -> bool {
    let name = preference.split(|byte| matches!(byte, b'=' | b';')).next();
    let name = name.unwrap_or_default().trim_ascii();
    [&b"respond-async"[..], b"wait"]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Whole seconds, cut to [`WAIT_MAX`]; however long the number.
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().map_or(WAIT_MAX, Duration::from_secs).min(WAIT_MAX))
}

fn wait_in_query(query: Option<&str>) -> Result<Option<Duration>, Problem> {
    let mut wait = None;
    for (name, value) in pairs(query) {
        if name != "wait" {
            return Err(unknown(name));
        }
        // Both spellings are how people write a duration here.
        let value = seconds(value.strip_suffix('s').unwrap_or(value));
        let value =
            value.ok_or_else(|| Problem::bad_request("?wait= takes whole seconds, such as ?wait=30"))?;
        once(&mut wait, name, value)?;
    }
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prefer: &[&str], uri: &str) -> Result<Prefer, String> {
        let mut request = http::Request::builder().uri(uri);
        for value in prefer {
            request = request.header("prefer", *value);
        }
        Prefer::of(&request.body(()).unwrap().into_parts().0).map_err(|p| p.detail().to_owned())
    }

    #[test]
    fn a_wait_is_read_from_the_header_and_from_the_query() {
        let wait = |n| Ok(Some(Duration::from_secs(n)));
        for (prefer, uri, expected) in [
            (&["wait=5"][..], "/", wait(5)),
            (&["WAIT=\"7\"; x=y, respond-async"], "/", wait(7)),
            (&["wait=3, wait=9"], "/", wait(3)),
            (&["handling=lenient", "wait=4"], "/", wait(4)),
            (&["wait=99999999999999999999999"], "/", wait(60)),
            (&["wait=1"], "/?wait=2", wait(2)),
            (&[], "/?wait=30s", wait(30)),
            (&[], "/?wait=0", wait(0)),
            (&["wait=soon"], "/", Ok(None)),
            (&["wait"], "/", Ok(None)),
            (&["wait=-1"], "/", Ok(None)),
            (
                &["foo=\"a,wait=5\", wait=1"],
                "/",
                Ok(Some(Duration::from_secs(1))),
            ),
        ] {
            assert_eq!(of(prefer, uri).map(|p| p.wait), expected, "{prefer:?} {uri}");
        }
    }

    #[test]
    fn what_others_are_to_do_stays() {
        for (said, left) in [
            (&[][..], None),
            (&["respond-async, wait=5; x=y", " WAIT = 3 "], None),
            (
                &[
                    "return=representation, respond-async",
                    "resolution=merge-duplicates",
                ],
                Some("return=representation, resolution=merge-duplicates"),
            ),
            (
                &["waiter=\"a, wait=1\\\", wait=2\", wait=3"],
                Some("waiter=\"a, wait=1\\\", wait=2\""),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append(PREFER, line.parse().unwrap());
            }
            Prefer::leave_others(&mut headers);
            let all: Vec<_> = headers
                .get_all(PREFER)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect();
            assert_eq!(all, left.into_iter().collect::<Vec<_>>(), "{said:?}");
        }
    }

    #[test]
    fn a_query_that_makes_no_sense_is_refused() {
        for uri in [
            "/?wait=",
            "/?wait=soon",
            "/?wait=1&wait=1",
            "/?weight=1",
            "/?wait=1&x",
        ] {
            assert!(of(&[], uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn what_was_honoured_is_told() {
        let prefer = Prefer {
            wait: Some(Duration::from_secs(5)),
            respond_async: true,
        };
        assert_eq!(prefer.applied(true).unwrap(), "respond-async, wait=5");
        assert_eq!(prefer.applied(false).unwrap(), "wait=5");
        assert_eq!(Prefer::default().applied(true), None);
    }
}
