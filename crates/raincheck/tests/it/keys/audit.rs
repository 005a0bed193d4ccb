//! What administrators did is recorded, and read by those who administer.

use serde_json::{Value, json};

use super::{Locked, id_of};
use crate::harness::{Server, failure, success};

/// The log of a namespace, newest first: of each act what, on what, and how it ended.
async fn log(locked: &Locked, query: &str) -> Vec<Value> {
    let answer = locked.root("GET", &format!("/v1/audit{query}")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["acts"].as_array().unwrap().clone()
}

fn told(log: &[Value]) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("done").to_owned();
    let row = |act: &Value| (text(&act["action"]), text(&act["target"]), text(&act["code"]));
    log.iter().map(row).collect()
}

#[tokio::test]
async fn an_act_is_recorded_with_who_what_where_and_its_request() {
    let locked = Locked::start().await;
    let ask = locked.root("POST", "/v1/queues/thumbs/pause");
    let paused = ask.header("x-request-id", "monday-1").send().await;
    assert_eq!(paused.status, 200);
    let log = log(&locked, "").await;
    let mut act = log[0].clone();
    let at = act.as_object_mut().unwrap().remove("at").unwrap();
    assert!(at.as_str().unwrap().ends_with('Z'), "{at}");
    let expected = json!({
        "key": id_of(&locked.root), "address": "127.0.0.1", "namespace": "default", "action": "pauseQueue",
        "target": "/v1/queues/thumbs/pause", "outcome": "done", "code": null, "request_id": "monday-1",
    });
    assert_eq!(act, expected);
}

#[tokio::test]
async fn every_operation_that_administers_is_recorded_once() {
    let locked = Locked::start().await;
    let server = &locked.server;
    let by = |method: &str, path: &str, body: Value| locked.root(method, path).json(&body.to_string()).send();
    let submit = json!({"queue": "thumbs", "input": 1, "callback": {"url": "https://receiver.example/"}});
    let told_of = by("POST", "/v1/jobs", submit).await.job();
    server.work(success("r")).await;
    by("POST", "/v1/jobs", json!({"queue": "thumbs", "input": 2})).await;
    server.work(failure("x", "y", None)).await;
    let key = by("POST", "/v1/keys", json!({"name": "k", "scopes": ["read"]})).await;
    let id = key.json()["id"].as_str().unwrap().to_owned();
    let delivery = format!(
        "/v1/deliveries/msg_{}j/redeliver",
        told_of.trim_start_matches("job_")
    );
    for (method, path) in [
        ("DELETE", format!("/v1/keys/{id}")),
        ("POST", "/v1/webhook-secret/rotate".to_owned()),
        ("GET", "/v1/webhook-secret".to_owned()),
        ("POST", delivery.clone()),
        ("POST", "/v1/queues/thumbs/pause".to_owned()),
        ("POST", "/v1/queues/thumbs/resume".to_owned()),
        ("POST", "/v1/queues/thumbs/purge".to_owned()),
        ("DELETE", "/v1/queues/thumbs/groups/g".to_owned()),
    ] {
        let answer = locked.root(method, &path).send().await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    }
    by("PUT", "/v1/queues/thumbs/groups/g", json!({"concurrency": 1})).await;
    let filter = json!({"action": "delete", "filter": {"queue": "thumbs", "state": "failed"}});
    let preview = by("POST", "/v1/jobs/bulk", filter.clone()).await.json();
    let confirmed = json!({"confirm": preview["confirm"], "action": "delete", "filter": filter["filter"]});
    let done = by("POST", "/v1/jobs/bulk", confirmed).await;
    assert_eq!(done.json()["acted"], 1, "{done:?}");
    by("PUT", "/v1/queues/other", json!({})).await;
    by("DELETE", "/v1/queues/other", json!({})).await;
    let log = log(&locked, "").await;
    let actions: Vec<_> = log
        .iter()
        .rev()
        .map(|act| act["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "createKey",
            "revokeKey",
            "rotateWebhookSecret",
            "getWebhookSecret",
            "redeliver",
            "pauseQueue",
            "resumeQueue",
            "purgeQueue",
            "deleteGroup",
            "putGroup",
            "bulk",
            "bulk",
            "putQueue",
            "deleteQueue",
        ],
    );
    assert!(log.iter().all(|act| act["outcome"] == "done"), "{log:?}");
    assert_eq!(log.last().unwrap()["target"], format!("/v1/keys/{id}"));
}

#[tokio::test]
async fn what_a_key_was_refused_is_recorded_and_what_strangers_were_is_not() {
    let locked = Locked::start().await;
    let reader = locked.with_scopes(&["read"]).await;
    assert_eq!(
        locked
            .by(&reader, "DELETE", "/v1/queues/thumbs")
            .send()
            .await
            .status,
        403
    );
    assert_eq!(
        locked.root("DELETE", "/v1/queues/nothing").send().await.status,
        404
    );
    assert_eq!(
        locked
            .server
            .ask("DELETE", "/v1/queues/thumbs")
            .send()
            .await
            .status,
        401
    );
    assert_eq!(
        locked
            .by("rck_wrong", "DELETE", "/v1/queues/thumbs")
            .send()
            .await
            .status,
        401
    );
    assert_eq!(locked.by(&reader, "GET", "/v1/keys").send().await.status, 403);
    let log = log(&locked, "").await;
    let row = |on: &str, code: &str| {
        (
            "deleteQueue".to_owned(),
            format!("/v1/queues/{on}"),
            code.to_owned(),
        )
    };
    assert_eq!(
        told(&log[..2]),
        [row("nothing", "unknown-queue"), row("thumbs", "forbidden")]
    );
    assert_eq!(log[1]["key"], id_of(&reader));
    assert_eq!(
        log[2]["action"], "createKey",
        "and nothing before but the reader's key"
    );
}

#[tokio::test]
async fn no_flood_of_refusals_fills_the_log() {
    let locked = Locked::start().await;
    let reader = locked.with_scopes(&["read"]).await;
    for _ in 0..100 {
        assert_eq!(
            locked
                .by(&reader, "DELETE", "/v1/queues/thumbs")
                .send()
                .await
                .status,
            403
        );
    }
    let rows = log(&locked, &format!("?limit=200&key={}", id_of(&reader)))
        .await
        .len();
    assert!((60..70).contains(&rows), "a minute's share is kept: {rows}");
}

#[tokio::test]
async fn a_server_without_keys_records_who_was_on_its_machine() {
    let server = Server::start().await;
    server.post("/v1/queues/thumbs/pause").send().await;
    let log = server.get("/v1/audit?key=local").send().await.json();
    assert_eq!(log["acts"][0]["action"], "pauseQueue");
    assert_eq!(
        (&log["acts"][0]["key"], &log["cursor"]),
        (&json!("local"), &Value::Null)
    );
}

#[tokio::test]
async fn acts_are_listed_by_namespace_page_by_page_and_survive() {
    let locked = Locked::start().await;
    let stranger = locked.stranger().await;
    for _ in 0..3 {
        locked
            .by(&stranger, "POST", "/v1/queues/thumbs/pause")
            .send()
            .await;
    }
    let there = locked.root("POST", "/v1/queues/thumbs/resume");
    there.header("raincheck-namespace", "stranger").send().await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = locked
            .by(&stranger, "GET", &format!("/v1/audit?limit=2{cursor}"))
            .send()
            .await
            .json();
        let acts = page["acts"].as_array().unwrap();
        seen.extend(acts.iter().map(|act| act["action"].as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["resumeQueue", "pauseQueue", "pauseQueue", "pauseQueue"]);
    let own = log(&locked, "").await;
    assert_eq!(
        told(&own).len(),
        1,
        "what was done elsewhere is read there: {own:?}"
    );
    let root = locked.root.clone();
    let server = locked.server.restarted().await;
    let again = Locked { server, root };
    assert_eq!(log(&again, "").await, own);
}

#[tokio::test]
async fn an_act_that_came_to_nothing_is_recorded_with_the_code_that_says_why() {
    let locked = Locked::start().await;
    let bad = locked
        .root("PUT", "/v1/queues/thumbs")
        .json(r#"{"timeout":"soon"}"#)
        .send()
        .await;
    assert_eq!(bad.status, 400, "{bad:?}");
    let put = "putQueue".to_owned();
    let row = (put, "/v1/queues/thumbs".to_owned(), "bad-request".to_owned());
    assert_eq!(told(&log(&locked, "").await)[0], row);
}
