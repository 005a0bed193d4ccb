//! Calls to upstreams, with the connections that are kept for them.
//!
//! Invariant: a call goes to the upstream that a rule names and nowhere else, whatever its target says; a call that is
//! dropped closes its connection. It is sent a second time only where its method is idempotent, it has no body, and the first
//! connection closed without an answer.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use http_body::Body as _;

use super::body::Sending;
use super::flight::{Answering, CallFailed, Origin};
use super::parcel::Parcel;
use super::rule::{Retries, Rule};
use crate::outward::trust::Trust;
use crate::outward::{Client, root_cause};
use crate::workers::function::Call;

/// The upstreams of a proxy.
#[derive(Debug)]
pub(crate) struct Upstreams {
    client: Arc<Client<Sending>>,
    rules: Vec<Arc<Rule>>,
    /// How long a client may stall in the middle of a body.
    stall_time: Duration,
}

impl Upstreams {
    pub(crate) fn new(rules: Vec<Rule>, stall_time: Duration, trust: &Trust) -> Self {
        Self {
            client: Arc::new(Client::open(trust)),
            rules: rules.into_iter().map(Arc::new).collect(),
            stall_time,
        }
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
    pub(crate) fn send(&self, rule: &Rule, mut request: Request<Sending>) -> Answering {
        *request.uri_mut() = absolute(rule, request.uri());
        *request.version_mut() = Version::HTTP_11;
        let body = request.body();
        let sized =
            request.headers().contains_key(header::CONTENT_LENGTH) || body.size_hint().exact().is_some();
        if !body.is_end_stream() && !sized {
            // Said by itself, for hyper sends no body with some methods unless it is told to.
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
        }
        let (again, client) = (once_more(&request), self.client.clone());
        let answering = self.client.start(request);
        let stall_time = self.stall_time;
        Box::pin(async move {
            let mut answered = answering.await;
            if let (Err(error), Some(head)) = (&answered, again)
                && unanswered(error)
            {
                let body = Sending::new(Body::empty(), stall_time);
                answered = client.start(Request::from_parts(head, body)).await;
            }
            match answered {
                Ok(response) => Ok(response.map(Body::new)),
                Err(error) => Err(CallFailed::Unreachable(root_cause(&error))),
            }
        })
    }
}

/// The head of a request that may be sent a second time on another connection: it has no body, asks for nothing but an answer, and
/// its method is idempotent (RFC 9110 section 9.2.2).
fn once_more(request: &Request<Sending>) -> Option<Parts> {
    let fit = request.body().is_end_stream()
        && Retries::default().repeats(request.method())
        && !request.headers().contains_key(header::UPGRADE);
    fit.then(|| {
        let mut head = Request::new(()).into_parts().0;
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.headers = request.headers().clone();
        head
    })
}

/// Whether the connection closed before anything was answered: services do that with connections that were kept, in the moment when
/// they are used again.
fn unanswered(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_incomplete_message()
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        }
        cause = error.source();
    }
    false
}

/// A request's target at its rule's upstream: path and query as they came, but for the rule's prefix.
fn absolute(rule: &Rule, target: &Uri) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(rule.upstream.scheme.clone());
    parts.authority = Some(rule.upstream.authority.clone());
    let whole = target.path_and_query();
    let below = |whole: &PathAndQuery| {
        let seen = rule.prefix.as_ref()?.strip(whole.as_str())?;
        PathAndQuery::from_maybe_shared(Bytes::from(seen.into_owned())).ok()
    };
    let path = whole.map(|whole| below(whole).unwrap_or_else(|| whole.clone()));
    parts.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
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
        self.send(&rule, request.map(|body| Sending::new(body, stall_time)))
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
    fn a_target_leads_to_the_upstream_whatever_it_says() {
        let rule: Rule = "/**=http://localhost:8000".parse().unwrap();
        let shop: Rule = "/shop/**=http://localhost:8000;prefix=/shop".parse().unwrap();
        for (target, expected) in [
            ("/shop", "http://localhost:8000/"),
            ("/shop/a?b", "http://localhost:8000/a?b"),
            ("http://evil.example/shop/a", "http://localhost:8000/a"),
        ] {
            assert_eq!(absolute(&shop, &target.parse().unwrap()).to_string(), expected);
        }
        for (target, expected) in [
            ("/a//b/../c?d=%2F", "http://localhost:8000/a//b/../c?d=%2F"),
            ("http://evil.example/a", "http://localhost:8000/a"),
            ("http://evil.example", "http://localhost:8000/"),
            ("*", "http://localhost:8000*"),
        ] {
            assert_eq!(absolute(&rule, &target.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn the_first_rule_for_a_path_counts() {
        let rules = ["/a/**=http://x", "/**=http://y"].map(|text| text.parse().unwrap());
        let upstreams = Upstreams::new(rules.to_vec(), Duration::from_secs(1), &Trust::default());
        assert_eq!(upstreams.rule("/a/b").unwrap().upstream.to_string(), "http://x");
        assert_eq!(upstreams.rule("/b").unwrap().upstream.to_string(), "http://y");
    }
}
