//! Calls to upstreams, by the connections that are kept for them.
//!
//! Invariant: a call goes to the upstream that a rule names and nowhere else, whatever its target says; a call that is
//! dropped closes its connection. It is sent a second time, on a connection made for it, only where its method is idempotent, it has no
//! body, and the first connection was a kept one that closed without an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::{self, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version};
use http_body::Body as _;
use raincheck_core::host::away_pause;
use tracing::warn;

use super::body::Sending;
use super::flight::{Answering, CallFailed, Origin};
use super::parcel::Parcel;
use super::rule::{Retries, Rule, Upstream, idempotent};
use crate::outward::kept::{Answer, AskFailed, Place};
use crate::outward::root_cause;
use crate::outward::trust::Trust;
use crate::workers::function::Call;

/// More bytes than the headers of most requests are together.
const HEADERS_USUAL: usize = 512;

/// The upstreams of a proxy.
#[derive(Debug)]
pub(crate) struct Upstreams {
    rules: Vec<Arc<Rule>>,
    /// Each upstream that rules name once.
    places: Vec<(Upstream, Place<Sending>)>,
    /// How long a client may stall in the middle of a body.
    stall_time: Duration,
}

impl Upstreams {
    pub(crate) fn new(rules: Vec<Rule>, stall_time: Duration, trust: &Trust) -> Self {
        let mut places: Vec<(Upstream, Place<Sending>)> = Vec::new();
        for Rule { upstream, .. } in &rules {
            if !places.iter().any(|(known, _)| known == upstream) {
                places.push((upstream.clone(), Place::open(address(upstream), trust)));
            }
        }
        Self {
            rules: rules.into_iter().map(Arc::new).collect(),
            places,
            stall_time,
        }
    }

    /// Where the calls of a rule go: one of these rules, or one that names the same upstream.
    fn place(&self, rule: &Rule) -> &Place<Sending> {
        let at_hand = self
            .places
            .iter()
            .find(|(upstream, _)| *upstream == rule.upstream);
        &at_hand.expect("every rule's upstream has a place").1
    }

    /// The rule that is for a path; the first counts.
    pub(crate) fn rule(&self, path: &str) -> Option<&Arc<Rule>> {
        self.which(path).map(|at| &self.rules[at])
    }

    /// Which of them that is.
    pub(crate) fn which(&self, path: &str) -> Option<usize> {
        self.rules.iter().position(|rule| rule.path.matches(path))
    }

    /// All of them.
    pub(crate) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Makes a call.
    pub(crate) fn send(&self, rule: &Rule, request: Request<Sending>) -> Answering {
        let place = self.place(rule).clone();
        let request = addressed(rule, request);
        let (again, stall_time) = (once_more(&request), self.stall_time);
        let asked = place.ask(request);
        Box::pin(async move {
            let mut answered = asked.await;
            if let (Err(AskFailed::Closed(_)), Some(head)) = (&answered, again) {
                let body = Sending::new(Body::empty(), stall_time);
                answered = Box::pin(place.clone().ask_anew(Box::new(head.request(body)))).await;
            }
            told(&place, answered)
        })
    }

    /// Makes a call that must not be made twice: on a new connection, for one that was kept may close in the moment when it is
    /// used, and nobody would know whether the call had been heard.
    fn send_once(&self, rule: &Rule, request: Request<Sending>) -> Answering {
        let place = self.place(rule).clone();
        let request = Box::new(addressed(rule, request));
        Box::pin(async move {
            let answered = place.clone().ask_anew(request).await;
            told(&place, answered)
        })
    }
}

/// The request as the rule's upstream is to get it.
fn addressed(rule: &Rule, mut request: Request<Sending>) -> Request<Sending> {
    if let Some(target) = seen(rule, request.uri()) {
        *request.uri_mut() = target;
    }
    *request.version_mut() = Version::HTTP_11;
    if !request.headers().contains_key(header::HOST)
        && let Some(host) = host(&rule.upstream)
    {
        request.headers_mut().insert(header::HOST, host);
    }
    let body = request.body();
    let sized = body.size_hint().exact().is_some() || request.headers().contains_key(header::CONTENT_LENGTH);
    if !body.is_end_stream() && !sized {
        // Said by itself, for hyper sends no body with some methods unless it is told to.
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
    }
    request
}

/// What is told of an answer, or of why there is none.
fn told(
    place: &Place<Sending>,
    answered: Result<Response<Answer<Sending>>, AskFailed>,
) -> Result<Response<Body>, CallFailed> {
    match answered {
        Ok(response) => Ok(response.map(Body::new)),
        Err(error @ AskFailed::Connect(_)) => {
            let why = root_cause(&error);
            let (away, first) = place.away().unzip();
            if first == Some(true) {
                warn!(service = %place.address(), %why, "a service cannot be reached; what is kept for it waits");
            }
            let lasts = away.map_or(Duration::ZERO, |away| away.lasts);
            Err(CallFailed::Unsent(why, away_pause(lasts)))
        }
        Err(error) => Err(CallFailed::Unreachable(root_cause(&error))),
    }
}

/// The head of a request that may be sent a second time.
struct Head {
    method: Method,
    target: Uri,
    /// Names and values in turn, each with a line feed, which none of them holds: seldom are they read again, and a map takes
    /// much longer to copy.
    headers: Vec<u8>,
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        let mut headers = Vec::with_capacity(HEADERS_USUAL);
        for (name, value) in request.headers() {
            for line in [name.as_ref(), value.as_bytes()] {
                headers.extend_from_slice(line);
                headers.push(b'\n');
            }
        }
        Self {
            method: request.method().clone(),
            target: request.uri().clone(),
            headers,
        }
    }

    /// The request again, with this body.
    fn request<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target;
        let mut lines = self.headers.split(|byte| *byte == b'\n');
        while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                request.headers_mut().append(name, value);
            }
        }
        request
    }
}

/// The head of a request that may be sent a second time on another connection: it has no body, asks for nothing but an answer, and
/// its method is idempotent (RFC 9110 section 9.2.2).
fn once_more(request: &Request<Sending>) -> Option<Head> {
    let fit = request.body().is_end_stream()
        && idempotent(request.method())
        && !request.headers().contains_key(header::UPGRADE);
    fit.then(|| Head::of(request))
}

/// An upstream as connections are made to it.
fn address(upstream: &Upstream) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(upstream.scheme.clone());
    parts.authority = Some(upstream.authority.clone());
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("a scheme, an authority and a path are a URI")
}

/// How an upstream is called where a client calls it nothing: with its port, unless that is the usual one.
fn host(upstream: &Upstream) -> Option<HeaderValue> {
    let usual = if upstream.scheme == Scheme::HTTPS { 443 } else { 80 };
    let name = upstream.authority.host();
    let port = upstream.authority.port_u16().filter(|port| *port != usual);
    let whole = port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    HeaderValue::try_from(whole).ok()
}

/// A request's target as its rule's upstream is to see it, where it came otherwise: path and query as they came, but for the
/// rule's prefix.
fn seen(rule: &Rule, target: &Uri) -> Option<Uri> {
    let below = |whole: &PathAndQuery| {
        let seen = rule.prefix.as_ref()?.strip(whole.as_str())?;
        PathAndQuery::from_maybe_shared(Bytes::from(seen.into_owned())).ok()
    };
    match target.path_and_query() {
        Some(whole) => match below(whole) {
            Some(seen) => Some(Uri::from(seen)),
            None => target.authority().is_some().then(|| Uri::from(whole.clone())),
        },
        None => Some(Uri::default()),
    }
}

impl Origin for Upstreams {
    fn call(&self, mut request: Request<Body>, _: &mut Call) -> Answering {
        let Some(rule) = self.rule(request.uri().path()).cloned() else {
            return Box::pin(std::future::ready(Err(CallFailed::Nobody)));
        };
        let empty = request.body().is_end_stream();
        if empty && matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
            request
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let stall_time = self.stall_time;
        let request = request.map(|body| Sending::new(body, stall_time));
        let turn = match self.place(&rule).turn() {
            Ok(turn) => turn,
            // It holds no place of its queue meanwhile, which other services' calls may need.
            Err(away) => {
                let unsent = CallFailed::Unsent(away.why, away_pause(away.lasts));
                return Box::pin(std::future::ready(Err(unsent)));
            }
        };
        let answering = match rule.retries.repeats(request.method()) {
            true => self.send(&rule, request),
            false => self.send_once(&rule, request),
        };
        match turn {
            None => answering,
            Some(turn) => Box::pin(async move {
                let answered = answering.await;
                drop(turn);
                answered
            }),
        }
    }

    fn retries(&self, parcel: &Parcel) -> Retries {
        self.rule(parcel.target.path())
            .map(|rule| rule.retries.clone())
            .unwrap_or_default()
    }

    fn name(&self) -> &'static str {
        "upstream"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_as_it_came_but_for_whose_it_is_and_the_rules_prefix() {
        let rule: Rule = "/**=http://localhost:8000".parse().unwrap();
        let shop: Rule = "/shop/**=http://localhost:8000;prefix=/shop".parse().unwrap();
        for (rule, target, expected) in [
            (&shop, "/shop", "/"),
            (&shop, "/shop/a?b", "/a?b"),
            (&shop, "http://evil.example/shop/a", "/a"),
            (&rule, "/a//b/../c?d=%2F", "/a//b/../c?d=%2F"),
            (&rule, "http://evil.example/a", "/a"),
            (&rule, "http://evil.example", "/"),
            (&rule, "http://evil.example?a", "/?a"),
            (&rule, "*", "*"),
        ] {
            let target: Uri = target.parse().unwrap();
            assert_eq!(seen(rule, &target).unwrap_or(target).to_string(), expected);
        }
    }

    #[test]
    fn a_head_that_is_kept_is_the_same_again() {
        let mut request = Request::get("/a?b").body(()).unwrap();
        for (name, value) in [
            ("x-b", &b"1"[..]),
            ("accept", b"a, b"),
            ("x-b", b""),
            ("x-a", b"\xff\t:"),
        ] {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(name, value);
        }
        let again = Head::of(&request).request(());
        assert_eq!(again.headers(), request.headers());
        assert_eq!((again.method(), again.uri()), (request.method(), request.uri()));
    }

    #[test]
    fn rules_of_one_upstream_share_its_connections() {
        let rules = ["/a/**=http://x", "/b/**=http://X", "/**=https://x"].map(|text| text.parse().unwrap());
        let upstreams = Upstreams::new(rules.to_vec(), Duration::from_secs(1), &Trust::default());
        assert_eq!(upstreams.places.len(), 2);
        let addresses = upstreams
            .places
            .iter()
            .map(|(upstream, _)| address(upstream).to_string());
        assert_eq!(addresses.collect::<Vec<_>>(), ["http://x/", "https://x/"]);
    }

    #[test]
    fn the_first_rule_for_a_path_counts() {
        let rules = ["/a/**=http://x", "/**=http://y"].map(|text| text.parse().unwrap());
        let upstreams = Upstreams::new(rules.to_vec(), Duration::from_secs(1), &Trust::default());
        assert_eq!(upstreams.rule("/a/b").unwrap().upstream.to_string(), "http://x");
        assert_eq!(upstreams.rule("/b").unwrap().upstream.to_string(), "http://y");
    }
}
