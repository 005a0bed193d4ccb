//! The request that a URL is asked with.
//!
//! Invariants: the bytes are asked for as they are, for nothing is decoded; what is meant for one origin goes to no other.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH, USER_AGENT,
};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use raincheck_core::decide::FetchMethod;

use crate::fetch::{Told, Wanted};

/// Whether both are of one origin (RFC 6454): scheme, host and port.
pub(super) fn same_origin(one: &Uri, two: &Uri) -> bool {
    one.scheme() == two.scheme() && one.authority() == two.authority()
}

/// What is written of a URL as the host that is asked (RFC 9110 section 7.2): the client would write the same, by a format.
fn host(uri: &Uri) -> Option<HeaderValue> {
    let authority = uri.authority().map(Authority::as_str)?;
    let default = if uri.scheme_str() == Some("https") {
        ":443"
    } else {
        ":80"
    };
    let host = authority.strip_suffix(default).unwrap_or(authority);
    HeaderValue::from_str(host.strip_suffix(':').unwrap_or(host)).ok()
}

/// Asks for what is wanted at `uri`; `own` says whether that is of the first URL's origin, `earlier` what was told of an answer
/// that may still hold.
pub(super) fn request(wanted: &Wanted, uri: &Uri, own: bool, earlier: Option<&Told>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri.clone();
    *request.method_mut() = match wanted.method {
        FetchMethod::Get => Method::GET,
        FetchMethod::Head => Method::HEAD,
    };
    let headers = request.headers_mut();
    if let Some(host) = host(uri) {
        headers.insert(HOST, host);
    }
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("raincheck/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in &wanted.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
            && (own || (name != AUTHORIZATION && name != COOKIE))
        {
            headers.insert(name, value);
        }
    }
    if let Some((tag, modified)) = earlier.and_then(Told::validators) {
        for (name, value) in [(IF_NONE_MATCH, tag), (IF_MODIFIED_SINCE, modified)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_origin() {
        let (a, b): (Uri, Uri) = ("http://a/".parse().unwrap(), "http://b/".parse().unwrap());
        let headers = [("authorization", "Bearer x"), ("cookie", "y"), ("x-z", "z")];
        let wanted = Wanted {
            url: "http://a/".to_owned(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            ..Wanted::default()
        };
        let sent = |to: &Uri| request(&wanted, to, same_origin(&a, to), None);
        assert_eq!(sent(&a).headers().len(), 7);
        let elsewhere = sent(&b);
        assert!(
            !elsewhere.headers().contains_key(AUTHORIZATION) && !elsewhere.headers().contains_key(COOKIE)
        );
        assert_eq!(elsewhere.headers()["x-z"], "z");
    }

    #[test]
    fn the_host_is_written_without_the_port_that_goes_without_saying() {
        for (uri, written) in [
            ("http://a/x", "a"),
            ("http://a:80/", "a"),
            ("http://a:/", "a"),
            ("http://a:443/", "a:443"),
            ("https://a:443/", "a"),
            ("https://a:80/", "a:80"),
            ("http://a:8080/", "a:8080"),
            ("http://[::80]/", "[::80]"),
            ("http://[::1]:80/", "[::1]"),
        ] {
            assert_eq!(host(&uri.parse().unwrap()).unwrap(), written, "{uri}");
        }
    }
}
