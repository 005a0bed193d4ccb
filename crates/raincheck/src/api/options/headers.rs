//! Reading a raw submission's head: options, idempotency key and content, in one pass over its headers.
//!
//! Invariant: a `Raincheck-*` header is an option, or one that Raincheck itself sends to handlers (ignored, so that one
//! server can push to another), or refused.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use raincheck_core::job::Options;

use super::{Asked, TABLE, idempotency_key, row_of_header};
use crate::api::caller::RAINCHECK_NAMESPACE;
use crate::api::problem::Problem;
use crate::api::text;
use crate::near::nearest;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What Raincheck sends to handlers.
pub(crate) const SENT_TO_HANDLERS: [&str; 5] = [
    "raincheck-attempt",
    "raincheck-attempt-deadline",
    "raincheck-fence",
    "raincheck-job",
    "raincheck-lease",
];

/// The longest trace state that is kept (W3C Trace Context section 3.3.1.5 asks for at least this).
const TRACESTATE_BYTES_MAX: usize = 512;

/// What the head of a submission says.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    /// The options.
    pub(crate) asked: Asked<'a>,
    /// The idempotency key.
    pub(crate) key: Option<String>,
    /// The content type as it came.
    pub(crate) content_type: Option<&'a str>,
    /// Whether the content has a coding.
    pub(crate) encoded: bool,
}

impl<'a> Head<'a> {
    /// Reads the head of a raw submission.
    ///
    /// # Errors
    /// When an option does not exist, is given twice or cannot be, which the problem names.
    pub(crate) fn read(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let mut head = Self::default();
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                head.content_type(value)?;
            } else if *name == header::CONTENT_ENCODING {
                head.encoded = true;
            } else if *name == IDEMPOTENCY_KEY {
                head.key(value)?;
            } else if name.as_str().starts_with(PREFIX) {
                head.option(name.as_str(), value)?;
            }
        }
        trace_context(headers, &mut head.asked.options);
        Ok(head)
    }

    /// Reads the head of a submission whose options are in its body.
    ///
    /// # Errors
    /// When there are options in the head.
    pub(crate) fn read_for_json(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let option = headers.keys().find(|name| row_of_header(name.as_str()).is_some());
        if let Some(rule) = option
            .and_then(|name| row_of_header(name.as_str()))
            .map(|row| &TABLE[row])
        {
            let field = rule.field;
            let detail = format!(
                "{}: on this path options are fields of the JSON; write {field:?}",
                title(rule.header)
            );
            return Err(Problem::bad_request(detail));
        }
        Self::read(headers)
    }

    /// Reads the head of a batch: of the options it takes those that are the batch's own.
    ///
    /// # Errors
    /// When there are others.
    pub(crate) fn read_for_batch(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let of_lines = |name: &&HeaderName| {
            let row = row_of_header(name.as_str()).map(|row| TABLE[row].field);
            row.is_some_and(|field| !["callback", "keep"].contains(&field))
        };
        if let Some(name) = headers.keys().find(of_lines) {
            let detail = format!(
                "{}: of a batch only Raincheck-Callback and Raincheck-Keep are options; write others into its lines",
                title(name.as_str())
            );
            return Err(Problem::bad_request(detail));
        }
        Self::read(headers)
    }

    fn content_type(&mut self, value: &'a HeaderValue) -> Result<(), Problem> {
        let text = value
            .to_str()
            .map_err(|_| Problem::bad_request("Content-Type: not a content type"))?;
        if self.content_type.replace(text).is_some() {
            return Err(Problem::bad_request("Content-Type: given twice"));
        }
        Ok(())
    }

    fn key(&mut self, value: &HeaderValue) -> Result<(), Problem> {
        let key = idempotency_key(value.as_bytes());
        let key = key.map_err(|why| Problem::bad_request(format!("Idempotency-Key: {why}")))?;
        if self.key.replace(key).is_some() {
            return Err(Problem::bad_request("Idempotency-Key: given twice"));
        }
        Ok(())
    }

    fn option(&mut self, name: &'a str, value: &'a HeaderValue) -> Result<(), Problem> {
        let Some(row) = row_of_header(name) else {
            if SENT_TO_HANDLERS.contains(&name) {
                return Ok(());
            }
            return Err(unknown(name));
        };
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| "not text".into());
        let taken = text.and_then(|text| self.asked.take(row, Cow::Borrowed(text)));
        taken.map_err(|why: Cow<'static, str>| Problem::bad_request(format!("{}: {why}", title(name))))
    }
}

/// Headers of workers' requests.
const OF_WORKERS: [&str; 4] = [
    "raincheck-claim",
    "raincheck-seq",
    "raincheck-status",
    "raincheck-stream",
];

/// Whether a `Raincheck-*` header means something in some request. One that does not is refused on every path, so that
/// nobody believes it was heard: on those that take no options, the others are ignored.
pub(crate) fn known(name: &str) -> bool {
    row_of_header(name).is_some()
        || SENT_TO_HANDLERS.contains(&name)
        || OF_WORKERS.contains(&name)
        || name == RAINCHECK_NAMESPACE
}

/// What the names of all options begin with.
const PREFIX: &str = "raincheck-";

/// Refuses an option that does not exist, by its name.
pub(crate) fn unknown(name: &str) -> Problem {
    // What all have in common makes nothing alike.
    let own = |name: &'static str| name.strip_prefix(PREFIX).unwrap_or(name);
    let given = name.strip_prefix(PREFIX).unwrap_or(name);
    let meant = nearest(given, TABLE.iter().map(|row| own(row.header)));
    let name = title(&text::short(name));
    Problem::bad_request(match meant {
        Some(meant) => format!(
            "{name}: there is no such option; did you mean {}?",
            title(&format!("{PREFIX}{meant}"))
        ),
        None => format!("{name}: there is no such option; /openapi.json lists them"),
    })
}

/// Takes the trace context over, where it is well formed; one that is not starts a new trace, as W3C Trace Context
/// section 3.2.2 says, and is no error.
pub(crate) fn trace_context(headers: &HeaderMap, options: &mut Options) {
    let Some(parent) = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()) else {
        return;
    };
    let lengths = [2, 32, 16, 2];
    let mut parts = parent.splitn(4, '-');
    let fit = lengths.iter().all(|length| {
        parts.next().is_some_and(|part| {
            part.len() == *length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    });
    if !fit || parent.starts_with("ff") {
        return;
    }
    options.traceparent = Some(parent.to_owned());
    let states: Vec<&str> = headers
        .get_all(TRACESTATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let state = states.join(",");
    options.tracestate = Some(state).filter(|state| !state.is_empty() && state.len() <= TRACESTATE_BYTES_MAX);
}

/// A header's name as people write it: `Raincheck-Max-Attempts`.
pub(crate) fn title(header: &str) -> String {
    let mut start = true;
    let letter = |c: char| {
        let c = if start { c.to_ascii_uppercase() } else { c };
        start = c == '-';
        c
    };
    header.chars().map(letter).collect()
}
