//! The options of a submit: flags here, `Raincheck-*` headers on the wire.
//!
//! Invariant: what the server can judge is judged there, once; only what cannot be a header is refused here.

use clap::Args;
use http::header::{HeaderName, HeaderValue};
use raincheck::core::name::UniqueValue;
use raincheck::core::unique::{Hold, OnConflict, Unique};

use crate::client::Request;
use crate::exit::Failed;

/// What may be asked of one job.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Start no earlier than this from now: 30s, 10m, 1h30m
    #[arg(long, value_name = "DURATION", help_heading = "Job options")]
    pub(crate) delay: Option<String>,
    /// Start no earlier than this instant: 2026-11-21T06:00:00Z, or @1795240800
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "delay",
        help_heading = "Job options"
    )]
    pub(crate) at: Option<String>,
    /// 0 goes first, 9 last [default: 5]
    #[arg(long, value_name = "0-9", help_heading = "Job options")]
    pub(crate) priority: Option<String>,
    /// Whose job it is: groups take turns
    #[arg(long, value_name = "GROUP", help_heading = "Job options")]
    pub(crate) group: Option<String>,
    /// A label; may be repeated, at most 16
    #[arg(long = "tag", value_name = "TAG", help_heading = "Job options")]
    pub(crate) tags: Vec<String>,
    /// How long one attempt may take [default: the queue's, 5m]
    #[arg(long, value_name = "DURATION", help_heading = "Job options")]
    pub(crate) timeout: Option<String>,
    /// How long all attempts together may take, from acceptance
    #[arg(long, value_name = "DURATION", help_heading = "Job options")]
    pub(crate) deadline: Option<String>,
    /// Expire the job where it was not started so long after it could
    #[arg(long, value_name = "DURATION", help_heading = "Job options")]
    pub(crate) start_before: Option<String>,
    /// How often it is attempted, 1 to 100 [default: the queue's, 5]
    #[arg(long, value_name = "N", help_heading = "Job options")]
    pub(crate) max_attempts: Option<String>,
    /// Delays between attempts: 'exponential;base=2s;cap=10m' or 'constant;base=30s'
    #[arg(long, value_name = "BACKOFF", help_heading = "Job options")]
    pub(crate) backoff: Option<String>,
    /// How long the finished job and its result stay [default: the queue's, 24h]
    #[arg(long, value_name = "DURATION", help_heading = "Job options")]
    pub(crate) keep: Option<String>,
    /// The same key and input make the same job, however often they are sent
    #[arg(long, value_name = "KEY", help_heading = "Job options")]
    pub(crate) idempotency_key: Option<String>,
    /// At most one such job in the queue; auto is the hash of the input
    #[arg(long, value_name = "VALUE", help_heading = "Job options")]
    pub(crate) unique: Option<String>,
    /// How long the job holds its unique value: queued, active or kept [default: active]
    #[arg(long, value_name = "WHILE", requires = "unique", help_heading = "Job options")]
    pub(crate) unique_while: Option<String>,
    /// Where another job holds the value: reject, attach or replace [default: reject]
    #[arg(long, value_name = "WHAT", requires = "unique", help_heading = "Job options")]
    pub(crate) on_conflict: Option<String>,
    /// Send a signed webhook here when the job has ended
    #[arg(long, value_name = "URL", help_heading = "Job options")]
    pub(crate) callback: Option<String>,
    /// Of which ends the webhook tells: succeeded, failed, cancelled, expired [default: all]
    #[arg(
        long,
        value_name = "ENDS",
        requires = "callback",
        value_delimiter = ',',
        help_heading = "Job options"
    )]
    pub(crate) callback_events: Vec<String>,
    /// Links to hand out: good for so long, they read and cancel this one job without a key
    #[arg(long, value_name = "DURATION", help_heading = "Job options")]
    pub(crate) ticket: Option<String>,
    /// What the input is [default: by its form or the file's ending]
    #[arg(long, value_name = "TYPE", help_heading = "Job options")]
    pub(crate) content_type: Option<String>,
}

impl Options {
    /// Adds the options to a request, all but the content type.
    pub(crate) fn apply(&self, mut request: Request) -> Result<Request, Failed> {
        let headers = [
            ("raincheck-delay", "--delay", &self.delay),
            ("raincheck-run-at", "--at", &self.at),
            ("raincheck-priority", "--priority", &self.priority),
            ("raincheck-group", "--group", &self.group),
            ("raincheck-timeout", "--timeout", &self.timeout),
            ("raincheck-deadline", "--deadline", &self.deadline),
            ("raincheck-start-before", "--start-before", &self.start_before),
            ("raincheck-max-attempts", "--max-attempts", &self.max_attempts),
            ("raincheck-backoff", "--backoff", &self.backoff),
            ("raincheck-keep", "--keep", &self.keep),
            ("raincheck-ticket", "--ticket", &self.ticket),
        ];
        for (name, flag, value) in headers {
            if let Some(value) = value {
                request = request.header(HeaderName::from_static(name), header(flag, value)?);
            }
        }
        if !self.tags.is_empty() {
            if self.tags.iter().any(|tag| tag.contains(',')) {
                return Err(Failed::usage("--tag takes one label, without a comma")
                    .next("Repeat it: --tag A --tag B"));
            }
            let value = header("--tag", &self.tags.join(","))?;
            request = request.header(HeaderName::from_static("raincheck-tag"), value);
        }
        if let Some(key) = &self.idempotency_key {
            let value = header("--idempotency-key", &quoted(key)?)?;
            request = request.header(HeaderName::from_static("idempotency-key"), value);
        }
        if let Some(unique) = self.unique()? {
            request = request.header(HeaderName::from_static("raincheck-unique"), unique);
        }
        if let Some(callback) = self.callback()? {
            request = request.header(HeaderName::from_static("raincheck-callback"), callback);
        }
        Ok(request)
    }
}

impl Options {
    /// The flags of the webhook as one header.
    fn callback(&self) -> Result<Option<HeaderValue>, Failed> {
        let Some(url) = &self.callback else {
            return Ok(None);
        };
        let mut text = string("--callback", url)?;
        if !self.callback_events.is_empty() {
            let events = self.callback_events.join(" ");
            text.push_str(&format!(";events={}", string("--callback-events", &events)?));
        }
        header("--callback", &text).map(Some)
    }

    /// The flags of uniqueness as one header.
    fn unique(&self) -> Result<Option<HeaderValue>, Failed> {
        let Some(value) = &self.unique else {
            return Ok(None);
        };
        let refused = |flag: &str, why: String| Failed::usage(format!("{flag}: {why}"));
        let hold = self
            .unique_while
            .as_deref()
            .map_or(Ok(Hold::default()), str::parse);
        let on_conflict = self
            .on_conflict
            .as_deref()
            .map_or(Ok(OnConflict::default()), str::parse);
        let unique = Unique {
            value: UniqueValue::new(value).map_err(|error| refused("--unique", error.to_string()))?,
            hold: hold.map_err(|error| refused("--unique-while", error.to_string()))?,
            on_conflict: on_conflict.map_err(|error| refused("--on-conflict", error.to_string()))?,
        };
        header("--unique", &unique.to_string()).map(Some)
    }
}

/// A flag's text as a header's value.
pub(crate) fn header(flag: &str, text: &str) -> Result<HeaderValue, Failed> {
    if text.trim() != text || text.is_empty() {
        return Err(Failed::usage(format!("{flag} takes a text without outer spaces")));
    }
    HeaderValue::from_str(text)
        .map_err(|_| Failed::usage(format!("{flag} takes a text without control characters")))
}

/// The key, which may itself look like a structured field and stays what it is.
fn quoted(key: &str) -> Result<String, Failed> {
    let refused = || Failed::usage("--idempotency-key takes 1 to 255 characters of ASCII text");
    if key.is_empty() || key.len() > 255 {
        return Err(refused());
    }
    string("--idempotency-key", key).map_err(|_| refused())
}

/// The text as a structured-field string (RFC 9651 section 3.3.3).
fn string(flag: &str, text: &str) -> Result<String, Failed> {
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Failed::usage(format!("{flag} takes ASCII text")));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_sent_as_a_string_whatever_is_in_it() {
        assert_eq!(quoted(r#"a"b\c"#).unwrap(), r#""a\"b\\c""#);
        for bad in ["", "ü", "a\nb", &"x".repeat(256)] {
            assert!(quoted(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_flags_of_uniqueness_are_one_header() {
        let unique = |value: &str, hold: Option<&str>, on_conflict: Option<&str>| {
            let options = Options {
                unique: Some(value.to_owned()),
                unique_while: hold.map(str::to_owned),
                on_conflict: on_conflict.map(str::to_owned),
                ..Options::default()
            };
            options
                .unique()
                .map(|value| value.unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(
            unique("a;\"b\"", Some("kept"), Some("attach")).unwrap(),
            r#""a;\"b\"";while=kept;on-conflict=attach"#
        );
        assert_eq!(
            unique("u", None, None).unwrap(),
            r#""u";while=active;on-conflict=reject"#
        );
        for (hold, on_conflict, why) in [
            (
                Some("done"),
                None,
                "--unique-while: while is queued, active or kept",
            ),
            (
                None,
                Some("wait"),
                "--on-conflict: on-conflict is reject, attach or replace",
            ),
        ] {
            assert_eq!(unique("u", hold, on_conflict).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn the_flags_of_a_webhook_are_one_header() {
        let callback = |url: &str, events: &[&str]| {
            let options = Options {
                callback: Some(url.to_owned()),
                callback_events: events.iter().map(|event| (*event).to_owned()).collect(),
                ..Options::default()
            };
            options
                .callback()
                .map(|value| value.unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(callback("https://a/x", &[]).unwrap(), r#""https://a/x""#);
        assert_eq!(
            callback("https://a/x", &["failed", "expired"]).unwrap(),
            r#""https://a/x";events="failed expired""#
        );
        assert_eq!(
            callback("https://ü/", &[]).unwrap_err().to_string(),
            "--callback takes ASCII text"
        );
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_by_its_flag() {
        let refused = |group: &str| {
            let options = Options {
                group: Some(group.to_owned()),
                ..Options::default()
            };
            options.apply(Request::get("/")).unwrap_err().to_string()
        };
        assert_eq!(refused("a\nb"), "--group takes a text without control characters");
        assert_eq!(refused(" a"), "--group takes a text without outer spaces");
        assert_eq!(refused(""), "--group takes a text without outer spaces");
    }
}
