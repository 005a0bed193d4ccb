//! The submit options: one table, from which headers, JSON fields and the OpenAPI document are read.
//!
//! Invariant: an option is named, described and parsed in exactly one row; what one form of submitting takes, the
//! other takes too.

pub(crate) mod callback;
mod forward;
mod headers;
mod idempotency;

use std::borrow::Cow;
use std::time::Duration;

use http::header::HeaderName;
use raincheck_core::job::{Options, PRIORITY_DEFAULT, TAGS_MAX};
use raincheck_core::name::{GroupName, Tag};
use raincheck_core::queue::SPAN_MAX;
use raincheck_core::retry::MAX_ATTEMPTS_LIMIT;
use raincheck_core::time::{Timestamp, format_duration, parse_duration};

pub(crate) use forward::{describing, named};
pub(crate) use headers::{Head, SENT_TO_HANDLERS, known, title, trace_context, unknown};
pub(crate) use idempotency::{Fingerprinter, idempotency_key, plain_key};

/// How an option's value is written, for JSON and for the OpenAPI document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number within these bounds.
    Integer(u32, u32),
    /// Anything written as text.
    Text,
    /// Names, separated by commas; in JSON a list.
    Names,
    /// A URL with events; in JSON an object.
    Callback,
    /// A quoted value with the parameters `while` and `on-conflict`; in JSON an object.
    Unique,
}

/// One option.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its header, in lower case.
    pub(crate) header: &'static str,
    /// Its JSON field.
    pub(crate) field: &'static str,
    /// How its value is written.
    pub(crate) kind: Kind,
    /// An example of its value.
    pub(crate) example: &'static str,
    /// What it means, and what holds without it.
    pub(crate) doc: &'static str,
    set: fn(&mut Asked<'_>, &str) -> Result<(), Cow<'static, str>>,
}

/// Every option, alphabetically.
pub(crate) static TABLE: [Rule; 15] = [
    Rule {
        header: "raincheck-backoff",
        field: "backoff",
        kind: Kind::Text,
        example: "exponential;base=2s;cap=10m",
        doc: "How long the job waits after a failed attempt: `exponential;base=2s;cap=10m` or `constant;base=30s`, \
              with full jitter. Unless given, the queue's.",
        set: |asked, text| {
            asked.options.backoff = Some(text.parse().map_err(said)?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-callback",
        field: "callback",
        kind: Kind::Callback,
        example: "\"https://example.org/hook\";events=\"succeeded failed\"",
        doc: "A webhook for this job: where it is sent, and of which ends it tells (`succeeded`, `failed`, `cancelled`, \
              `expired`; all unless said). Unless given, none beside the queue's.",
        set: |asked, text| {
            asked.options.callback = Some(callback::read(text)?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-deadline",
        field: "deadline",
        kind: Kind::Text,
        example: "2h",
        doc: "The time for all attempts, from acceptance. Never started by then: `expired`, else `failed` with \
              `timed-out`. Unless given, none.",
        set: |asked, text| {
            asked.options.deadline = Some(span(text, Duration::from_millis(1))?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-delay",
        field: "delay",
        kind: Kind::Text,
        example: "10m",
        doc: "Start no earlier than so long after acceptance. Not together with run-at. Unless given, now.",
        set: |asked, text| {
            asked.delay = Some(span(text, Duration::ZERO)?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-forward",
        field: "forward",
        kind: Kind::Names,
        example: "accept-language, x-tenant",
        doc: "Names of headers of this request that the handler shall see. Unless given, only those that describe \
              the content.",
        set: |asked, text| {
            asked.forward = forward::names(text)?;
            Ok(())
        },
    },
    Rule {
        header: "raincheck-group",
        field: "group",
        kind: Kind::Text,
        example: "tenant-7",
        doc: "Whose job it is within the queue: groups take turns. Unless given, none.",
        set: |asked, text| {
            asked.group = Some(GroupName::new(text).map_err(said)?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-keep",
        field: "keep",
        kind: Kind::Text,
        example: "24h",
        doc: "How long the finished job and its result stay, at least 1 s. Unless given, the queue's.",
        set: |asked, text| {
            asked.options.keep = Some(span(text, Duration::from_secs(1))?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-max-attempts",
        field: "max_attempts",
        kind: Kind::Integer(1, MAX_ATTEMPTS_LIMIT),
        example: "5",
        doc: "How often the job is attempted, 1 to 100. Unless given, the queue's.",
        set: |asked, text| {
            asked.options.max_attempts = Some(whole(text, 1, MAX_ATTEMPTS_LIMIT)?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-priority",
        field: "priority",
        kind: Kind::Integer(0, 9),
        example: "5",
        doc: "0 (first) to 9 (last), strict within a group. Unless given, 5.",
        set: |asked, text| {
            asked.priority = u8::try_from(whole(text, 0, 9)?).map_err(said)?;
            Ok(())
        },
    },
    Rule {
        header: "raincheck-run-at",
        field: "run_at",
        kind: Kind::Text,
        example: "2026-11-21T06:00:00Z",
        doc: "Start no earlier than this instant: RFC 3339, or `@` and seconds since 1970. Not together with delay. \
              Unless given, now.",
        set: |asked, text| {
            asked.run_at = Some(text.parse().map_err(said)?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-start-before",
        field: "start_before",
        kind: Kind::Text,
        example: "1h",
        doc: "Not started so long after its earliest start: `expired`. Unless given, never.",
        set: |asked, text| {
            asked.options.start_before = Some(span(text, Duration::from_millis(1))?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-tag",
        field: "tags",
        kind: Kind::Names,
        example: "eu, nightly",
        doc: "Labels to search by, at most 16, separated by commas. Unless given, none.",
        set: |asked, text| {
            asked.options.tags = tags(text)?;
            Ok(())
        },
    },
    Rule {
        header: "raincheck-ticket",
        field: "ticket",
        kind: Kind::Text,
        example: "1h",
        doc: "Ask for a ticket in the answer's URLs: `?ticket=…`, signed, by which anybody can read and cancel this one \
              job without a key, for so long from acceptance, at least 1 s. Unless given, none.",
        set: |asked, text| {
            asked.ticket = Some(span(text, Duration::from_secs(1))?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-timeout",
        field: "timeout",
        kind: Kind::Text,
        example: "5m",
        doc: "One attempt's time. Unless given, the queue's.",
        set: |asked, text| {
            asked.options.timeout = Some(span(text, Duration::from_millis(1))?);
            Ok(())
        },
    },
    Rule {
        header: "raincheck-unique",
        field: "unique",
        kind: Kind::Unique,
        example: "\"report-2026-11\";while=active;on-conflict=reject",
        doc: "At most one such job in the queue. The string `auto` is the hash of the input. `while`: `queued` (until \
              first claimed), `active` (until done) or `kept`. `on-conflict`: `reject` (409), `attach` (that job, 200 \
              or 202) or `replace` (cancels one that has not started, else 409). `active` and `reject` unless said. \
              Unless given, none.",
        set: |asked, text| {
            asked.options.unique = Some(text.parse().map_err(said)?);
            Ok(())
        },
    },
];

fn said(error: impl std::fmt::Display) -> Cow<'static, str> {
    error.to_string().into()
}

pub(crate) fn span(text: &str, least: Duration) -> Result<Duration, Cow<'static, str>> {
    let span = parse_duration(text).map_err(said)?;
    if span < least || span > SPAN_MAX {
        let (least, most) = (format_duration(least), format_duration(SPAN_MAX));
        return Err(format!("takes {least} to {most}").into());
    }
    Ok(span)
}

/// Tags as they were given, each once. Empty elements of a list count for nothing (RFC 9110 section 5.6.1).
fn tags(text: &str) -> Result<Vec<Tag>, Cow<'static, str>> {
    let mut tags: Vec<Tag> = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let tag = Tag::new(word).map_err(said)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > TAGS_MAX {
            return Err(format!("takes at most {TAGS_MAX} tags").into());
        }
    }
    Ok(tags)
}

fn whole(text: &str, least: u32, most: u32) -> Result<u32, Cow<'static, str>> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|n| digits && (least..=most).contains(n));
    value.ok_or_else(|| format!("takes a whole number, {least} to {most}").into())
}

/// What a submitter asks, as far as it was read.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) priority: u8,
    pub(crate) group: Option<GroupName>,
    pub(crate) run_at: Option<Timestamp>,
    pub(crate) delay: Option<Duration>,
    pub(crate) options: Options,
    pub(crate) forward: Vec<HeaderName>,
    /// How long a ticket in the answer's URLs shall be good.
    pub(crate) ticket: Option<Duration>,
    /// The options as they were sent, for the fingerprint: row in the table and text.
    sent: Vec<(usize, Cow<'a, str>)>,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self {
            priority: PRIORITY_DEFAULT,
            group: None,
            run_at: None,
            delay: None,
            options: Options::default(),
            forward: Vec::new(),
            ticket: None,
            sent: Vec::new(),
        }
    }
}

impl<'a> Asked<'a> {
    /// Takes the option in this row of the table.
    ///
    /// # Errors
    /// Why its value cannot be, or that it was given before; without its name.
    pub(crate) fn take(&mut self, row: usize, text: Cow<'a, str>) -> Result<(), Cow<'static, str>> {
        if self.sent.iter().any(|(seen, _)| *seen == row) {
            return Err("given twice".into());
        }
        (TABLE[row].set)(self, &text)?;
        self.sent.push((row, text));
        if self.delay.is_some() && self.run_at.is_some() {
            return Err("delay and run-at exclude each other".into());
        }
        Ok(())
    }
}

/// The row of a JSON field.
pub(crate) fn row_of_field(field: &str) -> Option<usize> {
    TABLE.iter().position(|rule| rule.field == field)
}

/// The row of a header, given in lower case.
fn row_of_header(header: &str) -> Option<usize> {
    TABLE.iter().position(|rule| rule.header == header)
}

#[cfg(test)]
mod tests;
