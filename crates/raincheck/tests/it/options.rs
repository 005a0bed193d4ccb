//! The submit options by HTTP: each reaches the job, in both forms; what cannot be is refused and named.

use std::time::Duration;

use crate::client::Answer;
use crate::harness::{Server, ns};
use raincheck::core::job::Job;
use raincheck::core::retry::Backoff;
use std::sync::Arc;

async fn stored(server: &Server, answer: &Answer) -> Arc<Job> {
    assert_eq!(answer.status, 202, "{answer:?}");
    server
        .store()
        .get(&ns(), answer.job().parse().unwrap())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn every_option_reaches_the_job_in_both_forms() {
    let server = Server::start().await;
    let raw = server
        .post("/v1/queues/thumbs/jobs")
        .header("Raincheck-Delay", "1h")
        .header("Raincheck-Priority", "0")
        .header("Raincheck-Group", "tenant 7 / München")
        .header("Raincheck-Timeout", "90s")
        .header("Raincheck-Deadline", "2h")
        .header("Raincheck-Start-Before", "5m")
        .header("Raincheck-Max-Attempts", "100")
        .header("Raincheck-Backoff", "constant;base=30s")
        .header("Raincheck-Keep", "7d")
        .body("x")
        .send()
        .await;
    let json = r#"{"queue":"thumbs","delay":"1h","priority":0,"group":"tenant 7 / München","timeout":"90s",
        "deadline":"2h","start_before":"5m","max_attempts":100,"backoff":"constant;base=30s","keep":"7d"}"#;
    let json = server.post("/v1/jobs").json(json).send().await;
    for answer in [raw, json] {
        let job = stored(&server, &answer).await;
        assert_eq!(job.priority, 0);
        assert_eq!(job.group.as_ref().unwrap().as_str(), "tenant 7 / München");
        assert_eq!(job.run_at, job.created_at.plus(Duration::from_secs(3600)));
        assert_eq!(answer.json()["state"], "scheduled");
        assert_eq!(answer.header("retry-after"), Some("300"));
        let options = &job.options;
        assert_eq!(options.timeout, Some(Duration::from_secs(90)));
        assert_eq!(options.deadline, Some(Duration::from_secs(7200)));
        assert_eq!(options.start_before, Some(Duration::from_secs(300)));
        assert_eq!(options.max_attempts, Some(100));
        let base = Duration::from_secs(30);
        assert_eq!(options.backoff, Some(Backoff::Constant { base }));
        assert_eq!(options.keep, Some(Duration::from_secs(7 * 86_400)));
    }
}

#[tokio::test]
async fn an_earliest_start_in_the_past_is_now() {
    let server = Server::start().await;
    let ask = |at: &str| {
        server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-run-at", at)
    };
    let past = ask("2001-01-01T00:00:00Z").send().await;
    assert_eq!(past.json()["state"], "queued");
    assert_eq!(past.json()["run_at"], past.json()["created_at"]);
    let future = ask("@4102444800").send().await;
    assert_eq!(
        (&future.json()["state"], &future.json()["run_at"]),
        (&"scheduled".into(), &"2100-01-01T00:00:00.000Z".into())
    );
}

#[tokio::test]
async fn the_handler_sees_the_headers_that_were_named() {
    let server = Server::start().await;
    let answer = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-forward", "X-Tenant, accept-language, x-absent")
        .header("x-tenant", "seven")
        .header("x-other", "no")
        .header("accept-language", "de")
        .header("accept-language", "en")
        .header("content-language", "fr")
        .header("content-type", "text/plain")
        .body("x")
        .send()
        .await;
    let input = server
        .store()
        .input(&ns(), answer.job().parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let seen: Vec<(&str, &str)> = input
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let expected = [
        ("content-language", "fr"),
        ("x-tenant", "seven"),
        ("accept-language", "de"),
        ("accept-language", "en"),
    ];
    assert_eq!(seen, expected);
    let json = server
        .post("/v1/jobs")
        .header("x-tenant", "seven")
        .json(r#"{"queue":"thumbs","forward":["x-tenant"]}"#);
    let answer = json.send().await;
    let input = server
        .store()
        .input(&ns(), answer.job().parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(input.headers, [("x-tenant".to_owned(), "seven".to_owned())]);
}

#[tokio::test]
async fn the_trace_context_is_kept() {
    let server = Server::start().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let raw = server
        .post("/v1/queues/thumbs/jobs")
        .header("traceparent", parent)
        .header("tracestate", "a=1");
    let json = server
        .post("/v1/jobs")
        .header("traceparent", parent)
        .header("tracestate", "a=1");
    for answer in [raw.send().await, json.json(r#"{"queue":"thumbs"}"#).send().await] {
        let job = stored(&server, &answer).await;
        assert_eq!(job.options.traceparent.as_deref(), Some(parent));
        assert_eq!(job.options.tracestate.as_deref(), Some("a=1"));
    }
}

#[tokio::test]
async fn an_option_that_does_not_exist_is_named() {
    let server = Server::start().await;
    let raw = server
        .post("/v1/queues/thumbs/jobs")
        .header("Raincheck-Colour", "blue")
        .body("x")
        .send()
        .await;
    insta::assert_snapshot!("unknown_header", raw.shown());
    let json = server
        .post("/v1/jobs")
        .json(r#"{"queue":"thumbs","colour":"blue"}"#)
        .send()
        .await;
    insta::assert_snapshot!("unknown_field", json.shown());
    let mixed = server
        .post("/v1/jobs")
        .header("raincheck-delay", "1m")
        .json(r#"{"queue":"thumbs"}"#)
        .send()
        .await;
    insta::assert_snapshot!("header_on_the_json_form", mixed.shown());
    let query = server
        .post("/v1/queues/thumbs/jobs?priority=1")
        .body("x")
        .send()
        .await;
    assert_eq!(query.code(), "bad-request");
    assert_eq!(
        server.get("/v1/queues").send().await.json()["queues"][0]["counts"]["queued"],
        0,
        "nothing is stored"
    );
}

#[tokio::test]
async fn an_option_that_cannot_be_is_named() {
    let server = Server::start().await;
    for (name, values) in [
        ("Raincheck-Delay", &["", "1", "-1s", "2 lightyears"][..]),
        ("Raincheck-Run-At", &["soon", "2026-11-21"]),
        ("Raincheck-Priority", &["-1", "10", "high"]),
        ("Raincheck-Group", &["", "a\tb"]),
        ("Raincheck-Timeout", &["0s", "forever"]),
        ("Raincheck-Deadline", &["0s"]),
        ("Raincheck-Start-Before", &["0s"]),
        ("Raincheck-Max-Attempts", &["0", "101"]),
        ("Raincheck-Backoff", &["linear", "constant"]),
        ("Raincheck-Keep", &["0s", "10y"]),
        ("Raincheck-Forward", &["host", "raincheck-job", "a b"]),
        ("Idempotency-Key", &["", "\"open", "a b"]),
    ] {
        for value in values {
            let answer = server
                .post("/v1/queues/thumbs/jobs")
                .header(name, value)
                .body("x")
                .send()
                .await;
            assert_eq!(answer.code(), "bad-request", "{name}: {value}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(&format!("{name}: ")), "{detail}");
            assert_eq!(answer.outcome(), None);
        }
        let twice = server
            .post("/v1/queues/thumbs/jobs")
            .header(name, "1m")
            .header(name, "1m")
            .body("x");
        assert_eq!(twice.send().await.code(), "bad-request", "{name} twice");
    }
}

#[tokio::test]
async fn one_server_can_push_to_another() {
    let server = Server::start().await;
    let answer = server
        .post("/v1/queues/thumbs/jobs")
        .header("Raincheck-Job", "job_of_the_other")
        .header("Raincheck-Attempt", "3")
        .header("Raincheck-Fence", "4")
        .header("Raincheck-Attempt-Deadline", "2026-11-21T06:00:00Z")
        .header("Raincheck-Lease", "http://other/v1/leases/l_x")
        .body("x");
    assert_eq!(answer.send().await.status, 202);
}
