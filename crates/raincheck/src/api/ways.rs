//! The two ways from the gate to a route: a submit goes straight to its own, all else by the router.
//!
//! The router matches, names what it matched, boxes body, route and answer, and moves the request through each: a tenth of what
//! a submit costs beside the store.
//!
//! Invariant: what goes straight is what the router would have led to the same function, and is answered the same.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::response::{IntoResponse as _, Response};
use axum::routing::future::RouteFuture;
use axum::{BoxError, Router};
use bytes::Bytes;
use http::{Method, Request};
use tower::Service;

use super::Api;
use super::problem::Problem;
use super::routes::submit;

/// All routes. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Ways {
    router: Router,
    api: Api,
}

impl Ways {
    pub(super) const fn new(router: Router, api: Api) -> Self {
        Self { router, api }
    }
}

/// A request on one of the ways.
pub struct Going(Way);

enum Way {
    Straight(Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>),
    Routed(Pin<Box<RouteFuture<Infallible>>>),
}

impl fmt::Debug for Going {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Going").finish_non_exhaustive()
    }
}

impl Future for Going {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Way::Straight(submitting) => {
                let answered = submitting.as_mut().poll(cx);
                answered.map(|answered| Ok(answered.unwrap_or_else(Problem::into_response)))
            }
            Way::Routed(answering) => answering.as_mut().poll(cx),
        }
    }
}

impl<B> Service<Request<B>> for Ways
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Going;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Going {
        if *request.method() == Method::POST && submit::is_raw(request.uri().path()) {
            let (parts, content) = request.into_parts();
            let submitting = submit::submit(self.api.clone(), parts, content);
            return Going(Way::Straight(Box::pin(submitting)));
        }
        Going(Way::Routed(Box::pin(self.router.call(request))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use raincheck_core::conformance::ModelStore;
    use raincheck_core::name::{Namespace, QueueName};
    use raincheck_core::queue::QueueSpec;
    use tower::ServiceExt as _;

    use super::*;
    use crate::Node;
    use crate::api::problem::Unwritten;
    use crate::api::{ApiOptions, routes};
    use crate::clock::SystemClock;
    use crate::telemetry::http::Routes;
    use crate::testing::options;

    #[test]
    fn what_goes_straight_is_what_the_router_leads_there() {
        let (_, document) = routes::all().split_for_parts();
        let paths = Routes::new(document.paths.paths.keys().map(String::as_str));
        assert_eq!(&**paths.of(submit::RAW), submit::RAW);
        for path in [
            "/v1/queues/q/jobs",
            "/v1/queues/a.b-c_9/jobs",
            "/v1/queues/%71/jobs",
            "/v1/queues/jobs/jobs",
            "/v1/queues//jobs",
            "/v1/queues/jobs",
            "/v1/queues/q/jobs/",
            "/v1/queues/q/jobs/x",
            "/v1/queues/a/b/jobs",
            "/v1/queues/q/claim",
            "//v1/queues/q/jobs",
            "/V1/queues/q/jobs",
            "/v1/jobs",
            "*",
        ] {
            assert_eq!(submit::is_raw(path), &**paths.of(path) == submit::RAW, "{path}");
        }
    }

    /// Status, problem and headers but those that differ each time; the router measures a body that hyper measures otherwise.
    async fn told<S>(way: S, request: Request<Body>) -> (u16, Option<&'static str>, Vec<String>)
    where
        S: Service<Request<Body>, Response = Response, Error = Infallible>,
    {
        let Ok(response) = way.oneshot(request).await;
        let problem = response.extensions().get::<Unwritten>();
        let code = problem.map(|Unwritten(problem)| problem.code().as_str());
        let mut names: Vec<_> = response.headers().keys().map(ToString::to_string).collect();
        names.retain(|name| name != "content-length");
        names.sort();
        (response.status().as_u16(), code, names)
    }

    #[tokio::test]
    async fn a_submit_is_answered_the_same_on_both_ways() {
        let store = Arc::new(ModelStore::new(Arc::new(SystemClock::new())));
        let node = Node::start(store, options()).await.unwrap();
        let queue = QueueName::new("q").unwrap();
        node.put_queue(&Namespace::default(), &queue, QueueSpec::default(), false)
            .await
            .unwrap()
            .unwrap();
        let api = crate::api::api(node, ApiOptions::default());
        let router = routes::all().split_for_parts().0.with_state(api.clone());
        let ways = Ways::new(router.clone(), api);
        for (path, header, status) in [
            ("/v1/queues/q/jobs", ("x-some", "y"), 202),
            ("/v1/queues/q/jobs", ("idempotency-key", "a"), 202),
            ("/v1/queues/q/jobs", ("idempotency-key", "a"), 202),
            ("/v1/queues/q/jobs", ("raincheck-ticket", "1h"), 202),
            ("/v1/queues/q/jobs", ("raincheck-priority", "11"), 400),
            ("/v1/queues/q/jobs?ticket=x", ("x-some", "y"), 403),
            ("/v1/queues/none/jobs", ("x-some", "y"), 404),
            ("/v1/queues/%71/jobs", ("x-some", "y"), 404),
        ] {
            let request = || {
                let request = Request::post(path).header(header.0, header.1);
                request.body(Body::from("x")).unwrap()
            };
            let straight = told(ways.clone(), request()).await;
            assert_eq!(straight.0, status, "{path} {header:?}: {straight:?}");
            // Under a key the second one is answered as a repetition.
            if header.0 != "idempotency-key" {
                assert_eq!(
                    straight,
                    told(router.clone(), request()).await,
                    "{path} {header:?}"
                );
            }
        }
    }
}
