//! A job's document, cancelling, retrying, forgetting.

use std::sync::Arc;
use std::time::Duration;

use crate::harness::{Server, Setup, failure, ns, queue, result, success};
use raincheck::core::clock::ManualClock;
use raincheck::core::decide::Settlement;
use raincheck::core::job::Failure;

#[tokio::test]
async fn the_document_tells_a_jobs_whole_life() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let submit = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-delay", "90s")
        .header("raincheck-group", "g");
    let path = format!("/v1/jobs/{}", submit.body("x").send().await.job());
    insta::assert_snapshot!("scheduled", server.get(&path).send().await.shown());
    clock.advance(Duration::from_secs(90));
    let queued = server.get(&path).send().await.json();
    assert_eq!(
        (&queued["state"], &queued["waiting_for"]),
        (&"queued".into(), &"worker".into())
    );
    let leased = server.claim("thumbs").await.unwrap();
    insta::assert_snapshot!("running", server.get(&path).send().await.shown());
    clock.advance(Duration::from_secs(1));
    let again = Settlement::Fail {
        failure: Failure {
            status: Some(503),
            ..Failure::new("handler-failed", "busy")
        },
        retry: Some(Duration::ZERO),
        result: None,
        timed_out: false,
    };
    server.settle(&leased, again).await;
    clock.advance(Duration::from_secs(600));
    server.work(failure("handler-failed", "exit code 65", None)).await;
    insta::assert_snapshot!("failed", server.get(&path).send().await.shown());
}

#[tokio::test]
async fn a_waiting_job_tells_what_it_waits_for() {
    let server = Server::start().await;
    let path = format!("/v1/jobs/{}", server.submit("x").await);
    let waiting_for = async || server.get(&path).send().await.json()["waiting_for"].clone();
    assert_eq!(waiting_for().await, "worker");
    server
        .node
        .pause_queue(&ns(), &queue("thumbs"), true)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(waiting_for().await, "pause");
    server
        .node
        .pause_queue(&ns(), &queue("thumbs"), false)
        .await
        .unwrap()
        .unwrap();
    server
        .ask("PUT", "/v1/queues/thumbs")
        .json(r#"{"concurrency":1}"#)
        .send()
        .await;
    server.submit("y").await;
    let running = server.claim("thumbs").await.unwrap();
    let second = server.get("/v1/queues/thumbs").send().await.json();
    assert_eq!(second["counts"]["running"], 1);
    assert_eq!(waiting_for().await, serde_json::Value::Null, "it runs");
    server.settle(&running, success("")).await;
    assert_eq!(waiting_for().await, serde_json::Value::Null, "it is done");
}

#[tokio::test]
async fn a_version_is_a_tag() {
    let server = Server::start().await;
    let path = format!("/v1/jobs/{}", server.submit("x").await);
    let first = server.get(&path).send().await;
    assert_eq!(first.header("etag"), Some("W/\"1\""));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    let same = server.get(&path).header("if-none-match", "W/\"1\"").send().await;
    insta::assert_snapshot!(same.shown());
    server.work(success("")).await;
    let moved = server.get(&path).header("if-none-match", "W/\"1\"").send().await;
    assert_eq!(
        (moved.status, moved.header("etag"), moved.header("retry-after")),
        (200, Some("W/\"3\""), None)
    );
}

#[tokio::test]
async fn an_id_that_names_no_job_is_unknown() {
    let server = Server::start().await;
    let fresh = server.store().mint().to_string();
    let shown = server.get(&format!("/v1/jobs/{fresh}")).send().await.shown();
    insta::assert_snapshot!(shown);
    for id in [
        "job_x",
        "x",
        "JOB_01jd8zq3k5e7rv2m4n6p8s0t1w",
        "job_zzzzzzzzzzzzzzzzzzzzzzzzzz",
        "%6Aob_x",
    ] {
        for (method, below) in [
            ("GET", ""),
            ("HEAD", ""),
            ("DELETE", ""),
            ("GET", "/result"),
            ("GET", "/input"),
            ("POST", "/cancel"),
            ("POST", "/retry"),
        ] {
            let answer = server.ask(method, &format!("/v1/jobs/{id}{below}")).send().await;
            assert_eq!(
                (answer.status, answer.outcome()),
                (404, None),
                "{method} {id}{below}"
            );
        }
    }
    assert_eq!(
        server
            .post(&format!("/v1/jobs/{fresh}/cancel"))
            .send()
            .await
            .code(),
        "unknown-job"
    );
    assert_eq!(
        server
            .post(&format!("/v1/jobs/{fresh}/retry"))
            .send()
            .await
            .code(),
        "unknown-job"
    );
    assert_eq!(
        server
            .ask("DELETE", &format!("/v1/jobs/{fresh}"))
            .send()
            .await
            .code(),
        "unknown-job"
    );
}

#[tokio::test]
async fn cancelling_a_waiting_job_ends_it_and_again_changes_nothing() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let cancel = async || server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    let first = cancel().await;
    insta::assert_snapshot!(first.shown());
    let second = cancel().await;
    assert_eq!((second.status, second.json()), (200, first.json()));
    assert!(server.claim("thumbs").await.is_none());
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(
        (result.status, result.outcome(), result.code().as_str()),
        (410, Some("cancelled"), "job-cancelled")
    );
}

#[tokio::test]
async fn cancelling_a_running_job_tells_its_worker() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let leased = server.claim("thumbs").await.unwrap();
    let cancel = async || server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    let told = cancel().await;
    assert_eq!((told.status, told.outcome()), (202, Some("pending")));
    assert_eq!(
        (&told.json()["state"], &told.json()["cancel_requested"]),
        (&"running".into(), &true.into())
    );
    assert_eq!(cancel().await.json()["version"], told.json()["version"]);
    server.settle(&leased, success("won")).await;
    let late = cancel().await;
    assert_eq!(
        (late.status, late.outcome()),
        (200, Some("succeeded")),
        "success under the lease wins"
    );
}

#[tokio::test]
async fn retrying_makes_a_new_job_once() {
    let server = Server::start().await;
    let submit = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-group", "g")
        .header("content-type", "a/b");
    let id = submit.body("input").send().await.job();
    let retry = async || server.post(&format!("/v1/jobs/{id}/retry")).send().await;
    let early = retry().await;
    assert_eq!(
        (early.code().as_str(), early.outcome()),
        ("job-not-done", Some("pending"))
    );
    server.work(failure("handler-failed", "", None)).await;
    let new = retry().await;
    assert_eq!((new.status, new.outcome()), (202, Some("pending")));
    let new_id = new.job();
    assert_ne!(new_id, id);
    assert_eq!(new.header("location"), Some(&*format!("/v1/jobs/{new_id}")));
    assert_eq!(
        (&new.json()["retry_of"], &new.json()["group"]),
        (&id.clone().into(), &"g".into())
    );
    assert_eq!(
        retry().await.job(),
        new_id,
        "while it is unfinished it is the same"
    );
    let old = server.get(&format!("/v1/jobs/{id}")).send().await;
    assert_eq!(
        (&old.json()["retried_as"], old.outcome()),
        (&new_id.clone().into(), Some("failed"))
    );
    let input = server.get(&format!("/v1/jobs/{new_id}/input")).send().await;
    assert_eq!(
        (input.text(), input.header("content-type")),
        ("input", Some("a/b"))
    );
    server.work(success("")).await;
    assert_ne!(retry().await.job(), new_id);
}

#[tokio::test]
async fn a_retry_needs_its_queue() {
    let server = Server::start().await;
    let id = server.finished(success("")).await;
    assert_eq!(server.ask("DELETE", "/v1/queues/thumbs").send().await.status, 204);
    let answer = server.post(&format!("/v1/jobs/{id}/retry")).send().await;
    assert_eq!(answer.code(), "unknown-queue");
    let kept = server.get(&format!("/v1/jobs/{id}")).send().await;
    assert_eq!((kept.status, &kept.json()["max_attempts"]), (200, &5.into()));
}

#[tokio::test]
async fn a_deleted_job_is_gone_for_a_day_and_then_unknown() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let id = server.submit("x").await;
    let path = format!("/v1/jobs/{id}");
    let early = server.ask("DELETE", &path).send().await;
    assert_eq!((early.code().as_str(), early.status), ("job-not-done", 409));
    server.work(success("r")).await;
    let deleted = server.ask("DELETE", &path).send().await;
    insta::assert_snapshot!(deleted.shown());
    for (method, below) in [
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/input"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ] {
        let answer = server.ask(method, &format!("{path}{below}")).send().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (410, "job-deleted"),
            "{method} {below}"
        );
    }
    clock.advance(Duration::from_secs(25 * 3600));
    while server.store().prune(100).await.unwrap().more {}
    assert_eq!(server.get(&path).send().await.code(), "unknown-job");
}

#[tokio::test]
async fn a_job_that_outlived_its_retention_says_so() {
    let clock = Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let id = server.finished(success("r")).await;
    clock.advance(Duration::from_secs(24 * 3600 + 1));
    while server.store().prune(100).await.unwrap().more {}
    let answer = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    insta::assert_snapshot!(answer.shown());
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    let id = server
        .finished(Settlement::succeed(result(201, "text/plain", &[], "made")))
        .await;
    for path in [
        format!("/v1/jobs/{id}"),
        format!("/v1/jobs/{id}/result"),
        format!("/v1/jobs/{id}/input"),
        "/v1/queues".to_owned(),
        "/v1/queues/thumbs".to_owned(),
        "/healthz".to_owned(),
        "/readyz".to_owned(),
        "/problems".to_owned(),
        "/problems/draining".to_owned(),
        "/openapi.json".to_owned(),
    ] {
        let mut get = server.get(&path).send().await;
        let mut head = server.ask("HEAD", &path).send().await;
        for answer in [&mut get, &mut head] {
            answer
                .headers
                .retain(|(name, _)| name != "date" && name != "x-request-id");
        }
        assert_eq!(
            (head.status, head.headers, head.body),
            (get.status, get.headers, Vec::new()),
            "{path}"
        );
    }
}
