//! What a pull worker reads: leases with their jobs and inputs, and what became of what it sent.
//!
//! Invariant: the bytes of an input are those that were submitted: what JSON could not carry as it came is fetched.

use std::time::Duration;

use bytes::Bytes;
use raincheck::core::time::{Timestamp, parse_duration};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::client::Answer;
use crate::document::JobDocument;
use crate::exit::Failed;

/// The answer to a claim, or to a settlement that claimed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeasesDocument {
    leases: Vec<LeaseDocument>,
}

/// A job in our hands.
#[derive(Debug, Deserialize)]
pub(super) struct LeaseDocument {
    /// Names the claim.
    pub(super) lease: String,
    /// Grows with every claim of the job.
    pub(super) fence: u64,
    expires_at: Timestamp,
    expires_in: String,
    /// When the attempt's time is over, by the server's clock.
    pub(super) attempt_deadline: Timestamp,
    /// Whether somebody wants it to stop already.
    #[serde(default)]
    pub(super) cancel_requested: bool,
    /// The job.
    pub(super) job: JobDocument,
    /// Its input.
    pub(super) input: ContentDocument,
    #[serde(default)]
    pub(super) traceparent: Option<String>,
    #[serde(default)]
    pub(super) tracestate: Option<String>,
}

/// Bytes inside JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContentDocument {
    /// What they are.
    pub(super) content_type: Option<String>,
    size: Option<usize>,
    json: Option<Box<RawValue>>,
    text: Option<String>,
    base64: Option<String>,
}

impl ContentDocument {
    /// The bytes, where they are here as they came.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        if let Some(text) = &self.text {
            return Some(Bytes::copy_from_slice(text.as_bytes()));
        }
        if let Some(base64) = &self.base64 {
            return raincheck::api::from_base64(base64).map(Bytes::from);
        }
        // White space around JSON is lost on the way.
        let json = self.json.as_ref()?.get();
        (self.size == Some(json.len())).then(|| Bytes::copy_from_slice(json.as_bytes()))
    }
}

/// A lease as it was received.
#[derive(Debug)]
pub(super) struct Leased {
    /// What the server said.
    pub(super) document: LeaseDocument,
    /// When it was asked for it: its term counts from no earlier than that.
    pub(super) asked: Instant,
    /// The term.
    pub(super) term: Duration,
    /// When the attempt's time is over, by our clock.
    pub(super) deadline: Instant,
    /// The whole time of the attempt.
    pub(super) time: Duration,
}

impl Leased {
    /// The leases of an answer to a request that was sent at `asked`.
    pub(super) fn all(answer: &Answer, asked: Instant) -> Result<Vec<Self>, Failed> {
        let LeasesDocument { leases } = answer.json()?;
        let (date, received) = (answer.date(), Instant::now());
        let leases = leases.into_iter();
        Ok(leases
            .map(|document| Self::of(document, date, asked, received))
            .collect())
    }

    fn of(document: LeaseDocument, date: Option<Timestamp>, asked: Instant, received: Instant) -> Self {
        let term = parse_duration(&document.expires_in).unwrap_or(Duration::from_secs(30));
        let (ends, started) = (document.attempt_deadline, document.job.attempt_started());
        // Three ways to know how late it is at the server, none too late; the time left is the least of them.
        let left = [
            Some(ends.since(document.expires_at) + term),
            date.map(|date| ends.since(date)),
            started.map(|started| ends.since(started)),
        ];
        let left = left.into_iter().flatten().min().unwrap_or(term);
        Self {
            asked,
            term,
            deadline: received + left,
            time: started.map_or(left, |started| ends.since(started)),
            document,
        }
    }
}

/// What became of a settlement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SettledDocument {
    /// Where the job stands.
    pub(super) state: String,
    /// Whether it is finished.
    pub(super) done: bool,
    /// Its next start.
    pub(super) run_at: Option<Timestamp>,
}

/// What became of one entry of `POST /v1/leases`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EntryDocument {
    /// The lease.
    pub(super) lease: Option<String>,
    /// 200, or the status of a problem.
    pub(super) status: u16,
    /// The time left of a lease that was renewed.
    pub(super) expires_in: Option<String>,
    /// Whether its worker is to stop.
    pub(super) cancel_requested: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_taken_from_the_lease_only_where_it_is_whole() {
        let bytes = |json: &str| {
            let content: ContentDocument = serde_json::from_str(json).unwrap();
            content.bytes()
        };
        assert_eq!(
            bytes(r#"{"size":7,"json":{"a": 1}}"#),
            None,
            "the space is missing"
        );
        assert_eq!(
            bytes(r#"{"size":8,"json":{"a": 1}}"#).as_deref(),
            Some(&b"{\"a\": 1}"[..])
        );
        assert_eq!(
            bytes(r#"{"json":{}}"#),
            None,
            "a server that does not tell the size"
        );
        assert_eq!(bytes(r#"{"text":"ä\n"}"#).as_deref(), Some("ä\n".as_bytes()));
        assert_eq!(
            bytes(r#"{"size":3,"base64":"YWJj"}"#).as_deref(),
            Some(&b"abc"[..])
        );
        assert_eq!(bytes(r#"{"size":70000,"url":"/v1/jobs/job_1/input"}"#), None);
    }

    #[test]
    fn the_time_of_an_attempt_counts_from_its_claim_by_the_servers_clock() {
        let lease = |started: &str| {
            serde_json::from_value(serde_json::json!({
                "lease": "l_1", "fence": 1, "expires_at": "2026-11-21T02:00:30.200Z", "expires_in": "30s",
                "attempt_deadline": "2026-11-21T02:05:00.200Z",
                "job": {"id": "job_1", "attempts": [{"n": 1, "started_at": started}]}, "input": {}
            }))
            .unwrap()
        };
        let now = Instant::now();
        let left = |started: &str, date: Option<&str>| {
            let date = date.map(|date| date.parse().unwrap());
            Leased::of(lease(started), date, now, now).deadline - now
        };
        assert_eq!(
            left("2026-11-21T02:00:00.200Z", None),
            Duration::from_secs(300),
            "claimed just now"
        );
        assert_eq!(
            left("2026-11-21T01:59:50.200Z", None),
            Duration::from_secs(300),
            "a repeated claim"
        );
        assert_eq!(
            left("2026-11-21T01:59:50.200Z", Some("2026-11-21T02:00:20.000Z")),
            Duration::from_millis(280_200)
        );
    }
}
