//! What the API answers when the store or a handler fails, which needs a store that fails when told to.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use raincheck_core::conformance::ModelStore;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::QueueSpec;
use raincheck_core::store::{Store as _, StoreError};
use tower::ServiceExt as _;

use super::gate::Gate;
use super::{Service, service};
use crate::Node;
use crate::clock::SystemClock;
use crate::telemetry::Metrics;
use crate::telemetry::http::Routes;
use crate::testing::faulty::{Faulty, Op};
use crate::testing::options;

async fn server() -> (Arc<Faulty>, Service) {
    let store = Arc::new(Faulty::new(Arc::new(ModelStore::new(Arc::new(
        SystemClock::new(),
    )))));
    let node = Node::start(store.clone(), options()).await.unwrap();
    let queue = QueueName::new("q").unwrap();
    node.put_queue(&Namespace::default(), &queue, QueueSpec::default(), false)
        .await
        .unwrap()
        .unwrap();
    (store, service(node))
}

async fn submit(app: &Service, key: Option<&str>) -> (StatusCode, Option<String>, String) {
    let mut request = Request::post("/v1/queues/q/jobs").header("host", "localhost");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let answer = app
        .clone()
        .oneshot(request.body(Body::from("x")).unwrap())
        .await
        .unwrap();
    let outcome = answer
        .headers()
        .get("raincheck-outcome")
        .map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, outcome, String::from_utf8(body.to_vec()).unwrap())
}

/// Polls the future often enough for anything that does not wait for the store.
async fn still_waits<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    for _ in 0..1_000 {
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending()));
        if !polled.await {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

#[tokio::test]
async fn no_202_comes_before_the_commit() {
    let (store, app) = server().await;
    let held = store.hold(Op::Submit);
    let mut submitting = Box::pin(submit(&app, None));
    assert!(still_waits(submitting.as_mut()).await);
    held.cancel();
    assert_eq!(submitting.await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_commit_leaves_its_job() {
    let (store, app) = server().await;
    let held = store.hold(Op::Submit);
    let mut submitting = Box::pin(submit(&app, None));
    assert!(still_waits(submitting.as_mut()).await);
    drop(submitting);
    held.cancel();
    let queues = store.queues(&Namespace::default()).await.unwrap();
    assert_eq!(
        queues[0].counts.queued, 1,
        "the submission was handed over, only the wait was dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_keeps_no_reader_for_long() {
    let (store, app) = server().await;
    let (_, _, job) = submit(&app, None).await;
    let job: serde_json::Value = serde_json::from_str(&job).unwrap();
    let ask = async |path: String| {
        let request = Request::get(path).header("host", "localhost");
        let answer = app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
        )
    };
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(ask(path.clone()).await.1["waiting_for"], "worker");
    let _held = store.hold(Op::Look);
    let began = tokio::time::Instant::now();
    let (status, told) = ask(path).await;
    assert_eq!((status, &told["state"]), (StatusCode::OK, &"queued".into()));
    assert_eq!(told.get("waiting_for"), None, "{told}");
    assert!(began.elapsed() <= std::time::Duration::from_secs(6));
    for path in ["/v1/queues/q", "/v1/queues/unknown/jobs"] {
        let began = tokio::time::Instant::now();
        let request = if path.ends_with("jobs") {
            Request::post(path)
        } else {
            Request::get(path)
        };
        let request = request.header("host", "localhost").body(Body::from("x")).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.headers().contains_key("retry-after"));
        assert!(began.elapsed() <= std::time::Duration::from_secs(6), "{path}");
    }
}

#[tokio::test]
async fn a_commit_in_doubt_says_so() {
    let (store, app) = server().await;
    store.fail(Op::Submit, StoreError::Unknown);
    let (status, outcome, body) = submit(&app, None).await;
    assert_eq!(
        (status, outcome.as_deref()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("unknown"))
    );
    assert!(
        body.contains("store-unavailable") && body.contains("Idempotency-Key"),
        "{body}"
    );
}

#[tokio::test]
async fn what_was_surely_not_stored_says_so_and_keeps_the_stores_words_to_itself() {
    for error in [
        StoreError::Failed("secret words at /var/lib/raincheck".to_owned()),
        StoreError::Unavailable("secret words in SQL".to_owned()),
    ] {
        let (store, app) = server().await;
        store.fail(Op::Submit, error);
        let (status, outcome, body) = submit(&app, Some("k")).await;
        assert_eq!((status, outcome), (StatusCode::SERVICE_UNAVAILABLE, None));
        assert!(
            body.contains("store-unavailable") && !body.contains("secret"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_takes_nothing_new_but_knows_what_it_took() {
    let (store, app) = server().await;
    let (status, _, first) = submit(&app, Some("k")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    store.fail(Op::Submit, StoreError::DiskFull);
    let (status, outcome, body) = submit(&app, None).await;
    assert_eq!(
        (status, outcome),
        (StatusCode::INSUFFICIENT_STORAGE, None),
        "{body}"
    );
    assert_eq!(
        submit(&app, Some("other")).await.0,
        StatusCode::INSUFFICIENT_STORAGE
    );
    let (status, outcome, again) = submit(&app, Some("k")).await;
    assert_eq!(
        (status, outcome.as_deref()),
        (StatusCode::ACCEPTED, Some("pending"))
    );
    assert_eq!(again[..40], first[..40], "the same job");
    store.mend();
    assert_eq!(
        submit(&app, None).await.0,
        StatusCode::ACCEPTED,
        "it resumes by itself"
    );
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_problem_like_any_other() {
    let panics = tower::service_fn(|_: Request<Body>| {
        Box::pin(async {
            assert!(std::env::var("RAINCHECK_NEVER_SET").is_ok(), "on purpose");
            Ok::<Response, Infallible>(Response::default())
        })
    });
    let request = Request::get("/")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let routes = Routes::new(std::iter::empty());
    let gate = Gate::new(
        panics,
        super::gate::Lets {
            closed: true,
            cors: None,
        },
        None,
        None,
        routes,
        Metrics::default(),
        crate::links::Mount::default(),
    );
    let answer = gate.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.headers().contains_key("x-request-id"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body = std::str::from_utf8(&body).unwrap();
    assert!(
        body.contains("\"code\":\"internal\"") && !body.contains("on purpose"),
        "{body}"
    );
}
