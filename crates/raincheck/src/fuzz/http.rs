//! What stands in heads of requests and answers.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::http::Request;
use http::{HeaderMap, HeaderName, HeaderValue};
use raincheck_core::time::Timestamp;

use super::words::text_of;
use crate::api::conditional::{self, Asked};
use crate::api::options::{Head, idempotency_key};
use crate::api::prefer::Prefer;
use crate::api::wire::page;
use crate::outward;
use crate::server::{Exposed, framing};
use crate::webhooks::verify::Verifier;

/// Headers of lines `name: value`; lines that are none are left out.
pub(super) fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|b| *b == b'\n').take(90) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

pub(super) fn idempotency(bytes: &[u8]) {
    if let Ok(key) = idempotency_key(bytes) {
        assert!(
            (1..=255).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b)),
            "{key:?}"
        );
    }
}

pub(super) fn prefer(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let request = Request::builder().header("prefer", value).body(());
    let (parts, ()) = request.expect("a request").into_parts();
    if let Ok(preference) = Prefer::of(&parts)
        && let Some(wait) = preference.wait
    {
        assert!(wait <= Duration::from_secs(60));
    }
}

pub(super) fn options(bytes: &[u8]) {
    let headers = headers(bytes);
    for read in [Head::read, Head::read_for_json, Head::read_for_batch] {
        if let Err(problem) = read(&headers) {
            assert!(problem.detail().len() < 1_000, "{}", problem.detail());
        }
    }
}

pub(super) fn conditional(bytes: &[u8]) {
    let headers = headers(bytes);
    for len in [0, 1, 10, 1_000_000] {
        match conditional::range(&headers, "\"x\"", len) {
            Asked::Part(range) => assert!(range.start < range.end && range.end <= len, "{range:?} of {len}"),
            Asked::Whole | Asked::Outside => {}
        }
    }
    let _ = (
        conditional::none_match(&headers, "W/\"3\""),
        conditional::expected(&headers).is_ok(),
    );
}

pub(super) fn query(bytes: &[u8]) {
    let text = text_of(bytes);
    match page::page(Some(text)) {
        Ok(page) => assert!((1..=200).contains(&page.limit), "{}", page.limit),
        Err(problem) => assert!(problem.detail().len() < 1_000, "{}", problem.detail()),
    }
}

pub(super) fn retry_after(bytes: &[u8]) {
    let _ = outward::retry_after(&headers(bytes), Timestamp::from_millis(1_767_225_600_000));
}

pub(super) fn forwarded(bytes: &[u8]) {
    let headers = headers(bytes);
    let proxies = vec!["10.0.0.0/8".parse().expect("a range")];
    let exposed = Exposed { proxies };
    let (proxy, foreign) = (
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)),
    );
    let _ = exposed.client(proxy, false, &headers);
    assert_eq!(
        exposed.client(foreign, false, &headers).address,
        foreign,
        "only proxies are believed"
    );
}

pub(super) fn signature(bytes: &[u8]) {
    let now = Timestamp::from_millis(1_767_225_600_000);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let verifier: Verifier = secret.parse().expect("a secret");
    assert!(
        verifier.verify(&headers(bytes), bytes, now).is_err(),
        "nobody guesses a signature"
    );
}

pub(super) fn url(bytes: &[u8]) {
    if let Ok(uri) = outward::target(text_of(bytes)) {
        assert!(matches!(uri.scheme_str(), Some("http" | "https")), "{uri}");
        let authority = uri.authority().map(|authority| authority.as_str().to_owned());
        assert!(
            authority.is_some_and(|authority| !authority.contains('@')),
            "{uri}"
        );
    }
}

pub(super) fn framing(bytes: &[u8]) {
    let whole = framing::Framing::default().watch(bytes);
    let cut = bytes
        .first()
        .map_or(0, |first| usize::from(*first) % (bytes.len() + 1));
    let mut parts = framing::Framing::default();
    let first = parts.watch(&bytes[..cut]);
    assert_eq!(first.or(parts.watch(&bytes[cut..])), whole, "cut at {cut}");
}
