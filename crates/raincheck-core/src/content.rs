//! Bytes that came in and bytes that go out: a job's input and its result.
//!
//! Invariant: a result's digest always matches its status, headers and bytes, for it is made in one place.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A header's name (lower case) and value.
pub type Header = (String, String);

/// The request that a handler shall see: bytes as they came, and what describes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The content type as it came.
    pub content_type: Option<String>,
    /// Further headers for the handler: `content-encoding`, `content-language` and those named by
    /// `Raincheck-Forward`.
    pub headers: Vec<Header>,
    /// The bytes, never decoded.
    pub body: Bytes,
}

/// The answer of a handler, kept to be redeemed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResult {
    /// The HTTP status that the result is redeemed with.
    pub status: u16,
    /// The content type of the bytes.
    pub content_type: Option<String>,
    /// Kept headers: those of the allow-list that the handler sent.
    pub headers: Vec<Header>,
    /// The bytes.
    pub body: Bytes,
    /// The start of a SHA-256 over the rest; the strong ETag.
    pub digest: [u8; 16],
}

impl JobResult {
    /// A result with its digest.
    #[must_use]
    pub fn new(status: u16, content_type: Option<String>, headers: Vec<Header>, body: Bytes) -> Self {
        let mut hash = Sha256::new();
        hash.update(status.to_be_bytes());
        let described = content_type.iter().map(|value| ("content-type", value.as_str()));
        for (name, value) in described.chain(headers.iter().map(|(n, v)| (n.as_str(), v.as_str()))) {
            // Each part ends in a byte that no header holds, so that parts cannot run into each other.
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(value.as_bytes());
            hash.update([0]);
        }
        hash.update([1]);
        hash.update(&body);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        Self {
            status,
            content_type,
            headers,
            body,
            digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_status_headers_and_bytes_apart() {
        let make = |status, kind: Option<&str>, headers: &[(&str, &str)], body: &'static str| {
            let headers = headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            JobResult::new(
                status,
                kind.map(str::to_owned),
                headers,
                Bytes::from_static(body.as_bytes()),
            )
            .digest
        };
        let base = make(200, Some("text/plain"), &[("a", "b")], "x");
        assert_eq!(base, make(200, Some("text/plain"), &[("a", "b")], "x"));
        for other in [
            make(201, Some("text/plain"), &[("a", "b")], "x"),
            make(200, None, &[("a", "b")], "x"),
            make(200, Some("text/plain"), &[("ab", "")], "x"),
            make(200, Some("text/plain"), &[], "x"),
            make(200, Some("text/plain"), &[("a", "b")], "y"),
        ] {
            assert_ne!(base, other);
        }
    }
}
