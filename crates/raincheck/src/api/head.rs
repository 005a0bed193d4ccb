//! What a request's head says of where the request goes and how its body comes: said once, and meant for this server.
//!
//! Invariant: a head that two readers could take for two requests is refused, and the connection ends (RFC 9112 sections 3.2 and 6).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Uri, Version};

use super::code::Code;
use super::problem::Problem;
use crate::outward::port_fits;

/// Ends the connection with the answer.
pub(super) const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The longest URI, in bytes.
const URI_BYTES_MAX: usize = 8 << 10;
/// The largest header block, in bytes: names, values and four bytes around each.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// What a header counts for.
pub(crate) fn line_bytes(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + 4
}

/// A head has a measure: its target, and all its headers together.
pub(crate) fn measured(target: &Uri, header_bytes: usize) -> Result<(), Problem> {
    let target_bytes = target.path().len() + target.query().map_or(0, |query| query.len() + 1);
    if target_bytes > URI_BYTES_MAX {
        let detail = "the URI is longer than 8 KiB; put what is long into the body";
        return Err(Problem::new(Code::UriTooLong, detail).header(header::CONNECTION, CLOSE));
    }
    if header_bytes > HEADER_BYTES_MAX {
        let detail = "the headers are larger than 32 KiB together; put what is large into the body";
        return Err(Problem::new(Code::HeadersTooLarge, detail).header(header::CONNECTION, CLOSE));
    }
    Ok(())
}

/// The length is said twice.
pub(crate) fn length_twice() -> Problem {
    Problem::bad_request("the request has more than one Content-Length").header(header::CONNECTION, CLOSE)
}

/// A body comes as it is, or in chunks, said once: any other coding would be taken for what it holds (RFC 9112 section 6.1).
pub(crate) fn chunks_alone(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunks = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_none_or(chunks) && codings.next().is_none() {
        return Ok(());
    }
    let detail = "the request's body is in a transfer coding that this server does not take: send it as it is, or in chunks";
    Err(Problem::bad_request(detail).header(header::CONNECTION, CLOSE))
}

/// The host that the request is for, named once (RFC 9112 section 3.2); `None` on HTTP/1.0 without one.
pub(crate) fn single_host<'a, B>(
    request: &'a Request<B>,
    hosts: usize,
    host: Option<&'a HeaderValue>,
) -> Result<Option<&'a str>, Problem> {
    let refuse = |detail| Err(Problem::bad_request(detail).header(header::CONNECTION, CLOSE));
    if hosts > 1 {
        return refuse("the request has more than one Host header");
    }
    if request.method() == Method::CONNECT {
        return refuse("this server makes no tunnels: CONNECT is not taken");
    }
    let named = match host.map(|value| value.to_str()) {
        Some(Ok(text)) if is_host(text) => Some(text),
        Some(_) => return refuse("the Host header is not a host"),
        None if request.version() == Version::HTTP_11 => return refuse("the request has no Host header"),
        // In HTTP/2 `:authority` stands for it, which is in the URI.
        None if request.version() > Version::HTTP_11 && request.uri().authority().is_none() => {
            return refuse("the request has neither :authority nor a Host header");
        }
        None => None,
    };
    let target = request.uri().authority();
    if target.is_some_and(|target| target.as_str().contains('@')) {
        return refuse("the request's target names a user, which belongs into Authorization");
    }
    match (target, named) {
        (Some(target), Some(named)) if !target.as_str().eq_ignore_ascii_case(named) => {
            refuse("the Host header and the request's target name different hosts")
        }
        (Some(target), None) => Ok(Some(target.as_str())),
        (_, named) => Ok(named),
    }
}

/// Whether a text is a host, with or without a port (RFC 9110 section 7.2).
fn is_host(text: &str) -> bool {
    // What most write needs no more than one look.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let name = text.find(':').map_or(text, |colon| &text[..colon]);
    let port = text.get(name.len() + 1..).unwrap_or_default();
    if !name.is_empty() && name.bytes().all(plain) && (port.is_empty() || port.parse::<u16>().is_ok()) {
        return true;
    }
    let host = |authority: &Authority| !authority.host().is_empty() && port_fits(authority);
    !text.contains('@') && text.parse().is_ok_and(|authority| host(&authority))
}

/// The host without its port.
fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if authority[colon + 1..].bytes().all(|b| b.is_ascii_digit()) => &authority[..colon],
        Some(_) | None => authority,
    }
}

/// Lets in what was meant for this very host: a name that somebody made point here (DNS rebinding) is foreign.
pub(crate) fn own_host(host: Option<&str>) -> Result<(), Problem> {
    let name = host.map(without_port).unwrap_or_default();
    if ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
    {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "this server answers only to the hosts localhost, 127.0.0.1 and [::1]; use one of them in the URL",
    ))
}

/// Lets in what no page of another origin sent.
pub(super) fn own_page(
    host: Option<&str>,
    secure: bool,
    origin: Option<&HeaderValue>,
    fetch_site: Option<&HeaderValue>,
) -> Result<(), Problem> {
    let same_origin = origin.is_none_or(|origin| {
        let text = origin.to_str().unwrap_or_default();
        let authority = text.strip_prefix(if secure { "https://" } else { "http://" });
        authority.is_some_and(|authority| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)))
    });
    let cross_site = fetch_site.is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"));
    if same_origin && !cross_site {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "the request comes from a page of another origin; call this server from a program, or from a page it serves",
    ))
}
