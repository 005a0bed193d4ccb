//! Pages of other origins: those that the operator names may call the API from a browser.
//!
//! Invariants: an origin is let in by its exact text and no other way; none is told `*`, and no browser is told to send
//! credentials of its own, so that a page has only what its API key gives it. What a stored result may do stays as the
//! [sandbox](super::sandbox) says. Every answer of a server that names origins says that it depends on them (`Vary`).

use std::fmt;
use std::str::FromStr;

use axum::body::Body;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};

/// What pages may read of an answer, beside its body and what the Fetch standard always lets them.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "location, retry-after, ratelimit-policy, ratelimit, preference-applied, etag, x-request-id, raincheck-job, \
     raincheck-outcome, raincheck-attached, raincheck-seq, idempotency-replayed, content-location, content-disposition, \
     content-range, accept-ranges, allow, www-authenticate, date",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// For ten minutes a browser does not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// So many bytes of header names are echoed.
const ASKED_BYTES_MAX: usize = 4096;

/// The origin of pages: scheme, host, and the port unless it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    /// Reads an origin as browsers send it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "write an origin such as https://app.example or http://localhost:3000: scheme, host and port, without \
                     a path; * is none";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let (scheme, own_port) = match uri.scheme_str() {
            Some("https") => ("https", 443),
            Some("http") => ("http", 80),
            _ => return Err(wrong),
        };
        let authority = uri.authority().ok_or(wrong)?;
        if uri.path_and_query().is_some_and(|rest| rest != "/") || authority.as_str().contains(['@', '*']) {
            return Err(wrong);
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(wrong);
        }
        let port = uri.port_u16().filter(|port| *port != own_port);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        HeaderValue::try_from(format!("{scheme}://{host}{port}"))
            .map(Self)
            .map_err(|_| wrong)
    }
}

/// The origins that are let in.
#[derive(Debug)]
pub(crate) struct Cors(Vec<Origin>);

impl Cors {
    /// `None` where there are none.
    pub(crate) fn new(origins: &[Origin]) -> Option<Self> {
        (!origins.is_empty()).then(|| Self(origins.to_vec()))
    }

    /// The page's origin, where it is one of them.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Option<Box<HeaderValue>> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = origins.next()?;
        let named = origins.next().is_none() && self.0.iter().any(|named| named.0 == origin);
        named.then(|| Box::new(origin.clone()))
    }

    /// Tells browsers whose page may read the answer.
    pub(crate) fn tell(response: &mut Response, admitted: Option<Box<HeaderValue>>) {
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = admitted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, *origin);
            // Beside what a service let them read of an answer that is redeemed.
            headers.append(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// The answer to a browser that asks before it sends what a page wants; `None` where it is something else.
pub(crate) fn preflight<B>(request: &Request<B>) -> Option<Box<Response>> {
    let headers = request.headers();
    if request.method() != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let told = response.headers_mut();
    told.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    // What may be sent is what any client may: which headers mean something is for the routes to say.
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(asked) = asked.filter(|asked| asked.len() <= ASKED_BYTES_MAX) {
        told.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    told.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    told.insert(
        header::VARY,
        HeaderValue::from_static("access-control-request-method, access-control-request-headers"),
    );
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(Box::new(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_let_pages_read_stays() {
        let mut response = Response::new(Body::empty());
        let own = HeaderValue::from_static("x-own");
        response
            .headers_mut()
            .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, own.clone());
        Cors::tell(
            &mut response,
            Some(Box::new(HeaderValue::from_static("https://a.example"))),
        );
        let exposed = response.headers().get_all(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        assert_eq!(exposed.iter().collect::<Vec<_>>(), [&own, &EXPOSED]);
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port_that_says_something() {
        for (text, read) in [
            ("https://app.example", "https://app.example"),
            ("https://App.Example:443/", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), read);
        }
        for text in [
            "*",
            "null",
            "app.example",
            "https://:",
            "https://*.example",
            "https://a.example/x",
            "https://u@a.example",
            "ftp://a",
            "",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
