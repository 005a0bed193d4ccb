//! What is sent, and where to.

use super::super::*;
use crate::testing::handler::Handler;
use crate::testing::{Setup, promises, soon, text};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use raincheck_core::job::{AttemptOutcome, Outcome};
use raincheck_core::queue::Worker;
use raincheck_core::store::Store;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::AsyncReadExt;

promises! {
    the_input_goes_out_as_it_came_and_the_answer_is_the_result
    forwarded_headers_cannot_pass_for_our_own
    urls_are_asked_in_turn
    nobody_there_is_tried_again
    a_cancelled_push_closes_its_connection
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
