//! The door of a server that is a proxy: what is for the API, and what goes by the rules.
//!
//! Invariant: the API's own paths are the API's whatever the rules say, and no way of writing them leads past it.

use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use super::glob::{Glob, segments};
use super::pass::{Calling, GONE};
use super::{MOUNT, Proxy};
use crate::api::cors::Cors;
use crate::api::desk::{Desk, Own, told};
use crate::api::problem::Problem;
use crate::api::{ApiOptions, with_desk};
use crate::node::Node;
use crate::telemetry::OfRule;

/// The paths of an API that stands at the top of its server.
const OWN: [&str; 9] = [
    "/v1",
    "/docs",
    "/openapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/problems",
    "/ui",
    MOUNT,
];

/// How a call is counted whose client was gone before it was answered, as others do.
const CLIENT_GONE: u16 = 499;

/// A request that is being answered.
type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// The API and a proxy as one service: what [`serve`](crate::server::serve) takes. Cloning gives another handle.
#[derive(Clone)]
pub struct Front(Arc<Shared>);

struct Shared {
    api: crate::api::Service,
    desk: Desk,
    proxy: Proxy,
    /// Whose pages may read what is not the service's answer.
    pages: Option<Cors>,
    /// Whether the API stands below [`MOUNT`], and the rules have everything else.
    mounted: bool,
    /// The numbers of each rule, in the order of the rules.
    counts: Vec<OfRule>,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("proxy", &self.0.proxy)
            .finish_non_exhaustive()
    }
}

impl Front {
    /// The API over a node whose jobs the proxy works ([`Proxy::functions`]); below [`MOUNT`] where the node says so, else at
    /// the top.
    #[must_use]
    pub fn new(node: Node, options: ApiOptions, proxy: Proxy) -> Self {
        let mounted = node.options().mount.as_str() == MOUNT;
        let metrics = node.metrics().proxied();
        let rules = proxy.0.upstreams.rules().iter();
        let counts = rules.map(|rule| metrics.of(rule.path.text())).collect();
        let options = ApiOptions {
            as_it_was: true,
            ..options
        };
        let (api, desk) = with_desk(node, options);
        Self(Arc::new(Shared {
            api,
            pages: desk.pages(),
            desk,
            proxy,
            mounted,
            counts,
        }))
    }
}

/// Whether no call of such a path ever goes by a rule: they are all the API's own, below [`MOUNT`] where it is mounted there.
#[must_use]
pub fn reserved(path: &Glob, mounted: bool) -> bool {
    let own = if mounted { &OWN[OWN.len() - 1..] } else { &OWN };
    let (start, whole) = match path.as_str().split_once('*') {
        Some((start, _)) => (start, false),
        None => (path.as_str(), true),
    };
    own.iter()
        .any(|own| below(start, own) && (whole || start.len() > own.len()))
}

impl Shared {
    /// Whether the request is for the API, and with which path.
    fn of_api(&self, uri: &Uri) -> Result<bool, Problem> {
        let path = uri.path();
        if !self.mounted {
            return Ok(OWN.iter().any(|own| below(path, own)));
        }
        if below(path, MOUNT) {
            return Ok(true);
        }
        if leads_to_mount(path) {
            let detail = "the path is another way to write that of this server's own API; write it plainly";
            return Err(Problem::bad_request(detail));
        }
        Ok(false)
    }

    /// Answers by this rule.
    fn pass(self: Arc<Self>, at: usize, request: Request<Body>) -> Answering {
        let page = self.page(&request);
        let (method, id) = (request.method().clone(), told(request.headers()));
        let received = Instant::now();
        let begun = self.calling(at, received).begin(request);
        Box::pin(async move {
            let calling = self.calling(at, received);
            let answered = match begun {
                Ok(begun) => calling.answer(begun).await,
                Err(problem) => Err(problem),
            };
            let (response, mode) = match answered {
                Ok((response, "pass")) => (response, "pass"),
                Ok((mut response, mode)) => {
                    self.desk.name(&mut response, id);
                    (response, mode)
                }
                Err(problem) => (self.desk.refuse(problem, id), "refused"),
            };
            let response = self.readable(response, page);
            // What is said to somebody who is gone does not tell what he asked of whom.
            let status = if mode == GONE {
                CLIENT_GONE
            } else {
                response.status().as_u16()
            };
            let millis = u64::try_from(received.elapsed().as_millis()).unwrap_or(u64::MAX);
            let request_id = named(&response, mode).and_then(|id| id.to_str().ok());
            tracing::debug!(
                %method, rule = %calling.rule.path, status, mode, millis, request_id, "proxied"
            );
            self.counts[at].answered(mode, status);
            Ok(response)
        })
    }

    /// The page that asks, where it is one of those that are named.
    fn page<B>(&self, request: &Request<B>) -> Option<Box<HeaderValue>> {
        self.pages.as_ref()?.admit(request.headers())
    }

    /// Lets that page read an answer of this server's own; what the service answered, now or to a job, is the service's to open.
    fn readable(&self, mut response: Response, page: Option<Box<HeaderValue>>) -> Response {
        if self.pages.is_some() && response.extensions().get::<Own>().is_some() {
            Cors::tell(&mut response, page);
        }
        response
    }

    fn calling(&self, at: usize, received: Instant) -> Calling<'_> {
        Calling {
            proxy: &self.proxy.0,
            desk: &self.desk,
            rule: &self.proxy.0.upstreams.rules()[at],
            received,
        }
    }
}

/// The id of an answer that is this server's own.
fn named<'a>(response: &'a Response, mode: &str) -> Option<&'a HeaderValue> {
    response.headers().get("x-request-id").filter(|_| mode != "pass")
}

/// Whether a path is this one or below it.
fn below(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an upstream that reads paths generously would read this one as the mount's.
fn leads_to_mount(path: &str) -> bool {
    let mut before = 0;
    let plain = path.bytes().all(|byte| {
        let after_slash = std::mem::replace(&mut before, byte) == b'/';
        match byte {
            b'%' | b'\\' | b';' => false,
            b'/' | b'.' => !after_slash,
            _ => true,
        }
    });
    if plain {
        return path.get(..MOUNT.len()).is_some_and(|start| {
            start.eq_ignore_ascii_case(MOUNT) && matches!(path.as_bytes().get(MOUNT.len()), None | Some(b'/'))
        });
    }
    let mut read: Vec<Vec<u8>> = Vec::new();
    for segment in segments(path) {
        match &*segment {
            b"" | b"." => {}
            b".." => drop(read.pop()),
            _ => read.push(segment),
        }
    }
    read.first()
        .is_some_and(|first| first.eq_ignore_ascii_case(&MOUNT.as_bytes()[1..]))
}

/// The same target as the API behind the mount sees it.
fn unmounted(uri: &Uri) -> Option<Uri> {
    let whole = uri.path_and_query()?.as_str();
    let rest = whole.strip_prefix(MOUNT)?;
    let rest = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    Uri::from_parts(parts).ok()
}

impl<B> Service<Request<B>> for Front
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.0.clone();
        let of_api = match shared.of_api(request.uri()) {
            Ok(of_api) => of_api,
            Err(problem) => {
                let id = told(request.headers());
                let page = shared.page(&request);
                let response = shared.desk.refuse(problem, id);
                return Box::pin(ready(Ok(shared.readable(response, page))));
            }
        };
        let rule = match of_api {
            true => None,
            false => shared.proxy.0.upstreams.which(request.uri().path()),
        };
        // An empty one takes no box.
        let mut request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(body),
        });
        let Some(rule) = rule else {
            if of_api
                && shared.mounted
                && let Some(uri) = unmounted(request.uri())
            {
                *request.uri_mut() = uri;
            }
            return Box::pin(shared.api.clone().oneshot(request));
        };
        shared.pass(rule, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_writing_the_mount_leads_past_it() {
        for path in [
            "/_Raincheck/v1",
            "//_raincheck/v1",
            "/./_raincheck",
            "/a/../_raincheck/v1/jobs",
            "/%5fraincheck",
            "/%5Fraincheck/v1",
            "/x/%2e%2e/_raincheck",
            "/x%2f..%2f_raincheck",
            "/\\_raincheck",
            "/_raincheck;x=1/v1",
        ] {
            assert!(leads_to_mount(path) && !below(path, MOUNT), "{path}");
        }
        for path in [
            "/",
            "/a/_raincheck",
            "/_raincheckx",
            "/_rain",
            "/%5f",
            "/a//b",
            "/a/../b",
        ] {
            assert!(!leads_to_mount(path) && !below(path, MOUNT), "{path}");
        }
        assert!(below("/_raincheck", MOUNT) && below("/_raincheck/v1/jobs", MOUNT));
    }

    #[test]
    fn a_rule_for_the_api_s_own_paths_is_told_from_one_that_may_match() {
        for (path, at_the_top, mounted) in [
            ("/_raincheck/**", true, true),
            ("/_raincheck", true, true),
            ("/v1/**", true, false),
            ("/v1/jobs", true, false),
            ("/v1", true, false),
            ("/v1*", false, false),
            ("/v2/**", false, false),
            ("/**", false, false),
        ] {
            let glob = path.parse().unwrap();
            assert_eq!(
                (reserved(&glob, false), reserved(&glob, true)),
                (at_the_top, mounted),
                "{path}"
            );
        }
    }

    #[test]
    fn the_api_sees_its_own_paths() {
        for (uri, expected) in [
            ("/_raincheck/v1/jobs?a=b", "/v1/jobs?a=b"),
            ("/_raincheck", "/"),
            ("/_raincheck?a", "/?a"),
            ("http://h/_raincheck/v1", "http://h/v1"),
        ] {
            assert_eq!(unmounted(&uri.parse().unwrap()).unwrap().to_string(), expected);
        }
    }
}
