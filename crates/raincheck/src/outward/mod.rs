//! Requests to others: push targets, webhooks, and (`kept`, `places`) the upstreams of a proxy and URLs that are fetched.
//!
//! Invariants: no redirect is followed here (a fetch asks anew for each), nothing is decompressed, no proxy of the environment is asked, no cookie is kept;
//! a URL that came over the API leads only where [`Targets`] says.

mod away;
mod connect;
pub(crate) mod hosts;
pub(crate) mod kept;
pub(crate) mod places;
mod stream;
pub mod target;
pub mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::uri::Authority;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use raincheck_core::time::Timestamp;

use self::connect::Connector;
use self::target::{Refused, Targets};
use self::trust::Trust;

/// How long an idle connection is kept. Shorter than the 5 s after which common servers (uvicorn, Node.js) close theirs,
/// for a request that meets a closing connection fails and costs the job an attempt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// A longer `Retry-After` counts as this much: a handler shall not put a job to sleep for years.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// How much of an answer's head is read.
const HEAD_MAX: usize = 64 << 10;

/// Sends requests, and keeps the connections for them. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Client(legacy::Client<Connector, Full<Bytes>>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// For URLs that the operator wrote: they may lead anywhere.
    pub(crate) fn open(trust: &Trust) -> Self {
        Self::through(Connector::new(None, trust))
    }

    /// For URLs that came over the API.
    pub(crate) fn guarded(targets: &Arc<Targets>, trust: &Trust) -> Self {
        Self::through(Connector::new(Some(targets.clone()), trust))
    }

    fn through(connector: Connector) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(HEAD_MAX)
            .build(connector);
        Self(client)
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        self.0.request(request).await
    }
}

/// The innermost reason, which says most: outer ones say "client error".
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        cause = inner.to_string();
        source = inner.source();
    }
    if cause.contains("CaUsedAsEndEntity") {
        cause.push_str(": its certificate is an authority's, and none for a server; sign one for it with that, or make one without CA:TRUE");
    }
    cause
}

/// Whether it was this server that would not make the connection: that says nothing of the host.
pub(crate) fn refused_here(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io
            .and_then(std::io::Error::get_ref)
            .is_some_and(|why| why.is::<Refused>())
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A URL as a request's target.
///
/// # Errors
/// What is taken instead.
pub(crate) fn target(url: &str) -> Result<Uri, &'static str> {
    let absolute = "takes absolute URLs such as http://localhost:8000/jobs";
    let uri: Uri = url.parse().map_err(|_| absolute)?;
    let authority = uri.authority().ok_or(absolute)?;
    let host = authority.as_str();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_empty() || host.starts_with(':') {
        return Err("takes http:// and https:// URLs only");
    }
    if host.contains('@') {
        return Err("takes URLs without user and password");
    }
    if !port_fits(authority) {
        return Err("takes ports up to 65535");
    }
    Ok(uri)
}

/// Whether what is written as a port is one: what is none would be read as if nothing were written.
#[must_use]
pub fn port_fits(authority: &Authority) -> bool {
    match authority.as_str().rsplit_once(':') {
        // The end of an address of version 6.
        Some((_, port)) if port.ends_with(']') => true,
        Some((_, port)) => port.is_empty() || (!port.starts_with('+') && port.parse::<u16>().is_ok()),
        None => true,
    }
}

/// The least delay before another attempt: seconds or an HTTP date (RFC 9110 section 10.2.3); zero where there is none
/// or it cannot be read.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Duration {
    let text = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let delay = if digits {
        // More digits than fit are more than the cap as well.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok();
        let since_epoch = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        since_epoch.map_or(Duration::ZERO, |instant| {
            Timestamp::default().plus(instant).since(now)
        })
    };
    delay.min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let delay = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).as_secs()
        };
        for (text, seconds) in [
            ("7", 7),
            (" 7 ", 7),
            ("Sat, 21 Nov 2026 06:00:30 GMT", 30),
            ("Sat, 21 Nov 2026 05:00:00 GMT", 0),
            ("99999999999999999999999", 86_400),
            ("soon", 0),
            ("-5", 0),
            ("", 0),
        ] {
            assert_eq!(delay(text), seconds, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), Duration::ZERO);
    }
}
