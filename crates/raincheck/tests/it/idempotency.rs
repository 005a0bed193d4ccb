//! Idempotency keys: one request, one job, however often it is sent.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Ask;
use crate::harness::{Server, Setup, success};
use raincheck::core::clock::ManualClock;
use raincheck::tasks::{Group, TaskKind};
use tokio::sync::mpsc;

fn keyed(server: &Server, key: &str) -> Ask {
    server
        .post("/v1/queues/thumbs/jobs")
        .header("idempotency-key", key)
}

#[tokio::test]
async fn the_same_request_is_the_same_job() {
    let server = Server::start().await;
    let submit = || {
        keyed(&server, "\"k\"")
            .header("content-type", "a/b")
            .header("raincheck-priority", "1")
            .body("x")
    };
    let first = submit().send().await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = submit().send().await;
    insta::assert_snapshot!(again.shown());
    assert_eq!(again.job(), first.job());
    let raw = keyed(&server, "k")
        .header("raincheck-priority", "1")
        .header("content-type", "a/b")
        .body("x");
    assert_eq!(
        raw.send().await.job(),
        first.job(),
        "quoted or raw, in any order of headers, it is the same key"
    );
    server.work(success("r")).await;
    let done = submit().send().await;
    assert_eq!(
        (done.status, done.outcome(), &done.json()["done"]),
        (202, Some("succeeded"), &true.into())
    );
    assert_eq!(
        (done.header("retry-after"), done.header("idempotency-replayed")),
        (None, Some("true"))
    );
    let waited = submit().header("prefer", "wait=5").send().await;
    assert_eq!(
        (
            waited.status,
            waited.text(),
            waited.header("idempotency-replayed")
        ),
        (200, "r", Some("true"))
    );
    assert_eq!(
        waited.header("content-location"),
        Some(&*format!("/v1/jobs/{}/result", first.job()))
    );
    assert!(server.claim("thumbs").await.is_none(), "there is one job");
}

#[tokio::test]
async fn a_repetition_waits_for_the_same_job() {
    let server = Server::start().await;
    let first = keyed(&server, "k").body("x").send().await;
    let waiting = keyed(&server, "k").header("prefer", "wait=30").body("x").send();
    let (answer, _) = tokio::join!(waiting, async {
        while server.node.watch().waiters() != 1 {
            tokio::task::yield_now().await;
        }
        server.work(success("r")).await
    });
    assert_eq!((answer.text(), answer.job()), ("r", first.job()));
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let server = Server::start().await;
    let first = keyed(&server, "k")
        .header("content-type", "a/b")
        .body("x")
        .send()
        .await;
    let other = [
        keyed(&server, "k").header("content-type", "a/b").body("y"),
        keyed(&server, "k").header("content-type", "a/c").body("x"),
        keyed(&server, "k").body("x"),
        keyed(&server, "k")
            .header("content-type", "a/b")
            .header("raincheck-priority", "1")
            .body("x"),
    ];
    for ask in other {
        let answer = ask.send().await;
        assert_eq!(
            (answer.status, answer.code().as_str(), answer.outcome()),
            (422, "idempotency-mismatch", None)
        );
    }
    let alike = keyed(&server, "k")
        .header("content-type", "a/b")
        .header("prefer", "wait=0")
        .header("traceparent", "x");
    assert_eq!(
        alike.body("x").send().await.job(),
        first.job(),
        "preferences and traces do not count"
    );
    server.ask("PUT", "/v1/queues/other").json("{}").send().await;
    let elsewhere = server
        .post("/v1/queues/other/jobs")
        .header("idempotency-key", "k")
        .body("y")
        .send()
        .await;
    assert_eq!(elsewhere.status, 202, "a key belongs to its queue");
}

#[tokio::test]
async fn the_json_form_takes_a_key_in_its_head_or_in_its_body() {
    let server = Server::start().await;
    let body = r#"{"queue":"thumbs","input":1,"idempotency_key":"k"}"#;
    let first = server.post("/v1/jobs").json(body).send().await;
    let again = server
        .post("/v1/jobs")
        .header("idempotency-key", "\"k\"")
        .json(body)
        .send()
        .await;
    assert_eq!(
        (again.job(), again.header("idempotency-replayed")),
        (first.job(), Some("true"))
    );
    let head = server
        .post("/v1/jobs")
        .header("idempotency-key", "k")
        .json(r#"{"queue":"thumbs","input":1}"#);
    assert_eq!(head.send().await.job(), first.job());
    let raw = keyed(&server, "k")
        .header("content-type", "application/json")
        .body("1")
        .send()
        .await;
    assert_eq!(raw.job(), first.job(), "both forms are one request");
    let differ = server
        .post("/v1/jobs")
        .header("idempotency-key", "l")
        .json(body)
        .send()
        .await;
    assert_eq!(differ.code(), "bad-request");
    let empty = server
        .post("/v1/jobs")
        .json(r#"{"queue":"thumbs","idempotency_key":""}"#)
        .send()
        .await;
    assert_eq!(empty.code(), "bad-request");
}

#[tokio::test]
async fn twins_at_the_same_time_make_one_job() {
    let server = Arc::new(Server::start().await);
    let (tell, mut told) = mpsc::channel(64);
    let twins = Group::new("twins");
    for _ in 0..64 {
        let (server, tell) = (server.clone(), tell.clone());
        twins.spawn(TaskKind::Errand, async move {
            let answer = keyed(&server, "race").body("same").send().await;
            tell.send((
                answer.status,
                answer.job(),
                answer.header("idempotency-replayed").is_some(),
            ))
            .await
            .unwrap();
        });
    }
    drop(tell);
    let (mut jobs, mut replayed, mut count) = (HashSet::new(), 0, 0);
    while let Some((status, job, again)) = told.recv().await {
        assert_eq!(status, 202);
        jobs.insert(job);
        replayed += usize::from(again);
        count += 1;
    }
    assert_eq!((count, jobs.len(), replayed), (64, 1, 63));
    assert_eq!(
        server.get("/v1/queues/thumbs").send().await.json()["counts"]["queued"],
        1
    );
}

#[tokio::test]
async fn a_key_is_known_before_any_other_refusal() {
    let server = Server::start().await;
    let submit = async || keyed(&server, "k").body("x").send().await;
    let first = submit().await;
    server
        .ask("PUT", "/v1/queues/thumbs")
        .json(r#"{"depth":1}"#)
        .send()
        .await;
    let full = keyed(&server, "other").body("x").send().await;
    assert_eq!(full.code(), "queue-full");
    assert_eq!(submit().await.job(), first.job(), "though the queue is full");
    server.work(success("")).await;
    assert_eq!(server.ask("DELETE", "/v1/queues/thumbs").send().await.status, 204);
    assert_eq!(submit().await.job(), first.job(), "though the queue is gone");
    assert_eq!(
        keyed(&server, "other").body("x").send().await.code(),
        "unknown-queue"
    );
}

#[tokio::test]
async fn a_forgotten_job_never_runs_again_under_its_key() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let submit = async |key: &str| keyed(&server, key).body("x").send().await;
    let deleted = submit("deleted").await.job();
    server.work(success("")).await;
    server.ask("DELETE", &format!("/v1/jobs/{deleted}")).send().await;
    let answer = submit("deleted").await;
    assert_eq!((answer.status, answer.code().as_str()), (410, "job-deleted"));
    submit("expired").await;
    server.work(success("")).await;
    clock.advance(Duration::from_secs(24 * 3600 + 1));
    while server.store().prune(100).await.unwrap().more {}
    let answer = submit("expired").await;
    assert_eq!((answer.status, answer.code().as_str()), (410, "result-expired"));
    assert!(server.claim("thumbs").await.is_none());
}
