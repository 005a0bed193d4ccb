//! A request as a job's input, and an answer as its result: what is kept of each, and how it is put together again.
//!
//! What HTTP writes beside the headers is kept among them under names that no header has: `:method`, `:path`, and of a result
//! `:answer`. Nothing that comes over the network can bring such a name in.
//!
//! Invariant: what was kept is what is sent: headers, bytes and target as they came, but for what concerns one hop, what
//! opens a session (`Set-Cookie`), and what this server itself says.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use raincheck_core::content::{Header, Input, JobResult};
use raincheck_core::decide::Fingerprint;
use raincheck_core::id::JobId;
use sha2::{Digest as _, Sha256};

use super::header::{OF_A_JOB, strip_hop, takes_trailers};

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
/// Tells that a result is an answer to be given as it was.
const ANSWER: &str = ":answer";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");

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
#[error("the job's input is no request that was kept")]
pub(crate) struct NoParcel;

impl Parcel {
    /// What is kept of a request's head, which is one of this hop already.
    pub(crate) fn of(method: &Method, target: &Uri, headers: &HeaderMap) -> Self {
        let path = target.path_and_query().cloned();
        let mut headers = headers.clone();
        let trailers = takes_trailers(&headers);
        strip_hop(&mut headers);
        // A job has no trailers, nobody who waits for a welcome, and a length that its body says.
        for name in [header::CONTENT_LENGTH, header::EXPECT, PREFER] {
            headers.remove(name);
        }
        if trailers {
            headers.remove(header::TRAILER);
        }
        Self {
            method: method.clone(),
            target: path.map(Uri::from).unwrap_or_default(),
            headers,
            late: None,
            unsafe_too: false,
            peer: None,
        }
    }

    /// As a job's input.
    pub(crate) fn input(&self, body: Bytes) -> Input {
        let path = self.target.path_and_query().map_or("/", |path| path.as_str());
        let mut headers: Vec<Header> = vec![
            (METHOD.to_owned(), self.method.as_str().to_owned()),
            (PATH.to_owned(), path.to_owned()),
        ];
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
            keep(name, value, &mut content_type, &mut headers);
        }
        Input {
            content_type,
            headers,
            body,
        }
    }

    /// What a job's input says.
    ///
    /// # Errors
    /// When it did not come this way.
    pub(crate) fn read(input: &Input) -> Result<Self, NoParcel> {
        let (mut method, mut target, mut late) = (None, None, None);
        let (mut unsafe_too, mut peer) = (false, None);
        let mut headers = HeaderMap::with_capacity(input.headers.len() + 8);
        for (name, text) in &input.headers {
            match name.as_str() {
                METHOD => method = Method::from_bytes(text.as_bytes()).ok(),
                PATH => target = text.parse().ok(),
                LATE => late = text.parse().ok(),
                UNSAFE_TOO => unsafe_too = true,
                PEER => peer = text.parse().ok(),
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
        Ok(Self {
            method: method.ok_or(NoParcel)?,
            target: target.ok_or(NoParcel)?,
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
    for name in [header::AUTHORIZATION, header::COOKIE] {
        for value in headers.get_all(name) {
            part(&mut hash, value.as_bytes());
        }
        part(&mut hash, b"");
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

/// Headers of an answer that are not kept: what opens a session is for the one who asked, at the moment when it asked, and a
/// result may be redeemed by others and later; lengths and trailers are told anew.
const NOT_KEPT: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    header::TRAILER,
];

/// An answer as a result.
pub(crate) fn result(status: u16, mut headers: HeaderMap, body: Bytes) -> JobResult {
    strip_hop(&mut headers);
    let mut kept: Vec<Header> = vec![(ANSWER.to_owned(), "1".to_owned())];
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
mod tests {
    use super::*;

    fn parcel(key: Option<&str>, cookie: Option<&str>) -> Parcel {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("expect", "100-continue"),
            ("prefer", "respond-async"),
            ("x-list", "a"),
            ("x-list", "b"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        for (name, value) in [("idempotency-key", key), ("cookie", cookie)] {
            if let Some(value) = value {
                headers.append(name, value.parse().unwrap());
            }
        }
        Parcel::of(&Method::POST, &"http://x/a%2Fb?c=d".parse().unwrap(), &headers)
    }

    #[test]
    fn a_request_comes_out_as_it_went_in_but_for_its_hop() {
        let mut kept = parcel(None, Some("a=b"));
        kept.unsafe_too = true;
        kept.peer = Some(([127, 0, 0, 1], 7246).into());
        let input = kept.input(Bytes::from_static(b"{}"));
        assert_eq!(input.content_type.as_deref(), Some("application/json"));
        let read = Parcel::read(&input).unwrap();
        assert_eq!(
            (read.method.as_str(), read.target.to_string()),
            ("POST", "/a%2Fb?c=d".to_owned())
        );
        let mut names: Vec<_> = read
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                ("content-type", "application/json"),
                ("cookie", "a=b"),
                ("x-list", "a"),
                ("x-list", "b")
            ]
        );
        assert_eq!((read.unsafe_too, read.peer), (true, kept.peer));
        assert_eq!(Parcel::read(&Input::default()).unwrap_err(), NoParcel);
    }

    #[test]
    fn values_that_are_no_utf_8_are_kept_octet_for_octet() {
        let octets: Vec<u8> = (0x80..=0xff).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-name", "ä".as_bytes()),
            ("x-name", &octets),
            ("content-type", b"text/\xe4"),
        ] {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let input = Parcel::of(&Method::GET, &"/".parse().unwrap(), &headers).input(Bytes::new());
        let result = result(200, headers.clone(), Bytes::new());
        let mut answered = HeaderMap::new();
        answer_headers(&result, &mut answered);
        for kept in [Parcel::read(&input).unwrap().headers, answered] {
            assert_eq!(kept, headers);
        }
        for (name, text) in [(":octets:x", "\u{100}"), (":octets:", "a"), (":octets:x", "a\n")] {
            assert_eq!(header(name, text), None, "{name} {text:?}");
        }
    }

    #[test]
    fn a_key_is_its_clients_own() {
        let key = |key, cookie| parcel(key, cookie).scoped_key();
        assert_eq!(key(None, None), None);
        assert_eq!(key(Some("k"), None), key(Some("k"), None));
        assert_ne!(key(Some("k"), None), key(Some("k"), Some("a=b")));
        assert_ne!(key(Some("k"), None), key(Some("l"), None));
        assert!(key(Some("k"), None).unwrap().len() < 255);
    }

    #[test]
    fn the_upstream_is_told_of_the_job_and_keeps_its_clients_key() {
        let id = JobId::from_parts(1 << 40, 1);
        let told = |mut parcel: Parcel| {
            parcel.tell_job(id, 2, None);
            let of = |name: &str| parcel.headers[name].to_str().unwrap().to_owned();
            (
                of("raincheck-job"),
                of("raincheck-attempt"),
                of("idempotency-key"),
            )
        };
        assert_eq!(
            told(parcel(None, None)),
            (id.to_string(), "2".to_owned(), id.to_string())
        );
        assert_eq!(told(parcel(Some("k"), None)).2, "k");
    }

    #[test]
    fn an_answer_is_kept_but_for_sessions_and_framing() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/html"),
            ("etag", "\"v1\""),
            ("set-cookie", "a=b"),
            ("content-length", "4"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("raincheck-job", "job_x"),
            ("www-authenticate", "Basic"),
            ("vary", "accept"),
            ("vary", "origin"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let result = result(401, headers, Bytes::from_static(b"rain"));
        assert!(is_answer(&result));
        let mut given = HeaderMap::new();
        answer_headers(&result, &mut given);
        let mut names: Vec<_> = given.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["content-type", "etag", "vary", "vary", "www-authenticate"]
        );
    }
}
