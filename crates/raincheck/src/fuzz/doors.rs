//! What opens something: tickets, origins, hosts, scopes, signatures; and where a caller goes on.

use std::net::IpAddr;

use http::{HeaderMap, Request};
use raincheck_core::audit::Actor;
use raincheck_core::decide::first_secret;
use raincheck_core::delivery::DeliveryId;
use raincheck_core::job::Options;
use raincheck_core::key::{QueueGlob, Scopes};
use raincheck_core::name::QueueName;
use raincheck_core::secret::Secret;
use raincheck_core::time::Timestamp;

use super::http::headers;
use super::words::{again, exact, text_of};
use crate::api::cors::{Cors, Origin};
use crate::api::events::form::{Form, Place};
use crate::api::options::trace_context;
use crate::api::wire::{audit, page::Cursor};
use crate::api::{Allowance, head, ticket};
use crate::telemetry::traces;
use crate::webhooks::sign::{sign, written};
use crate::webhooks::verify::Verifier;

/// A ticket reads the same again, and one that was taken is gone from the request.
pub(super) fn tickets(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Some((ticket, ..)) = ticket::read(text) {
        assert_eq!(ticket.as_str(), text);
        assert!(!format!("{ticket:?}").contains(text), "a ticket is shown");
    }
    let Ok(request) = Request::builder().uri(format!("/v1/jobs/j?{text}")).body(()) else {
        return;
    };
    let (mut parts, ()) = request.into_parts();
    let tickets = |query: Option<&str>| {
        let pairs = query.unwrap_or_default().split('&');
        pairs.filter(|pair| pair.starts_with("ticket=")).count()
    };
    let there = tickets(parts.uri.query());
    match ticket::take(&mut parts) {
        Ok(taken) => {
            assert_eq!((usize::from(taken.is_some()), there < 2), (there, true));
            assert_eq!(tickets(parts.uri.query()), 0, "{:?}", parts.uri);
        }
        Err(_) => assert!(there > 1),
    }
}

/// Where a listing, a stream of events or a query of the audit log goes on.
pub(super) fn cursors(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Some(cursor) = Cursor::read(text) {
        let written = serde_json::to_string(&cursor).expect("a cursor is text");
        assert_eq!(written, format!("{text:?}"), "another spelling");
    }
    if let Ok(place) = text.parse::<Place>() {
        assert_eq!(place.to_string().parse(), Ok(place));
    }
    if let Ok(page) = audit::page(Some(text)) {
        assert!((1..=200).contains(&page.limit), "{}", page.limit);
    }
    exact::<DeliveryId>(text);
    exact::<Actor>(text);
}

/// What is taken of a trace context is a trace to whoever tells spans.
pub(super) fn trace(bytes: &[u8]) {
    let mut options = Options::default();
    trace_context(&headers(bytes), &mut options);
    let Some(parent) = options.traceparent else {
        assert_eq!(options.tracestate, None, "a state without its parent");
        return;
    };
    let nought = parent[3..35].bytes().all(|b| b == b'0') || parent[36..52].bytes().all(|b| b == b'0');
    match traces::parse(&parent) {
        Some((trace, span, _)) => assert_eq!(format!("{trace}-{span}"), parent[3..52]),
        None => assert!(nought, "{parent}"),
    }
    if let Some(state) = options.tracestate {
        assert!(state.len() <= 512);
        let _ = state.parse::<opentelemetry::trace::TraceState>();
    }
}

/// Which form of events is asked for, and which page of another origin may ask.
pub(super) fn origins(bytes: &[u8]) {
    let (headers, text) = (headers(bytes), text_of(bytes));
    let _ = Form::of(&headers);
    let named: Origin = "https://app.example".parse().expect("an origin");
    if let Some(origin) = Cors::new(&[named]).and_then(|cors| cors.admit(&headers)) {
        assert_eq!(*origin, "https://app.example");
    }
    again::<Origin>(text);
    let _ = text.parse::<Allowance>();
}

/// A host that is let in without a key is this machine's.
pub(super) fn hosts(bytes: &[u8]) {
    let text = text_of(bytes);
    if head::own_host(Some(text)).is_ok() {
        let uri = format!("http://{text}/").parse::<http::Uri>();
        // A port beyond the last one is none, and no connection was made by it.
        let Ok(uri) = uri else { return };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let own = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        assert!(own || host.eq_ignore_ascii_case("localhost"), "{text:?}");
    }
}

/// Scopes and patterns of queues.
pub(super) fn scopes(bytes: &[u8]) {
    let text = text_of(bytes);
    again::<Scopes>(text);
    let (pattern, name) = text.split_once(' ').unwrap_or((text, "a"));
    if let Ok(glob) = pattern.parse::<QueueGlob>() {
        assert_eq!(glob.to_string(), pattern);
        if let Ok(name) = QueueName::new(name) {
            let plain = !pattern.contains('*');
            assert!(
                !plain || glob.matches(name.as_str()) == (pattern == name.as_str()),
                "{pattern:?} {name:?}"
            );
        }
    }
}

/// A request is believed only with the very id, time and body that were signed, however its headers are changed.
pub(super) fn signed(bytes: &[u8]) {
    const BODY: &[u8] = b"body";
    let now = Timestamp::from_millis(1_767_225_600_000);
    let secrets = first_secret(Secret::new([7; 32]), now);
    let mut right = HeaderMap::new();
    sign(&mut right, &secrets, "msg_1", BODY, now);
    let right = right["webhook-signature"].to_str().expect("text").as_bytes();
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((bytes, BODY), |at| (&bytes[..at], &bytes[at + 2..]));
    // `RIGHT` stands for the signature, which no change of an input finds.
    let at = head.windows(5).position(|five| five == b"RIGHT");
    let head = at.map_or_else(
        || head.to_vec(),
        |at| [&head[..at], right, &head[at + 5..]].concat(),
    );
    let verifier: Verifier = written(&secrets.current).parse().expect("a secret");
    if let Ok(verified) = verifier.verify(&headers(&head), body, now) {
        assert_eq!((verified.id.as_str(), verified.at, body), ("msg_1", now, BODY));
    }
    if let Ok(verifier) = text_of(bytes).parse::<Verifier>() {
        assert_eq!(format!("{verifier:?}"), "Verifier(…)");
    }
}
