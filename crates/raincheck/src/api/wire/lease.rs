//! What pull workers send, and the leases they get.
//!
//! Invariant: a field that does not exist, comes twice or cannot be is refused and pointed at; what is said of one
//! entry of many harms no other.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use raincheck_core::content::{Header, JobResult};
use raincheck_core::id::LeaseId;
use raincheck_core::job::Failure;
use raincheck_core::lease::{LEASE_MAX, LEASE_MIN, Progress};
use raincheck_core::name::WorkerName;
use raincheck_core::output::{Piece, Stream};
use raincheck_core::queue::SPAN_MAX;
use raincheck_core::time::{format_duration, parse_duration};
use serde_json::value::RawValue;

use super::content::bytes_of;
use super::submit::{fields, string};
use crate::api::problem::Problem;
use crate::api::text;
use crate::pull::CLAIM_MAX;
use crate::workers::KEPT_HEADERS;

/// The longest text that a worker may say of its progress.
const MESSAGE_BYTES_MAX: usize = 1 << 10;
/// The longest name of a claim.
const CLAIM_ID_BYTES_MAX: usize = 255;

type Why = Cow<'static, str>;

/// The fields of an object, as they were read.
type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Reads an object; an empty body is an empty one.
fn all(body: &[u8]) -> Result<Fields<'_>, Problem> {
    if body.is_empty() {
        Ok(Vec::new())
    } else {
        fields(body)
    }
}

/// Goes through the fields. `take` says whether there is such a field.
///
/// # Errors
/// The first field that does not exist, comes twice or cannot be.
fn each<'a>(
    all: &Fields<'a>,
    mut take: impl FnMut(&str, &'a RawValue) -> Result<bool, Why>,
) -> Result<(), Problem> {
    for (index, (name, raw)) in all.iter().enumerate() {
        let taken = if all[..index].iter().any(|(seen, _)| seen == name) {
            Err("given twice".into())
        } else if raw.get() == "null" && name != "json" {
            Ok(true)
        } else {
            take(name, raw)
        };
        let why = match taken {
            Ok(true) => continue,
            Ok(false) => "there is no such field; /openapi.json lists them".into(),
            Err(why) => why,
        };
        let name = text::short(name);
        return Err(Problem::bad_request(format!("the field {name:?}: {why}")).at(format!("/{name}")));
    }
    Ok(())
}

fn whole(raw: &RawValue, least: u32, most: u32) -> Result<u32, Why> {
    let number: Option<u32> = serde_json::from_str(raw.get()).ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("takes a whole number, {least} to {most}").into())
}

fn span(raw: &RawValue, least: Duration, most: Duration) -> Result<Duration, Why> {
    let span = parse_duration(&string(raw)?).map_err(|why| why.to_string())?;
    if span < least || span > most {
        let (least, most) = (format_duration(least), format_duration(most));
        return Err(format!("takes {least} to {most}").into());
    }
    Ok(span)
}

fn term(raw: &RawValue) -> Result<Duration, Why> {
    span(raw, LEASE_MIN, LEASE_MAX)
}

/// A claim as it was read.
#[derive(Debug)]
pub(crate) struct ClaimAsked {
    pub(crate) worker: WorkerName,
    pub(crate) max: u32,
    pub(crate) lease_for: Option<Duration>,
    pub(crate) claim_id: Option<String>,
}

impl ClaimAsked {
    /// Reads a claim.
    ///
    /// # Errors
    /// The first field that does not exist, comes twice or cannot be.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut asked = Self {
            worker: WorkerName::new("anonymous").expect("a plain word is a worker's name"),
            max: 1,
            lease_for: None,
            claim_id: None,
        };
        each(&all(body)?, |name, raw| {
            match name {
                "worker" => asked.worker = WorkerName::new(&string(raw)?).map_err(|why| why.to_string())?,
                "max" => asked.max = whole(raw, 1, CLAIM_MAX)?,
                "lease_for" => asked.lease_for = Some(term(raw)?),
                "claim_id" => {
                    let id = string(raw)?;
                    if id.is_empty() || id.len() > CLAIM_ID_BYTES_MAX || id.chars().any(char::is_control) {
                        return Err("takes 1 to 255 bytes of text without control characters".into());
                    }
                    asked.claim_id = Some(id);
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(asked)
    }
}

/// What a worker does with its lease.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// It needs more time.
    Renew {
        /// For so long from now; the term of its claim where absent.
        term: Option<Duration>,
        progress: Option<Progress>,
    },
    /// The attempt succeeded.
    Succeed(JobResult),
    /// The attempt failed.
    Fail {
        failure: Failure,
        /// The least delay before another attempt, where one may help.
        retry: Option<Duration>,
    },
    /// It gives the job back.
    Release { delay: Duration },
    /// It shows what it has so far.
    Emit { seq: u32, piece: Piece },
}

fn progress(raw: &RawValue) -> Result<Progress, Why> {
    const TAKES: &str = "takes {\"fraction\": 0.0 to 1.0, \"message\": \"…\"}";
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        fraction: Option<f64>,
        message: Option<String>,
    }
    let Written { fraction, message } = serde_json::from_str(raw.get()).map_err(|_| TAKES)?;
    if fraction.is_some_and(|fraction| !(0.0..=1.0).contains(&fraction)) {
        return Err(TAKES.into());
    }
    if message
        .as_ref()
        .is_some_and(|message| message.len() > MESSAGE_BYTES_MAX)
    {
        return Err("the message takes at most 1024 bytes".into());
    }
    Ok(Progress { fraction, message })
}

fn failure(raw: &RawValue) -> Result<Failure, Why> {
    const TAKES: &str = "takes {\"code\": \"…\", \"detail\": \"…\"}";
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        code: Option<String>,
        detail: Option<String>,
    }
    let Written { code, detail } = serde_json::from_str(raw.get()).map_err(|_| TAKES)?;
    let code = code.unwrap_or_else(|| "handler-failed".to_owned());
    if !Failure::takes_code(&code) {
        return Err("the code takes 1 to 64 visible ASCII characters".into());
    }
    Ok(Failure::of_handler(&code, detail.unwrap_or_default()))
}

fn yes_or_no(raw: &RawValue) -> Result<bool, Why> {
    serde_json::from_str(raw.get()).map_err(|_| "takes true or false".into())
}

/// A status that a result can be redeemed with: redirections would need a location, and an answer before the answer is
/// none.
pub(crate) fn status(text: &str) -> Result<u16, Why> {
    let status = text
        .parse()
        .ok()
        .filter(|status| matches!(status, 200..=299 | 400..=599));
    status.ok_or_else(|| "takes a status that an answer may have: 200 to 299 or 400 to 599".into())
}

fn headers(raw: &RawValue) -> Result<Vec<Header>, Why> {
    let written: std::collections::BTreeMap<String, String> =
        serde_json::from_str(raw.get()).map_err(|_| "takes an object of strings")?;
    let mut headers = Vec::new();
    for (name, value) in written {
        let name = name.to_ascii_lowercase();
        let visible = HeaderValue::from_str(&value).is_ok_and(|value| value.to_str().is_ok());
        if !KEPT_HEADERS.contains(&name.as_str()) || !visible {
            let kept = KEPT_HEADERS.join(", ");
            return Err(format!("of a result's headers only these are kept: {kept}").into());
        }
        headers.push((name, value));
    }
    // As they stand in the list of kept ones, so that the same content has the same digest on every path.
    headers.sort_by_key(|(name, _)| KEPT_HEADERS.iter().position(|kept| kept == name));
    Ok(headers)
}

/// A chunk of output or log.
fn piece(name: &str, raw: &RawValue) -> Result<Piece, Why> {
    Ok(match name {
        "log" => Piece {
            stream: Stream::Log,
            body: string(raw)?.into(),
        },
        _ => Piece {
            stream: Stream::Output,
            body: bytes_of(if name == "output" { "text" } else { "base64" }, raw)?.0,
        },
    })
}

/// The parts of an act, as they are read field by field.
#[derive(Default)]
struct Parts {
    term: Option<Duration>,
    progress: Option<Progress>,
    failure: Option<Failure>,
    no_retry: bool,
    retry_after: Option<Duration>,
    delay: Option<Duration>,
    body: Option<(Bytes, &'static str)>,
    content_type: Option<String>,
    status: Option<u16>,
    headers: Vec<Header>,
    claim: Option<u32>,
    seq: Option<u32>,
    piece: Option<Piece>,
}

impl Parts {
    /// Takes a field of this action.
    fn take(&mut self, action: &str, name: &str, raw: &RawValue) -> Result<bool, Why> {
        match (action, name) {
            ("renew", "lease_for") => self.term = Some(term(raw)?),
            ("renew", "progress") => self.progress = Some(progress(raw)?),
            ("fail", "error") => self.failure = Some(failure(raw)?),
            ("fail", "retry") => self.no_retry = !yes_or_no(raw)?,
            ("fail", "retry_after") => self.retry_after = Some(span(raw, Duration::ZERO, SPAN_MAX)?),
            ("release", "delay") => self.delay = Some(span(raw, Duration::ZERO, SPAN_MAX)?),
            ("succeed", "json" | "text" | "base64") => {
                if self.body.replace(bytes_of(name, raw)?).is_some() {
                    return Err("of json, text and base64 only one is taken".into());
                }
            }
            ("succeed", "content_type") => {
                let kind = string(raw)?;
                if kind.is_empty() || !kind.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                    return Err("not a content type".into());
                }
                self.content_type = Some(kind);
            }
            ("succeed", "status") => self.status = Some(status(raw.get())?),
            ("succeed", "headers") => self.headers = headers(raw)?,
            ("emit", "seq") => self.seq = Some(whole(raw, 0, u32::MAX)?),
            ("emit", "output" | "output_base64" | "log") => {
                if self.piece.replace(piece(name, raw)?).is_some() {
                    return Err("of output, output_base64 and log only one is taken".into());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn act(self, action: &str) -> Result<Act, Problem> {
        Ok(match action {
            "renew" => Act::Renew {
                term: self.term,
                progress: self.progress,
            },
            "fail" => Act::Fail {
                failure: self
                    .failure
                    .unwrap_or_else(|| Failure::new("handler-failed", String::new())),
                retry: (!self.no_retry).then(|| self.retry_after.unwrap_or_default()),
            },
            "release" => Act::Release {
                delay: self.delay.unwrap_or_default(),
            },
            "emit" => {
                let lacks = |field: &str, detail| Problem::bad_request(detail).at(format!("/{field}"));
                let seq = self.seq.ok_or_else(|| {
                    lacks(
                        "seq",
                        "the field \"seq\" is missing: chunks are numbered from 0 within a lease",
                    )
                })?;
                let piece = self.piece.ok_or_else(|| {
                    lacks(
                        "output",
                        "one of the fields \"output\", \"output_base64\" and \"log\" is needed",
                    )
                })?;
                Act::Emit { seq, piece }
            }
            _ => {
                let (body, kind) = self
                    .body
                    .map_or((Bytes::new(), None), |(body, kind)| (body, Some(kind)));
                let kind = self.content_type.or_else(|| kind.map(str::to_owned));
                Act::Succeed(JobResult::new(
                    self.status.unwrap_or(200),
                    kind,
                    self.headers,
                    body,
                ))
            }
        })
    }
}

impl Act {
    /// Reads the body of `POST /v1/leases/{lease}/{action}`, for any action but `succeed`, whose body is the result.
    ///
    /// # Errors
    /// The first field that does not exist, comes twice or cannot be.
    pub(crate) fn read(action: &'static str, body: &[u8]) -> Result<Self, Problem> {
        let mut parts = Parts::default();
        each(&all(body)?, |name, raw| parts.take(action, name, raw))?;
        parts.act(action)
    }
}

/// One entry of `POST /v1/leases`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) lease: LeaseId,
    pub(crate) act: Act,
    /// So many next jobs are wanted.
    pub(crate) claim: Option<u32>,
}

/// An entry that could not be read, with the text of its lease where it has one.
pub(crate) type Unread = (Option<String>, Problem);

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// When a field does not exist, comes twice or cannot be.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Unread> {
        let (mut lease, mut action) = (None, None);
        let all = fields(body).map_err(|why| (None, why))?;
        for (name, raw) in &all {
            match &**name {
                "lease" => lease = string(raw).ok(),
                "action" => action = string(raw).ok(),
                _ => {}
            }
        }
        let shown = lease.clone();
        Self::parse(&all, lease, action.as_deref()).map_err(|problem| (shown, problem))
    }

    fn parse(all: &Fields<'_>, lease: Option<String>, action: Option<&str>) -> Result<Self, Problem> {
        const MISSING: &str = "the field \"lease\" is missing or no string";
        let lease = lease.ok_or_else(|| Problem::bad_request(MISSING).at("/lease"))?;
        let lease = lease.parse().map_err(|_| unknown_lease())?;
        let Some(action @ ("renew" | "succeed" | "fail" | "release" | "emit")) = action else {
            let detail = "the field \"action\": takes renew, emit, succeed, fail or release";
            return Err(Problem::bad_request(detail).at("/action"));
        };
        let mut parts = Parts::default();
        each(all, |name, raw| match name {
            "lease" | "action" => Ok(true),
            "claim" if matches!(action, "succeed" | "fail") => {
                parts.claim = Some(whole(raw, 0, CLAIM_MAX)?);
                Ok(true)
            }
            _ => parts.take(action, name, raw),
        })?;
        let claim = parts.claim;
        let act = parts.act(action)?;
        Ok(Self { lease, act, claim })
    }
}

/// The text is no lease id.
pub(crate) fn unknown_lease() -> Problem {
    let detail = "this is not the id of a lease; it starts with l_ and stands in the answer to a claim";
    Problem::new(crate::api::code::Code::UnknownLease, detail)
}
