//! Keys that are for some queues only: what they name, and what is listed to them.

use serde_json::{Value, json};

use super::Locked;
use crate::events::stream::Stream;
use crate::harness::{ns, queue};
use raincheck::core::queue::QueueSpec;

/// A server with the queues `thumbs` and `mail` and a job in each, and a key for `thumbs*`.
async fn two_queues() -> (Locked, String) {
    let locked = Locked::start().await;
    let (ns, mail) = (ns(), queue("mail"));
    let put = locked
        .server
        .node
        .put_queue(&ns, &mail, QueueSpec::default(), false);
    put.await.unwrap().unwrap();
    for name in ["thumbs", "mail"] {
        let path = format!("/v1/queues/{name}/jobs");
        assert_eq!(locked.root("POST", &path).body("x").send().await.status, 202);
    }
    let scopes = ["submit", "read", "cancel", "work"];
    let key = locked.key(json!({"name": "k", "scopes": scopes, "queues": ["thumbs*"]}));
    let key = key.await;
    (locked, key)
}

#[tokio::test]
async fn what_is_listed_is_of_its_queues() {
    let (locked, key) = two_queues().await;
    for name in ["thumbs", "mail"] {
        let claim = locked.root("POST", &format!("/v1/queues/{name}/claim"));
        assert_eq!(claim.json(r#"{"worker":"w"}"#).send().await.status, 200);
    }
    for (path, list, field) in [
        ("/v1/jobs", "jobs", "queue"),
        ("/v1/queues", "queues", "name"),
        ("/v1/workers", "workers", "queue"),
    ] {
        let of = |answer: Value| -> Vec<String> {
            let rows = answer[list].as_array().unwrap().iter();
            rows.map(|row| row[field].as_str().unwrap().to_owned()).collect()
        };
        let all = of(locked.root("GET", path).send().await.json());
        assert!(all.contains(&"mail".to_owned()), "{path}: {all:?}");
        assert_eq!(
            of(locked.by(&key, "GET", path).send().await.json()),
            ["thumbs"],
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_queue_that_it_is_not_for_cannot_be_named() {
    let (locked, key) = two_queues().await;
    for (method, path, body) in [
        ("GET", "/v1/jobs?queue=mail", None),
        ("GET", "/v1/events?queue=mail", None),
        ("POST", "/v1/jobs", Some(r#"{"queue":"mail","input":1}"#)),
        ("POST", "/v1/queues/mail/jobs", Some("{}")),
        ("POST", "/v1/queues/mail/claim", Some(r#"{"worker":"w"}"#)),
        ("GET", "/v1/queues/mail", None),
        ("GET", "/v1/queues/nothing", None),
    ] {
        let ask = locked.by(&key, method, path);
        let answer = match body {
            Some(body) => ask.json(body).send().await,
            None => ask.send().await,
        };
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "forbidden"),
            "{path}"
        );
    }
    let list = r#"[{"queue":"thumbs","input":1},{"queue":"mail","input":1}]"#;
    let answer = locked.by(&key, "POST", "/v1/jobs").json(list).send().await.json();
    assert_eq!(
        (&answer[0]["queue"], &answer[1]["code"]),
        (&json!("thumbs"), &json!("forbidden"))
    );
}

#[tokio::test]
async fn urls_are_fetched_by_a_key_for_that_queue() {
    let (locked, key) = two_queues().await;
    for (key, status) in [(&key, 403), (&locked.root, 202)] {
        let ask = locked.by(key, "POST", "/v1/fetch");
        let answer = ask.json(r#"{"urls":["http://127.0.0.1:1/"]}"#).send().await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_batch_takes_and_tells_the_lines_of_its_queues() {
    let (locked, key) = two_queues().await;
    let lines = "{\"queue\":\"thumbs\",\"input\":1}\n{\"queue\":\"mail\",\"input\":2}\n";
    let send = |key: &str| {
        let ask = locked.by(key, "POST", "/v1/batches");
        ask.header("content-type", "application/x-ndjson")
            .body(lines)
            .send()
    };
    let batch = send(&key).await.json();
    assert_eq!(
        (&batch["total"], &batch["rejected"]),
        (&json!(2), &json!(1)),
        "{batch}"
    );
    let id = send(&locked.root).await.json()["id"].as_str().unwrap().to_owned();
    let cancel = format!("/v1/batches/{id}/cancel");
    assert_eq!(locked.by(&key, "POST", &cancel).send().await.code(), "forbidden");
    assert_eq!(locked.root("POST", &cancel).send().await.status, 200);
    let results = format!("/v1/batches/{id}/results?follow=false");
    let told = async |key: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let mut stream = Stream::with(locked.server.addr, &results, &headers).await;
        let mut lines = 0;
        while stream.next_line().await.is_some() {
            lines += 1;
        }
        lines
    };
    assert_eq!((told(&locked.root).await, told(&key).await), (2, 1));
}
