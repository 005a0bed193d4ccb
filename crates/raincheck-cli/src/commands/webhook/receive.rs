//! One webhook as it arrives: verified, and turned into what people and programs read.
//!
//! Invariant: what is not verified is shown as refused, with the reason; nothing of its body is shown to people.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use raincheck::core::time::Timestamp;
use raincheck::webhooks::verify::{NotVerified, Verified, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::document::ErrorDocument;
use crate::exit::Failed;
use crate::output::{Output, Paint, Shape, paint, visible};

/// A webhook that came.
#[derive(Debug)]
pub(super) struct Received {
    /// When.
    at: Timestamp,
    /// Its `webhook-id`, or why it is not believed.
    verified: Result<Verified, NotVerified>,
    /// What it was answered.
    pub(super) status: StatusCode,
    body: Bytes,
}

/// The body, as far as it is used here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    r#type: String,
    data: Data,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    job: Job,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Job {
    id: String,
    queue: String,
    error: Option<ErrorDocument>,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    id: Option<&'a str>,
    received_at: Timestamp,
    verified: bool,
    reason: Option<String>,
    status: u16,
    webhook: Option<&'a RawValue>,
}

impl Received {
    /// Verifies what came; a verified one is answered with `status`.
    pub(super) fn new(
        verifier: &Verifier,
        headers: &HeaderMap,
        body: Bytes,
        now: Timestamp,
        status: StatusCode,
    ) -> Self {
        let verified = verifier.verify(headers, &body, now);
        Self {
            at: now,
            status: if verified.is_ok() {
                status
            } else {
                StatusCode::UNAUTHORIZED
            },
            verified,
            body,
        }
    }

    /// Whether it is what it says.
    pub(super) const fn verified(&self) -> bool {
        self.verified.is_ok()
    }

    /// Whether another secret might tell.
    pub(super) fn unknown_secret(&self) -> bool {
        self.verified == Err(NotVerified::Signature)
    }

    /// Writes it, one line.
    pub(super) fn write(&self, output: Output) -> Result<(), Failed> {
        let id = self.verified.as_ref().ok().map(|verified| &*verified.id);
        let reason = self.verified.as_ref().err().map(ToString::to_string);
        let body: Body = match id {
            Some(_) => serde_json::from_slice(&self.body).unwrap_or_default(),
            None => Body::default(),
        };
        let job = &body.data.job;
        let error = job.error.as_ref().map(ErrorDocument::text);
        let said = reason.clone().or(error).unwrap_or_default();
        match output.shape {
            Shape::Quiet => id.map_or(Ok(()), |id| output.line(id)),
            Shape::Json => {
                let line = Line {
                    id,
                    received_at: self.at,
                    verified: self.verified(),
                    reason,
                    status: self.status.as_u16(),
                    webhook: id.and_then(|_| serde_json::from_slice(&self.body).ok()),
                };
                output.line(&serde_json::to_string(&line).map_err(|error| Failed::unreadable(&error))?)
            }
            Shape::Plain => output.fields(&[
                id.unwrap_or("-"),
                if self.verified() { "verified" } else { "refused" },
                or_dash(&body.r#type),
                or_dash(&job.id),
                or_dash(&job.queue),
                self.status.as_str(),
                &said,
            ]),
            Shape::Terminal => output.line(&self.line(&body, &said, output.colour)),
        }
    }

    fn line(&self, body: &Body, said: &str, colour: bool) -> String {
        let at = self.at.to_string();
        let time = at.get(11..19).unwrap_or(&at);
        let outcome = body.r#type.rsplit('.').next().unwrap_or_default();
        let (what, meaning) = match self.verified() {
            true => (visible(or_dash(&body.r#type)), Paint::of(outcome)),
            false => ("refused".into(), Some(Paint::Bad)),
        };
        // Wide enough for the longest type and for every id, so that lines that come one by one line up.
        let what = format!("{what:<15}");
        let what = meaning.map_or_else(
            || what.clone(),
            |meaning| paint(&what, meaning, colour).into_owned(),
        );
        let job = &body.data.job;
        let line = format!(
            "{}  {what}  {}  {:<30}  {:<12}  {}",
            paint(time, Paint::Dim, colour),
            self.status.as_str(),
            visible(&job.id),
            visible(&job.queue),
            visible(said)
        );
        line.trim_end().to_owned()
    }
}

const fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_columns_that_line_up_and_no_control_characters() {
        let received = |verified| Received {
            at: "2026-11-21T11:52:03Z".parse().unwrap(),
            verified,
            status: StatusCode::NO_CONTENT,
            body: Bytes::new(),
        };
        let body: Body = serde_json::from_str(
            r#"{"type":"job.failed","data":{"job":{"id":"job_1","queue":"q\u001b[2J"}}}"#,
        )
        .unwrap();
        let ok = received(Ok(Verified {
            id: "msg_1".to_owned(),
            at: Timestamp::from_millis(0),
        }));
        assert_eq!(
            ok.line(&body, "timed-out: 5m", false),
            "11:52:03  job.failed       204  job_1                           q\\u{1b}[2J    timed-out: 5m"
        );
        assert!(ok.line(&body, "", true).contains("\x1b[1;31mjob.failed"));
        let refused = received(Err(NotVerified::Time));
        assert!(
            refused
                .line(&Body::default(), "why", false)
                .starts_with("11:52:03  refused          204")
        );
    }
}
