//! What becomes of a job when its endpoint answers so.

use super::super::*;
use super::scripted;
use crate::testing::handler::Handler;
use crate::testing::{Setup, promises, soon, text};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{any, post};
use raincheck_core::job::{AttemptOutcome, Outcome};
use raincheck_core::queue::ByteSize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

promises! {
    policy_headers_of_an_answer_are_not_kept
    a_redirect_is_a_failure
    a_client_error_is_final_and_its_answer_the_result
    the_last_answer_is_the_result
    retry_after_is_a_floor
    an_answer_that_breaks_off_is_tried_again
    an_answer_over_the_limit_is_a_failure
    a_slow_answer_is_cut_by_the_attempts_time
}

/// A body that never ends.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(
            &[b'x'; 700],
        )))))
    }
}

async fn policy_headers_of_an_answer_are_not_kept(setup: Setup) {
    let answer = [
        ("set-cookie", "a=b"),
        ("www-authenticate", "Basic"),
        ("content-security-policy", "default-src *"),
        ("access-control-allow-origin", "*"),
        ("cache-control", "public"),
        ("location", "/elsewhere"),
        ("etag", "\"x\""),
        ("content-language", "de"),
        ("content-disposition", "attachment; filename=a.png"),
    ];
    let handler = Handler::serve(Router::new().route("/", post(move || async move { (answer, "x") }))).await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    let kept: BTreeMap<_, _> = done.result.as_ref().unwrap().headers.iter().cloned().collect();
    let names: Vec<_> = kept.keys().map(String::as_str).collect();
    assert_eq!(names, ["content-disposition", "content-language"]);
}

async fn a_redirect_is_a_failure(setup: Setup) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let handler = Handler::serve(
        Router::new()
            .route(
                "/",
                post(|| async { axum::response::Redirect::temporary("/there") }),
            )
            .route(
                "/there",
                any(move || async move { count.fetch_add(1, Ordering::SeqCst).to_string() }),
            ),
    )
    .await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    let error = done.job.error.clone().unwrap();
    assert_eq!(
        (error.code.as_str(), error.status),
        ("handler-redirected", Some(307))
    );
    assert_eq!((done.job.attempt, done.job.outcome()), (1, Some(Outcome::Failed)));
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody followed it");
}

async fn a_client_error_is_final_and_its_answer_the_result(setup: Setup) {
    let handler = Handler::serve(Router::new().route(
        "/",
        post(|| async { (StatusCode::UNPROCESSABLE_ENTITY, "no such picture") }),
    ))
    .await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!((done.job.attempt, done.job.outcome()), (1, Some(Outcome::Failed)));
    assert_eq!(text(&done), "no such picture");
    assert_eq!(done.job.error.as_ref().unwrap().code, "handler-failed");
    assert_eq!(done.result.unwrap().status, 422);
}

async fn the_last_answer_is_the_result(setup: Setup) {
    let statuses = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::BAD_GATEWAY,
    ];
    let answers = statuses
        .iter()
        .enumerate()
        .map(|(n, status)| (*status, format!("answer {n}")).into_response());
    let handler = scripted(answers.collect()).await;
    setup
        .queue("q", handler.at("/"), |spec| spec.max_attempts = Some(3))
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!(done.job.attempt, 3);
    assert_eq!(text(&done), "answer 2");
    assert_eq!(done.result.unwrap().status, 502);
    let seen: Vec<_> = done
        .job
        .attempts
        .iter()
        .map(|attempt| attempt.error.as_ref().unwrap().status)
        .collect();
    assert_eq!(seen, [Some(503), Some(408), Some(502)]);
}

async fn retry_after_is_a_floor(setup: Setup) {
    let busy = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "30")]).into_response();
    let handler = scripted(vec![busy]).await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let id = setup.submit("q", "").await;
    let waiting = setup.when(id, |job| job.attempts.len() == 1).await.job;
    assert!(!waiting.done());
    assert_eq!(
        waiting.run_at.since(waiting.attempts[0].ended_at),
        Duration::from_secs(30)
    );
}

async fn an_answer_that_breaks_off_is_tried_again(setup: Setup) {
    let handler = Handler::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await;
    setup
        .queue("q", handler.at("/"), |spec| spec.max_attempts = Some(2))
        .await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!((done.job.attempt, done.job.outcome()), (2, Some(Outcome::Failed)));
    let error = done.job.error.clone().unwrap();
    assert_eq!(error.code, "handler-unreachable");
    assert!(error.detail.contains("broke off after 9 bytes"), "{error:?}");
    assert!(done.result.is_none());
}

async fn an_answer_over_the_limit_is_a_failure(setup: Setup) {
    let handler = Handler::serve(
        Router::new()
            .route("/", post(|| async { "x".repeat(1001) }))
            .route("/fits", post(|| async { "x".repeat(1000) }))
            .route("/endless", post(|| async { axum::body::Body::new(Endless) })),
    )
    .await;
    let limit = |spec: &mut raincheck_core::queue::QueueSpec| spec.result_max = Some(ByteSize(1000));
    setup.queue("q", handler.at("/"), limit).await;
    setup.queue("fits", handler.at("/fits"), limit).await;
    setup.queue("endless", handler.at("/endless"), limit).await;
    for queue in ["q", "endless"] {
        let id = setup.submit(queue, "").await;
        let done = setup.done(id).await;
        assert_eq!(
            done.job.error.clone().unwrap().code,
            "result-too-large",
            "{queue}"
        );
        assert_eq!((done.job.attempt, done.job.outcome()), (1, Some(Outcome::Failed)));
        assert!(done.result.is_none());
    }
    let id = setup.submit("fits", "").await;
    assert_eq!(setup.done(id).await.job.outcome(), Some(Outcome::Succeeded));
}

async fn a_slow_answer_is_cut_by_the_attempts_time(setup: Setup) {
    let (silent, mut connections) = Handler::connections().await;
    setup
        .queue("q", silent.at("/"), |spec| {
            spec.timeout = Some(Duration::from_millis(100));
            spec.max_attempts = Some(2);
        })
        .await;
    let id = setup.submit("q", "").await;
    let _first = soon("the first attempt", connections.recv()).await.unwrap();
    let _second = soon("the second attempt", connections.recv()).await.unwrap();
    let done = setup.done(id).await;
    let outcomes: Vec<_> = done.job.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::TimedOut; 2]);
    let error = done.job.error.clone().unwrap();
    assert_eq!(error.code, "timed-out");
    assert_eq!(error.detail, "the attempt did not end within 100ms");
}
