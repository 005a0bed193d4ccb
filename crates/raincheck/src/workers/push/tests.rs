//! What push promises, against real servers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, post};
use raincheck_core::job::{AttemptOutcome, Outcome};
use raincheck_core::queue::{ByteSize, Worker};
use raincheck_core::store::Store;
use tokio::io::AsyncReadExt;

use super::*;
use crate::testing::handler::Handler;
use crate::testing::{Setup, promises, soon, text};

promises! {
    the_input_goes_out_as_it_came_and_the_answer_is_the_result
    forwarded_headers_cannot_pass_for_our_own
    policy_headers_of_an_answer_are_not_kept
    a_redirect_is_a_failure
    a_client_error_is_final_and_its_answer_the_result
    the_last_answer_is_the_result
    retry_after_is_a_floor
    an_answer_that_breaks_off_is_tried_again
    an_answer_over_the_limit_is_a_failure
    a_slow_answer_is_cut_by_the_attempts_time
    urls_are_asked_in_turn
    nobody_there_is_tried_again
    a_cancelled_push_closes_its_connection
    an_answer_for_later_needs_the_url_of_a_lease
    only_the_word_later_makes_an_answer_wait
    jobs_that_are_settled_later_keep_their_places_in_the_queue
    a_url_from_the_api_leads_to_no_private_address_however_it_is_written
}

async fn the_input_goes_out_as_it_came_and_the_answer_is_the_result(setup: Setup) {
    let seen = Arc::new(Mutex::new(None));
    let sink = seen.clone();
    let handler = Handler::serve(Router::new().route(
        "/double",
        post(move |headers: HeaderMap, body: String| async move {
            *sink.lock().unwrap() = Some(headers);
            (
                StatusCode::CREATED,
                [("content-type", "text/x-twice")],
                body.repeat(2),
            )
        }),
    ))
    .await;
    setup.queue("q", handler.at("/double"), |_| {}).await;
    let id = setup
        .submit_with("q", "ab", |options, input| {
            options.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
            input
                .headers
                .push(("content-language".to_owned(), "de".to_owned()));
        })
        .await;
    let done = setup.done(id).await;
    assert_eq!(done.job.outcome(), Some(Outcome::Succeeded));
    let result = done.result.clone().unwrap();
    assert_eq!(
        (result.status, result.content_type.as_deref()),
        (201, Some("text/x-twice"))
    );
    assert_eq!(text(&done), "abab");

    let headers = seen.lock().unwrap().take().unwrap();
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(header("raincheck-job"), id.to_string());
    assert_eq!(header("idempotency-key"), id.to_string());
    assert_eq!(header("raincheck-attempt"), "1");
    assert_eq!(header("raincheck-fence"), "1");
    assert_eq!(header("content-type"), "text/plain");
    assert_eq!(header("content-language"), "de");
    assert_eq!(header("content-length"), "2");
    assert_eq!(header("host"), handler.addr.to_string());
    assert!(header("traceparent").starts_with("00-0af7"));
    let deadline: raincheck_core::time::Timestamp = header("raincheck-attempt-deadline").parse().unwrap();
    assert_eq!(
        deadline.since(done.job.attempts[0].started_at),
        Duration::from_secs(300)
    );
}

async fn forwarded_headers_cannot_pass_for_our_own(setup: Setup) {
    let handler = Handler::serve(Router::new().route(
        "/",
        post(|headers: HeaderMap| async move {
            let all: Vec<_> = headers.get_all("raincheck-fence").iter().collect();
            format!(
                "{all:?} {:?} {:?} {:?}",
                headers.get_all("idempotency-key").iter().count(),
                headers.get("x-mine"),
                headers.get("transfer-encoding")
            )
        }),
    ))
    .await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let id = setup
        .submit_with("q", "", |_, input| {
            for (name, value) in [
                ("raincheck-fence", "99"),
                ("idempotency-key", "x"),
                ("x-mine", "kept"),
                ("transfer-encoding", "chunked"),
                ("bad name", "x"),
                ("x-bad-value", "a\nb"),
            ] {
                input.headers.push((name.to_owned(), value.to_owned()));
            }
        })
        .await;
    assert_eq!(text(&setup.done(id).await), r#"["1"] 1 Some("kept") None"#);
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

/// A handler that answers the n-th request with the n-th answer, the last one for ever.
async fn scripted(answers: Vec<axum::response::Response>) -> Handler {
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    Handler::serve(Router::new().route(
        "/",
        post(move || async move {
            let answer = answers.lock().unwrap().next();
            answer.unwrap_or_else(|| StatusCode::IM_A_TEAPOT.into_response())
        }),
    ))
    .await
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

async fn urls_are_asked_in_turn(setup: Setup) {
    let routes = |name: &'static str| Router::new().route("/", post(move || async move { name }));
    let (a, b) = (
        Handler::serve(routes("a")).await,
        Handler::serve(routes("b")).await,
    );
    let urls = [&a, &b].map(|handler| format!("http://{}/", handler.addr));
    setup.queue("q", Worker::Push(urls.to_vec()), |_| {}).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        let id = setup.submit("q", "").await;
        answers.push(text(&setup.done(id).await));
    }
    assert_eq!(answers, ["a", "b", "a", "b"]);
}

async fn nobody_there_is_tried_again(setup: Setup) {
    // A port that was just let go: nobody answers there.
    let addr = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let worker = Worker::Push(vec![format!("http://{addr}/")]);
    setup.queue("q", worker, |spec| spec.max_attempts = Some(2)).await;
    let id = setup.submit("q", "").await;
    let done = setup.done(id).await;
    assert_eq!((done.job.attempt, done.job.outcome()), (2, Some(Outcome::Failed)));
    assert_eq!(done.job.error.clone().unwrap().code, "handler-unreachable");
}

async fn a_cancelled_push_closes_its_connection(setup: Setup) {
    let (handler, mut connections) = Handler::connections().await;
    // The first renewal would come too late to tell it.
    setup
        .queue("q", handler.at("/"), |spec| {
            spec.lease_for = Some(Duration::from_secs(300))
        })
        .await;
    let id = setup.submit("q", "the input").await;
    let mut connection = soon("the request", connections.recv()).await.unwrap();
    let mut request = Vec::new();
    soon("the whole request", async {
        while !request.ends_with(b"the input") {
            assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
        }
    })
    .await;
    setup.store.cancel(&setup.ns, vec![id]).await.unwrap();
    soon("the end of the connection", connection.read_to_end(&mut request))
        .await
        .unwrap();
    let done = setup.done(id).await.job;
    assert_eq!(done.outcome(), Some(Outcome::Cancelled));
    assert_eq!(done.attempts[0].outcome, AttemptOutcome::Cancelled);
}

const LATER: [(&str, &str); 1] = [("raincheck-complete", "later")];

async fn an_answer_for_later_needs_the_url_of_a_lease(setup: Setup) {
    let options = crate::NodeOptions {
        public_url: None,
        ..crate::testing::options()
    };
    let setup = Setup::over(setup.store.clone(), options).await;
    let seen = Arc::new(Mutex::new(None));
    let sink = seen.clone();
    let handler = Handler::serve(Router::new().route(
        "/",
        post(move |headers: HeaderMap| async move {
            *sink.lock().unwrap() = Some(headers);
            (StatusCode::ACCEPTED, LATER)
        }),
    ))
    .await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let id = setup.submit("q", "").await;
    let job = setup.done(id).await.job;
    let headers = seen.lock().unwrap().take().unwrap();
    assert_eq!(headers.get("raincheck-lease"), None, "the node has no public URL");
    assert_eq!((job.attempt, job.outcome()), (1, Some(Outcome::Failed)));
    assert_eq!(job.error.as_ref().unwrap().detail, NO_LEASE_URL);
}

async fn only_the_word_later_makes_an_answer_wait(setup: Setup) {
    let answers = [
        (StatusCode::ACCEPTED, [("raincheck-complete", "now")], "a").into_response(),
        (StatusCode::OK, LATER, "b").into_response(),
        (StatusCode::ACCEPTED, "c").into_response(),
    ];
    let handler = scripted(answers.into()).await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    for body in ["a", "b", "c"] {
        let id = setup.submit("q", "").await;
        assert_eq!(text(&setup.done(id).await), body);
    }
}

async fn jobs_that_are_settled_later_keep_their_places_in_the_queue(setup: Setup) {
    let handler =
        Handler::serve(Router::new().route("/", post(|| async { (StatusCode::ACCEPTED, LATER) }))).await;
    for (name, concurrency) in [("unwritten", None), ("written", Some(2))] {
        let queue = setup
            .queue(name, handler.at("/"), |spec| spec.concurrency = concurrency)
            .await;
        let places = queue.concurrency(4).unwrap();
        let mut held = Vec::new();
        for _ in 0..places {
            let id = setup.submit(name, "").await;
            let handed_over = |job: &Job| {
                job.lease()
                    .is_some_and(|lease| lease.kind == WorkerKind::Deferred)
            };
            held.push(setup.until(id, handed_over).await);
        }
        let claims = setup.store.claims.load(Ordering::SeqCst);
        let waiting = setup.submit(name, "").await;
        crate::testing::eventually("a claim for the job that waits", || {
            setup.store.claims.load(Ordering::SeqCst) > claims
        })
        .await;
        assert_eq!(
            setup.job(waiting).await.attempt,
            0,
            "{name}: all places are taken"
        );
        let lease = held[0].lease_id().unwrap();
        let settle = raincheck_core::store::Settle {
            lease,
            settlement: raincheck_core::decide::Settlement::Cancel,
            digest: [1; 16],
            seed: 0,
        };
        setup.store.settle(&setup.ns, vec![settle]).await.unwrap()[0]
            .as_ref()
            .unwrap();
        setup.until(waiting, |job| job.lease().is_some()).await;
    }
}

async fn a_url_from_the_api_leads_to_no_private_address_however_it_is_written(setup: Setup) {
    let hits = Arc::new(AtomicU32::new(0));
    let count = hits.clone();
    let route = post(move || async move { count.fetch_add(1, Ordering::SeqCst).to_string() });
    let handler = Handler::serve(Router::new().route("/", route)).await;
    let port = handler.addr.port();
    let over = async |targets: Targets| {
        let options = crate::NodeOptions {
            targets: Arc::new(targets),
            ..crate::testing::options()
        };
        Setup::over(setup.store.clone(), options).await
    };
    let put = async |setup: &Setup, name: &str, host: &str, managed| {
        let spec = raincheck_core::queue::QueueSpec {
            worker: Some(Worker::Push(vec![format!("http://{host}:{port}/")])),
            max_attempts: Some(1),
            ..raincheck_core::queue::QueueSpec::default()
        };
        let name = crate::testing::queue_name(name);
        let put = setup.node.put_queue(&setup.ns, &name, spec, managed);
        put.await.unwrap().unwrap();
    };
    let closed = over(Targets {
        loopback: false,
        allowed: Vec::new(),
    })
    .await;
    for host in [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        put(&closed, "guarded", host, false).await;
        let id = closed.submit("guarded", "").await;
        let error = closed.done(id).await.job.error.clone().unwrap();
        assert_eq!(error.code, "handler-unreachable", "{host}");
        assert!(
            error.detail.contains("is not a public address"),
            "{host}: {}",
            error.detail
        );
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0, "no connection was made");
    // The operator's own URLs lead where they lead, and so does what the operator allows.
    put(&closed, "managed", "127.0.0.1", true).await;
    let id = closed.submit("managed", "").await;
    assert_eq!(text(&closed.done(id).await), "0");
    let allowed = Targets {
        loopback: false,
        allowed: vec!["127.0.0.0/8".parse().unwrap()],
    };
    let allowing = over(allowed).await;
    put(&allowing, "allowed", "127.0.0.1", false).await;
    let id = allowing.submit("allowed", "").await;
    assert_eq!(text(&allowing.done(id).await), "1");
}

#[test]
fn a_url_that_cannot_be_asked_is_refused() {
    let refused = |url: &str| target(url).is_err();
    for good in [
        "http://localhost:8000/jobs/report",
        "https://example.org",
        "http://[::1]:1/",
    ] {
        assert!(!refused(good), "{good}");
    }
    for bad in [
        "",
        "localhost:8000",
        "/path",
        "ftp://a/",
        "http://",
        "http://user:secret@host/",
        "unix:/a",
        "http://a b/",
    ] {
        assert!(refused(bad), "{bad}");
    }
}
