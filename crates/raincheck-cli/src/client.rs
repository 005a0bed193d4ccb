//! A small HTTP client for one server.
//!
//! Certificates are checked against Mozilla's roots, as pushes do. Invariant: every call is bounded in time, by [`ANSWER_MAX`] beyond what the server was asked to wait.

mod lines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use raincheck::core::time::Timestamp;
use serde::de::DeserializeOwned;

use crate::api_key::ApiKey;
use crate::exit::Failed;
use crate::trust::Trust;

pub(crate) use lines::{Lines, Opened};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take, beyond what the server was asked to wait.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a stream may be silent: three times as long as a server keeps quiet.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The largest answer that is read. A result has at most 16 MiB.
const BODY_MAX: usize = 64 << 20;
/// The server holds a request no longer than this (API.md section 2).
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Where the API is, when nobody says otherwise.
pub(crate) const URL_DEFAULT: &str = "http://127.0.0.1:7246";

/// The address of an API: `http://host:port`, with a prefix where the API is mounted under one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(String);

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser takes bytes in a path that no request may carry.
        let uri: Option<Uri> = text.parse().ok().filter(|_| text.is_ascii());
        let uri = uri.ok_or_else(|| format!("not a URL: write one such as {URL_DEFAULT}"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(format!("not an http URL: write one such as {URL_DEFAULT}")),
        }
        if uri.query().is_some() {
            return Err("the API's address has no query".to_owned());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl Address {
    /// The URL of a path that the server gave out, which may have the API's prefix in it.
    pub(crate) fn link(&self, path: &str) -> String {
        let host = self.0.find("://").map_or(0, |at| at + 3);
        let prefix = self.0[host..].find('/').map_or("", |at| &self.0[host + at..]);
        let rest = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
        format!("{self}{}", rest.unwrap_or(path))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    wait: Duration,
}

impl Request {
    /// A request without a body. `path` starts with `/` and is sent as it is.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            wait: Duration::ZERO,
        }
    }

    /// `GET path`.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST path`.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Gives the request a body of this type.
    #[must_use]
    pub(crate) fn body(mut self, content_type: Option<HeaderValue>, body: Bytes) -> Self {
        if let Some(content_type) = content_type {
            self.headers.insert(CONTENT_TYPE, content_type);
        }
        self.body = body;
        self
    }

    /// Asks the server to hold the answer for up to `wait`, in whole seconds.
    #[must_use]
    pub(crate) fn wait(mut self, wait: Duration) -> Self {
        let seconds = wait.min(WAIT_MAX).as_secs_f64().ceil();
        self.wait = Duration::from_secs_f64(seconds);
        if let Ok(value) = HeaderValue::from_str(&format!("wait={seconds}")) {
            self.headers.insert(HeaderName::from_static("prefer"), value);
        }
        self
    }
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, whole.
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header's value, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// When the server answered, to the second, so that relative times do not depend on this machine's clock.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        http_date(self.header("date")?)
    }

    /// The body as a document.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        serde_json::from_slice(&self.body).map_err(|error| Failed::unreadable(&error))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// The connection broke or stayed silent: whether the request was carried out is not known.
    Lost(String),
}

/// A request's body.
type Content = UnsyncBoxBody<Bytes, std::io::Error>;

/// How long an upload may stand still: a server that is busy lets it wait.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Content>,
    /// Where the server is.
    pub(crate) address: Address,
    /// By whose word a server is the one that it says it is.
    pub(crate) trust: Trust,
    /// What opens it.
    pub(crate) key: Option<ApiKey>,
}

impl Client {
    /// A client of the API at `address`. Connects when needed.
    pub(crate) fn new(address: Address, trust: Trust) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust.config())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Self {
            pool: Pool::builder(TokioExecutor::new()).build(connector),
            address,
            trust,
            key: None,
        }
    }

    /// Sends the request once and reads the whole answer.
    ///
    /// # Cancel safety
    /// Dropping it leaves open whether the request was carried out.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, NoAnswer> {
        let limit = ANSWER_MAX + request.wait;
        match tokio::time::timeout(limit, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(NoAnswer::Lost(format!("no answer within {} s", limit.as_secs()))),
        }
    }

    async fn exchange(&self, request: Request) -> Result<Answer, NoAnswer> {
        whole(self.head(request).await?).await
    }

    /// Sends the request once and reads the answer line by line, where it is a 200; else whole.
    pub(crate) async fn open(&self, request: Request) -> Result<Opened, NoAnswer> {
        let silent = |_| NoAnswer::Lost(format!("no answer within {} s", ANSWER_MAX.as_secs()));
        let response = tokio::time::timeout(ANSWER_MAX, self.head(request))
            .await
            .map_err(silent)??;
        if response.status() == StatusCode::OK {
            return Ok(Opened::Lines(Lines {
                body: response.into_body(),
                read: Vec::new(),
            }));
        }
        let answer = tokio::time::timeout(ANSWER_MAX, whole(response))
            .await
            .map_err(silent)??;
        Ok(Opened::Whole(answer))
    }

    /// Sends the request and reads the head of the answer.
    async fn head(&self, request: Request) -> Result<http::Response<Incoming>, NoAnswer> {
        let body = Full::new(request.body.clone()).map_err(|never| match never {});
        self.head_with(request, body.boxed_unsync()).await
    }

    /// Sends the request once, with a body that is read while it is sent, and reads the whole answer. `sent` grows with
    /// every byte that goes out: where it stands still for too long, the server is lost.
    pub(crate) async fn upload<B>(
        &self,
        request: Request,
        body: B,
        sent: &AtomicU64,
    ) -> Result<Answer, NoAnswer>
    where
        B: hyper::body::Body<Data = Bytes, Error = std::io::Error> + Send + 'static,
    {
        let exchange = async {
            let head = self.head_with(request, body.boxed_unsync()).await?;
            whole(head).await
        };
        let mut exchange = std::pin::pin!(exchange);
        let mut before = None;
        loop {
            match tokio::time::timeout(STANDSTILL_MAX, exchange.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) => {
                    let now = Some(sent.load(Ordering::SeqCst));
                    if before == now {
                        let seconds = STANDSTILL_MAX.as_secs();
                        return Err(NoAnswer::Lost(format!("nothing was taken for {seconds} s")));
                    }
                    before = now;
                }
            }
        }
    }

    async fn head_with(&self, request: Request, body: Content) -> Result<http::Response<Incoming>, NoAnswer> {
        let mut message = http::Request::new(body);
        *message.method_mut() = request.method;
        *message.headers_mut() = request.headers;
        if let Some(key) = &self.key {
            message.headers_mut().insert(AUTHORIZATION, key.header());
        }
        *message.uri_mut() = format!("{}{}", self.address, request.path)
            .parse()
            .map_err(|_| NoAnswer::Unreachable("the URL cannot be built".to_owned()))?;
        self.pool.request(message).await.map_err(|error| {
            let reason = innermost(&error);
            if error.is_connect() {
                NoAnswer::Unreachable(reason)
            } else {
                NoAnswer::Lost(reason)
            }
        })
    }
}

/// Reads an answer to its end.
async fn whole(response: http::Response<Incoming>) -> Result<Answer, NoAnswer> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(|error| {
        NoAnswer::Lost(if error.is::<LengthLimitError>() {
            format!("the answer is larger than {} MiB", BODY_MAX >> 20)
        } else {
            innermost(&*error)
        })
    })?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

/// The cause at the end of the chain: what a person can act on.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The text as a query's value (RFC 3986 section 2.3: the rest is percent-encoded).
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Reads an HTTP date (RFC 9110 section 5.6.7, the form that servers must send):
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_may_have_a_prefix() {
        let address = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(
            address("http://localhost:7246/"),
            Ok("http://localhost:7246".to_owned())
        );
        assert_eq!(
            address("http://[::1]:1/jobs"),
            Ok("http://[::1]:1/jobs".to_owned())
        );
        assert_eq!(
            address("https://jobs.example.org/"),
            Ok("https://jobs.example.org".to_owned())
        );
        for bad in ["localhost:7246", "", "http://x?y", "ftp://x", "http://x/ö"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_querys_value_reaches_the_server_as_it_was_typed() {
        assert_eq!(encoded("a b&c=ü+1"), "a%20b%26c%3D%C3%BC%2B1");
    }

    #[test]
    fn a_path_of_the_server_becomes_a_link_once() {
        for (address, path, link) in [
            ("http://a:1", "/v1/jobs/x?t=1", "http://a:1/v1/jobs/x?t=1"),
            ("http://a/p", "/v1/jobs/x", "http://a/p/v1/jobs/x"),
            ("http://a/p", "/p/v1/jobs/x", "http://a/p/v1/jobs/x"),
            ("http://a/v", "/v1/jobs/x", "http://a/v/v1/jobs/x"),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(address.link(path), link);
        }
    }

    #[test]
    fn the_servers_date_is_read() {
        let date = http_date("Sun, 06 Nov 1994 08:49:37 GMT").map(|date| date.to_string());
        assert_eq!(date.as_deref(), Some("1994-11-06T08:49:37.000Z"));
        assert_eq!(http_date("Sunday"), None);
    }

    #[test]
    fn a_wait_is_asked_for_in_whole_seconds_and_within_the_cap() {
        let prefer = |wait| {
            let request = Request::get("/").wait(wait);
            (
                request.headers["prefer"].to_str().unwrap().to_owned(),
                request.wait,
            )
        };
        assert_eq!(
            prefer(Duration::from_millis(1)),
            ("wait=1".to_owned(), Duration::from_secs(1))
        );
        assert_eq!(
            prefer(Duration::from_secs(3600)),
            ("wait=60".to_owned(), WAIT_MAX)
        );
    }
}
