//! From HTTP to facts: what the contract says about an answer's headers and documents.
//!
//! Invariant: whatever must not change is kept as text, whatever may change is left out by name, so a field that a
//! later version adds is compared from its first day.

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::Value;

use crate::ledger::{Doc, JobId, Reply, Shown};

/// Fields of a job document that may change without a stored transition, or that say the same otherwise.
const FLOATING: [&str; 7] = [
    "state",
    "version",
    "retried_as",
    "progress",
    "waiting_for",
    "position",
    "urls",
];

/// Reads an answer.
pub(super) fn reply(status: u16, headers: &HeaderMap, body: Option<&Bytes>) -> Reply {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = header("content-type").unwrap_or_default();
    let json: Option<Value> = body
        .filter(|_| content_type.contains("json"))
        .and_then(|body| serde_json::from_slice(body).ok());
    let problem = content_type.starts_with("application/problem+json");
    let code = json
        .as_ref()
        .filter(|_| problem)
        .and_then(|json| json["code"].as_str());
    let outcome = header("raincheck-outcome").and_then(Shown::parse);
    let doc = json.as_ref().filter(|_| !problem).and_then(doc);
    let awaited = outcome.is_some_and(Shown::is_final) && doc.is_none();
    Reply {
        status,
        job: header("raincheck-job").map(JobId::from),
        outcome,
        code: code.map(Arc::from),
        replayed: header("idempotency-replayed") == Some("true"),
        result: awaited
            .then(|| body.map(|body| result(status, headers, body, json.as_ref())))
            .flatten(),
        doc,
    }
}

/// Reads a job document; `None` where it is something else.
pub(super) fn doc(json: &Value) -> Option<Doc> {
    let id = json["id"].as_str().filter(|id| id.starts_with("job_"))?;
    let text = |field: &str| json[field].as_str();
    Some(Doc {
        id: id.into(),
        version: json["version"].as_u64()?,
        outcome: text("outcome").and_then(Shown::parse),
        attempt: json["attempt"].as_u64()?,
        cancel_requested: json["cancel_requested"].as_bool().unwrap_or(false),
        retry_of: text("retry_of").map(JobId::from),
        fixed: json.get("attempts").map(|_| fixed(json).into()),
    })
}

/// The document without what may change; a waiting job is `scheduled` or `queued` by the clock alone.
fn fixed(json: &Value) -> String {
    let Value::Object(fields) = json else {
        return String::new();
    };
    let mut fields = fields.clone();
    let state = fields.get("state").and_then(Value::as_str).unwrap_or_default();
    let waits = matches!(state, "scheduled" | "queued");
    let state = if waits { "waiting" } else { state }.to_owned();
    fields.retain(|name, _| !FLOATING.contains(&name.as_str()));
    fields.insert("state".to_owned(), Value::from(state));
    Value::Object(fields).to_string()
}

/// The stored result: status, content type, etag and bytes; of a problem what is not of this one request.
fn result(status: u16, headers: &HeaderMap, body: &Bytes, json: Option<&Value>) -> Arc<str> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("-")
    };
    let (content_type, etag) = (header("content-type"), header("etag"));
    let body = match json {
        Some(Value::Object(problem)) if content_type.starts_with("application/problem+json") => {
            let mut problem = problem.clone();
            problem.remove("request_id");
            Value::Object(problem).to_string()
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    format!("{status} {content_type} {etag}\n{}", shortened(body)).into()
}

/// Large results are kept by their ends and a digest.
fn shortened(body: String) -> String {
    const KEPT: usize = 2_000;
    if body.len() <= KEPT {
        return body;
    }
    // FNV-1a, 64 bits: enough to see that a stored result is the same as before.
    let digest = body.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let head: String = body.chars().take(200).collect();
    format!("{head}… {} bytes, digest {digest:016x}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                let name = hyper::header::HeaderName::from_static(name);
                (name, hyper::header::HeaderValue::from_static(value))
            })
            .collect()
    }

    const DOC: &str = r#"{"id":"job_1","state":"queued","done":false,"outcome":null,"version":3,"attempt":1,
        "cancel_requested":false,"retry_of":null,"attempts":[],"urls":{"self":"/v1/jobs/job_1"},"position":4}"#;

    #[test]
    fn a_document_is_read_without_what_floats() {
        let list = [
            ("content-type", "application/json"),
            ("raincheck-outcome", "pending"),
            ("raincheck-job", "job_1"),
        ];
        let reply = reply(202, &headers(&list), Some(&Bytes::from(DOC)));
        let doc = reply.doc.expect("a document");
        assert_eq!((doc.version, doc.attempt, doc.outcome), (3, 1, None));
        let fixed = doc.fixed.expect("a whole document");
        assert!(!fixed.contains("position") && fixed.contains("waiting"));
        assert_eq!(reply.outcome, Some(Shown::Pending));
        assert_eq!(reply.result, None);
    }

    #[test]
    fn a_problem_gives_its_code_and_no_result() {
        let body = r#"{"code":"unknown-job","status":404,"request_id":"r1"}"#;
        let reply = reply(
            404,
            &headers(&[("content-type", "application/problem+json")]),
            Some(&Bytes::from(body)),
        );
        assert_eq!(reply.code.as_deref(), Some("unknown-job"));
        assert_eq!((reply.doc, reply.result), (None, None));
    }

    #[test]
    fn a_stored_problem_is_compared_without_its_request() {
        let read = |id: &str| {
            let body = format!(r#"{{"code":"timed-out","status":504,"request_id":"{id}"}}"#);
            let list = [
                ("content-type", "application/problem+json"),
                ("raincheck-outcome", "failed"),
            ];
            reply(504, &headers(&list), Some(&Bytes::from(body))).result
        };
        assert!(read("a").is_some());
        assert_eq!(read("a"), read("b"));
    }

    #[test]
    fn a_large_result_that_differs_in_one_byte_differs() {
        let mut body = "x".repeat(5_000);
        let before = shortened(body.clone());
        body.replace_range(4_000..4_001, "y");
        assert_ne!(before, shortened(body));
    }
}
