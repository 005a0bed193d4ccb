//! Answers for those whom no route answers: too many connections, a head that does not come, and what is no request.
//!
//! Invariant: they are problems like any other, with an id of their own, and the connection ends with them.

use std::hash::{BuildHasher as _, RandomState};

use crate::api::code::Code;
use crate::links::Mount;

/// The answer, as bytes.
pub(super) fn bare_answer(mount: &Mount, code: Code, detail: &str) -> Vec<u8> {
    let status = code.status();
    let (number, reason) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    let (name, title) = (code.as_str(), code.title());
    let id = format!("{:016x}", RandomState::new().hash_one(number));
    tracing::debug!(request_id = %id, code = name, "refused before there was a request");
    let body = format!(
        r#"{{"type":"{mount}/problems/{name}","title":"{title}","status":{number},"detail":"{detail}","code":"{name}","request_id":"{id}"}}"#
    );
    let length = body.len();
    let again = if matches!(code, Code::TooManyConnections | Code::RequestTimeout) {
        "retry-after: 1\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {number} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\n{again}connection: close\r\nx-request-id: {id}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What is said instead of hyper's own answer to what is no request, which is a status and nothing else. `None` for any other
/// bytes: all answers of ours have an id.
pub(super) fn instead(mount: &Mount, bytes: &[u8]) -> Option<Vec<u8>> {
    let (code, detail) = match bytes.strip_prefix(b"HTTP/1.1 ")?.get(..4)? {
        b"400 " => (
            Code::BadRequest,
            "this is not well-formed HTTP/1.1; is it another protocol, such as TLS?",
        ),
        b"414 " => (
            Code::UriTooLong,
            "the URI is longer than 8 KiB; put what is long into the body",
        ),
        b"431 " => (
            Code::HeadersTooLarge,
            "the headers are more than 100, or larger than 32 KiB together; put what is large into the body",
        ),
        _ => return None,
    };
    let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n\r\n")?).ok()?;
    let told = |line: &str| line.starts_with("x-") || line.starts_with("content-type");
    (head.contains("content-length: 0") && !head.contains("\r\n\r\n") && !head.lines().any(told))
        .then(|| bare_answer(mount, code, detail))
}
