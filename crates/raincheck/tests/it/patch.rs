//! Changing jobs that have not started.

use crate::client::Answer;
use crate::harness::{Server, failure, success};
use serde_json::json;

async fn patch(server: &Server, id: &str, json: &str, if_match: Option<&str>) -> Answer {
    let mut ask = server.ask("PATCH", &format!("/v1/jobs/{id}"));
    if let Some(tag) = if_match {
        ask = ask.header("if-match", tag);
    }
    ask.json(json).send().await
}

#[tokio::test]
async fn a_waiting_job_is_changed_and_its_version_moves() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let change = r#"{"priority":1,"tags":["eu","eu","us"],"run_at":"2199-01-01T00:00:00Z"}"#;
    let answer = patch(&server, &id, change, None).await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("W/\"2\"")));
    assert_eq!((&*answer.job(), answer.outcome()), (&*id, Some("pending")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let document = answer.json();
    assert_eq!(document["priority"], 1);
    assert_eq!(document["tags"], json!(["eu", "us"]));
    assert_eq!(document["run_at"], "2199-01-01T00:00:00.000Z");
    assert_eq!(
        (&document["state"], &document["version"]),
        (&json!("scheduled"), &json!(2))
    );
    let listed = server.get("/v1/jobs?tag=us&state=scheduled").send().await.json();
    assert_eq!(listed["jobs"][0]["id"], *id);
    assert!(server.claim("thumbs").await.is_none(), "it is not due any more");

    let answer = patch(&server, &id, r#"{"run_at":"@1","tags":[]}"#, None).await;
    let document = answer.json();
    assert_eq!(
        (&document["state"], &document["tags"]),
        (&json!("queued"), &json!([]))
    );
    assert_eq!(document["run_at"], document["created_at"], "a past start is now");
    assert_eq!(document["priority"], 1, "what is left out stays");
    assert!(
        server.get("/v1/jobs?tag=us").send().await.json()["jobs"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(server.claim("thumbs").await.unwrap().job.id.to_string(), id);
}

#[tokio::test]
async fn a_priority_that_is_changed_counts_at_once() {
    let server = Server::start().await;
    let _first = server.submit("x").await;
    let second = server.submit("x").await;
    assert_eq!(
        patch(&server, &second, r#"{"priority":0}"#, None).await.status,
        200
    );
    assert_eq!(server.claim("thumbs").await.unwrap().job.id.to_string(), second);
}

#[tokio::test]
async fn what_is_so_already_changes_nothing() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    for json in ["{}", r#"{"priority":5,"tags":[]}"#] {
        let answer = patch(&server, &id, json, None).await;
        assert_eq!(
            (answer.status, answer.header("etag")),
            (200, Some("W/\"1\"")),
            "{json}"
        );
    }
}

#[tokio::test]
async fn a_change_is_made_to_the_version_that_was_named_or_not_at_all() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let seen = server.get(&format!("/v1/jobs/{id}")).send().await;
    let seen = seen.header("etag").unwrap();
    let first = patch(&server, &id, r#"{"priority":1}"#, Some(seen)).await;
    assert_eq!((first.status, first.header("etag")), (200, Some("W/\"2\"")));
    let second = patch(&server, &id, r#"{"priority":2}"#, Some(seen)).await;
    assert_eq!((second.status, &*second.code()), (412, "job-changed"));
    assert_eq!((&*second.job(), second.outcome()), (&*id, Some("pending")));
    assert_eq!(second.header("etag"), Some("W/\"2\""), "the version that it has");
    for (tag, status) in [
        ("\"x\"", 412),
        ("W/\"1\", W/\"7\"", 412),
        ("W/\"1\", W/\"2\"", 200),
        ("*", 200),
        ("3", 400),
        ("", 400),
    ] {
        assert_eq!(patch(&server, &id, "{}", Some(tag)).await.status, status, "{tag}");
    }
    let now = server.get(&format!("/v1/jobs/{id}")).send().await.json();
    assert_eq!((&now["priority"], &now["version"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_job_that_has_started_is_not_changed() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let leased = server.claim("thumbs").await.unwrap();
    let running = patch(&server, &id, r#"{"priority":1}"#, None).await;
    assert_eq!((running.status, &*running.code()), (409, "job-started"));
    assert_eq!((&*running.job(), running.outcome()), (&*id, Some("pending")));
    server.settle(&leased, success("y")).await;
    let done = patch(&server, &id, r#"{"tags":["late"]}"#, None).await;
    assert_eq!(
        (done.status, &*done.code(), done.outcome()),
        (409, "job-started", Some("succeeded"))
    );
    let stale = patch(&server, &id, "{}", Some("W/\"1\"")).await;
    assert_eq!(stale.status, 412, "the condition is judged first");
    let failed = server.finished(failure("handler-failed", "no", None)).await;
    assert_eq!(
        patch(&server, &failed, "{}", None).await.outcome(),
        Some("failed")
    );
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_and_pointed_at() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    for (json, pointer) in [
        (r#"{"queue":"other"}"#, "/queue"),
        (r#"{"delay":"1s"}"#, "/delay"),
        (r#"{"colour":1}"#, "/colour"),
        (r#"{"priority":10}"#, "/priority"),
        (r#"{"priority":null}"#, "/priority"),
        (r#"{"run_at":"soon"}"#, "/run_at"),
        (r#"{"tags":["a,b"]}"#, "/tags"),
        (r#"{"tags":[],"tags":[]}"#, "/tags"),
    ] {
        let answer = patch(&server, &id, json, None).await;
        assert_eq!((answer.status, &*answer.code()), (400, "bad-request"), "{json}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    for json in ["", "[]", "{", "7"] {
        assert_eq!(patch(&server, &id, json, None).await.status, 400, "{json}");
    }
    let path = format!("/v1/jobs/{id}");
    let query = server
        .ask("PATCH", &format!("{path}?x=1"))
        .json("{}")
        .send()
        .await;
    assert_eq!(query.status, 400);
    let text = server
        .ask("PATCH", &path)
        .header("content-type", "text/plain")
        .body("{}");
    assert_eq!(text.send().await.status, 415);
    let coded = server
        .ask("PATCH", &path)
        .header("content-encoding", "gzip")
        .json("{}");
    assert_eq!(coded.send().await.status, 415);
    let large = format!("{{\"tags\":[\"{}\"]}}", "x".repeat(70_000));
    assert_eq!(patch(&server, &id, &large, None).await.status, 413);
    let merge = server
        .ask("PATCH", &path)
        .header("content-type", "application/merge-patch+json");
    assert_eq!(merge.body("{}").send().await.status, 200);
}

#[tokio::test]
async fn a_job_that_is_not_there_is_not_changed() {
    let server = Server::start().await;
    let unknown = patch(&server, "job_01jd8zq3k5e7rv2m4n6p8s0t1w", "{}", None).await;
    assert_eq!((unknown.status, unknown.outcome()), (404, None));
    let unknown = patch(&server, "job_01jd8zq3k5e7rv2m4n6p8s0t1w", "{}", Some("\"x\"")).await;
    assert_eq!(unknown.status, 404);
    let id = server.finished(success("y")).await;
    server.ask("DELETE", &format!("/v1/jobs/{id}")).send().await;
    let gone = patch(&server, &id, "{}", None).await;
    assert_eq!((gone.status, &*gone.code()), (410, "job-deleted"));
}
