//! A request as a job's input, and an answer as its result: what is kept of each, and how it is put together again.
//!
//! What HTTP writes beside the headers is kept among them under names that no header has: `:method`, `:path`, and of a result
//! `:answer`. Nothing that comes over the network can bring such a name in.
//!
//! Invariants: what was kept is what is sent: headers, bytes and target as they came, but for what concerns one hop, what
//! opens a session (`Set-Cookie`), and what this server itself says; what opens doors is kept sealed (`safe.rs`).

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use raincheck_core::content::{Header, Input, JobResult};
use raincheck_core::decide::Fingerprint;
use raincheck_core::id::JobId;
use sha2::{Digest as _, Sha256};

use super::header::{OF_A_JOB, strip_hop, takes_trailers};
use super::safe::{Safe, opens_doors};
use crate::api::prefer::Prefer;

const METHOD: &str = ":method";
const PATH: &str = ":path";
/// Names the job that a call which was under way became: only there it is known that it was sent before.
const LATE: &str = ":late";
/// Says that the request may be made again whatever its method.
const UNSAFE_TOO: &str = ":retry-unsafe";
/// Where the client's connection came from, where its route is told that.
const PEER: &str = ":peer";
/// What the name of a header begins with whose value is no UTF-8: its octets are kept as the characters of those numbers.
const OCTETS: &str = ":octets:";
/// What the name of a header begins with whose value is sealed.
const SEALED: &str = ":sealed:";
/// How long the body is that the answer to a HEAD does not have.
const LENGTH: &str = ":length";
/// Tells that a result is an answer to be given as it was.
const ANSWER: &str = ":answer";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The head of a request, as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) method: Method,
    pub(crate) target: Uri,
    pub(crate) headers: HeaderMap,
    /// The job that the call under way became.
    pub(crate) late: Option<JobId>,
    /// Whether it may be made again whatever its method, as those who kept it said.
    pub(crate) unsafe_too: bool,
    /// Where the client's connection came from, where that is kept.
    pub(crate) peer: Option<SocketAddr>,
}

/// Why an input is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoParcel {
    /// It did not come this way.
    #[error("the job's input is no request that was kept")]
    Other,
    /// It has a header that is sealed, and not by this store.
    #[error("the kept request has a credential that was sealed elsewhere, or changed")]
    Sealed,
}

impl Parcel {
    /// What is kept of a request's head, which is one of this hop already.
    pub(crate) fn of(method: &Method, target: &Uri, headers: &HeaderMap) -> Self {
        Self::taken(method.clone(), target, headers.clone())
    }

    /// The same of one that nobody needs any more.
    pub(crate) fn taken(method: Method, target: &Uri, mut headers: HeaderMap) -> Self {
        let path = target.path_and_query().cloned();
        let trailers = takes_trailers(&headers);
        strip_hop(&mut headers);
        // A job has no trailers, nobody who waits for a welcome, and a length that its body says.
        for name in [header::CONTENT_LENGTH, header::EXPECT] {
            headers.remove(name);
        }
        Prefer::leave_others(&mut headers);
        if trailers {
            headers.remove(header::TRAILER);
        }
        Self {
            method,
            target: path.map(Uri::from).unwrap_or_default(),
            headers,
            late: None,
            unsafe_too: false,
            peer: None,
        }
    }

    /// Whether it has headers that must not be kept as they are.
    pub(crate) fn opens_doors(&self) -> bool {
        self.headers.keys().any(opens_doors)
    }

    /// Whether a job's input has such headers.
    pub(crate) fn is_sealed(input: &Input) -> bool {
        input.headers.iter().any(|(name, _)| name.starts_with(SEALED))
    }

    /// As a job's input. What opens doors is sealed; without a safe it is left out.
    pub(crate) fn input(&self, body: Bytes, safe: Option<&Safe>) -> Input {
        let path = self.target.path_and_query().map_or("/", |path| path.as_str());
        let mut headers: Vec<Header> = Vec::with_capacity(self.headers.len() + 5);
        headers.push((METHOD.to_owned(), self.method.as_str().to_owned()));
        headers.push((PATH.to_owned(), path.to_owned()));
        if let Some(late) = self.late {
            headers.push((LATE.to_owned(), late.to_string()));
        }
        if self.unsafe_too {
            headers.push((UNSAFE_TOO.to_owned(), "1".to_owned()));
        }
        if let Some(peer) = self.peer {
            headers.push((PEER.to_owned(), peer.to_string()));
        }
        let mut content_type = None;
        for (name, value) in &self.headers {
            if !opens_doors(name) {
                keep(name, value, &mut content_type, &mut headers);
            } else if let Some(safe) = safe {
                let place = [name.as_str(), self.method.as_str(), path];
                headers.push((
                    [SEALED, name.as_str()].concat(),
                    safe.seal(&place, value.as_bytes()),
                ));
            }
        }
        Input {
            content_type,
            headers,
            body,
        }
    }

    /// What a job's input says, with the safe that was there when it was kept, where it [is sealed](Self::is_sealed).
    ///
    /// # Errors
    /// When it did not come this way, or cannot be opened.
    pub(crate) fn read(input: &Input, safe: Option<&Safe>) -> Result<Self, NoParcel> {
        let (mut method, mut target, mut late) = (None, None, None);
        let (mut unsafe_too, mut peer) = (false, None);
        let mut headers = HeaderMap::with_capacity(input.headers.len() + 8);
        let mut sealed = Vec::new();
        for (name, text) in &input.headers {
            match name.as_str() {
                METHOD => method = Method::from_bytes(text.as_bytes()).ok(),
                PATH => target = text.parse().ok(),
                LATE => late = text.parse().ok(),
                UNSAFE_TOO => unsafe_too = true,
                PEER => peer = text.parse().ok(),
                name if name.starts_with(SEALED) => sealed.push((&name[SEALED.len()..], text)),
                _ => {
                    if let Some((name, value)) = header(name, text) {
                        headers.append(name, value);
                    }
                }
            }
        }
        if let Some((name, value)) = input
            .content_type
            .as_deref()
            .and_then(|text| header("content-type", text))
        {
            headers.insert(name, value);
        }
        let (method, target) = (method.ok_or(NoParcel::Other)?, target.ok_or(NoParcel::Other)?);
        for (name, text) in sealed {
            let (name, value) = opened(name, text, &method, &target, safe).ok_or(NoParcel::Sealed)?;
            headers.append(name, value);
        }
        Ok(Self {
            method,
            target,
            headers,
            late,
            unsafe_too,
            peer,
        })
    }

    /// The idempotency key that its client sent, where it is one.
    pub(crate) fn key(&self) -> Option<&HeaderValue> {
        self.headers.get(IDEMPOTENCY_KEY)
    }

    /// See [`scoped_key`].
    pub(crate) fn scoped_key(&self) -> Option<String> {
        scoped_key(&self.headers)
    }

    /// What must be the same under the same key: method, target, content type and bytes.
    pub(crate) fn fingerprint(&self, body: &[u8]) -> Fingerprint {
        let mut hash = Sha256::new();
        part(&mut hash, self.method.as_str().as_bytes());
        part(&mut hash, self.target.to_string().as_bytes());
        let content_type = self.headers.get(header::CONTENT_TYPE);
        part(&mut hash, content_type.map_or(b"", HeaderValue::as_bytes));
        part(&mut hash, body);
        hash.finalize().into()
    }

    /// Tells the upstream of the job.
    pub(crate) fn tell_job(&mut self, id: JobId, attempt: u32, traceparent: Option<&str>) {
        let id = id.to_string();
        let attempt = attempt.to_string();
        let mut told = vec![("raincheck-job", id.as_str()), ("raincheck-attempt", &attempt)];
        if self.key().is_none() {
            told.push(("idempotency-key", &id));
        }
        if let Some(parent) = traceparent {
            told.push(("traceparent", parent));
        }
        for (name, text) in told {
            if let Some((name, value)) = header(name, text) {
                self.headers.insert(name, value);
            }
        }
    }
}

/// Under which key of this server the key stands that a client sent, where it sent one: one client's keys are nothing to
/// another's.
pub(crate) fn scoped_key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get(IDEMPOTENCY_KEY)?;
    let mut hash = Sha256::new();
    let usual = [header::AUTHORIZATION, header::COOKIE];
    for name in &usual {
        for value in headers.get_all(name) {
            part(&mut hash, value.as_bytes());
        }
        part(&mut hash, b"");
    }
    let mut others: Vec<_> = headers
        .iter()
        .filter(|(name, _)| opens_doors(name) && !usual.contains(name))
        .collect();
    others.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in others {
        part(&mut hash, name.as_str().as_bytes());
        part(&mut hash, value.as_bytes());
    }
    part(&mut hash, key.as_bytes());
    let digest = hash.finalize();
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("proxy:{}", digits.concat()))
}

/// Each part is preceded by its length, so that none can run into the next.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(bytes);
}

/// Keeps a header: the first content type apart, all others in their order.
fn keep(name: &HeaderName, value: &HeaderValue, content_type: &mut Option<String>, kept: &mut Vec<Header>) {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) if name == header::CONTENT_TYPE && content_type.is_none() => {
            *content_type = Some(text.to_owned());
        }
        Ok(text) => kept.push((name.as_str().to_owned(), text.to_owned())),
        Err(_) => {
            let text = value.as_bytes().iter().copied().map(char::from).collect();
            kept.push(([OCTETS, name.as_str()].concat(), text));
        }
    }
}

/// A header that was kept. What of a text no header can hold is none.
fn header(name: &str, text: &str) -> Option<(HeaderName, HeaderValue)> {
    let Some(name) = name.strip_prefix(OCTETS) else {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        return Some((name, HeaderValue::from_bytes(text.as_bytes()).ok()?));
    };
    let octets: Option<Vec<u8>> = text.chars().map(|octet| u8::try_from(octet).ok()).collect();
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(&octets?).ok()?))
}

/// A header that was sealed for this request.
fn opened(
    name: &str,
    text: &str,
    method: &Method,
    target: &Uri,
    safe: Option<&Safe>,
) -> Option<(HeaderName, HeaderValue)> {
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let value = safe?.open(&[name, method.as_str(), path], text)?;
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(value)).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

/// Headers of an answer that are not kept: what opens a session is for the one who asked, at the moment when it asked, and a
/// result may be redeemed by others and later; lengths and trailers are told anew.
const NOT_KEPT: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    header::TRAILER,
];

/// An answer to such a request as a result.
pub(crate) fn result(method: &Method, status: u16, mut headers: HeaderMap, body: Bytes) -> JobResult {
    strip_hop(&mut headers);
    let mut kept: Vec<Header> = vec![(ANSWER.to_owned(), "1".to_owned())];
    let length = headers
        .get(header::CONTENT_LENGTH)
        .filter(|_| *method == Method::HEAD);
    if let Some(length) = length.and_then(|length| length.to_str().ok()) {
        kept.push((LENGTH.to_owned(), length.to_owned()));
    }
    let mut content_type = None;
    for (name, value) in &headers {
        let told_anew = NOT_KEPT.contains(name) || name.as_str().starts_with("raincheck-");
        if !told_anew {
            keep(name, value, &mut content_type, &mut kept);
        }
    }
    JobResult::new(status, content_type, kept, body)
}

/// Whether a result is an answer to be given as it was.
pub(crate) fn is_answer(result: &JobResult) -> bool {
    result.headers.iter().any(|(name, _)| name == ANSWER)
}

/// What such a result says of the length of a body that only a GET had been given.
pub(crate) fn length_of_head(result: &JobResult) -> Option<HeaderValue> {
    let (_, text) = result.headers.iter().find(|(name, _)| name == LENGTH)?;
    HeaderValue::from_str(text).ok()
}

/// The headers of such a result.
pub(crate) fn answer_headers(result: &JobResult, into: &mut HeaderMap) {
    for (name, text) in &result.headers {
        if let Some((name, value)) = header(name, text) {
            into.append(name, value);
        }
    }
    if let Some((name, value)) = result
        .content_type
        .as_deref()
        .and_then(|text| header("content-type", text))
    {
        into.insert(name, value);
    }
}

/// Takes away what only this server says of jobs.
pub(crate) fn strip_job(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| name.as_str().starts_with("raincheck-")) {
        return;
    }
    for name in OF_A_JOB {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
