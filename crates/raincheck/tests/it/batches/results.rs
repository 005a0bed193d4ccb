//! The results of a batch: in the order in which its jobs end, and on from anywhere.

use serde_json::{Value, json};

use super::{batch, lines, upload};
use crate::events::stream::Stream;
use crate::harness::{Server, failure, result, success};
use raincheck::core::decide::Settlement;

/// Opens the stream behind this place.
async fn open(server: &Server, id: &str, rest: &str) -> Stream {
    let stream = Stream::open(server.addr, &format!("/v1/batches/{id}/results{rest}")).await;
    assert_eq!(stream.status, 200, "{}", stream.head);
    assert!(
        stream.head.contains("content-type: application/x-ndjson"),
        "{}",
        stream.head
    );
    stream
}

async fn all(stream: &mut Stream) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(line) = stream.next_line().await {
        all.push(serde_json::from_str(&line).unwrap());
    }
    all
}

fn places(results: &[Value]) -> Vec<u64> {
    results.iter().map(|one| one["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn results_are_told_in_the_order_in_which_jobs_end() {
    let server = Server::start().await;
    let id = batch(&server, 5).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(server.claim("thumbs").await.unwrap());
    }
    let json_of_lines = result(201, "application/json", &[], "{\"a\":\n 1e3}\n");
    let settlements = [
        (2, Settlement::succeed(json_of_lines)),
        (0, success("plain")),
        (4, failure("timed-out", "too slow", None)),
        (1, Settlement::succeed(result(200, "image/png", &[], "\u{7f}"))),
        (
            3,
            Settlement::succeed(result(200, "text/plain", &[], &"x".repeat(70_000))),
        ),
    ];
    for (n, settlement) in settlements {
        server.settle(&held[n], settlement).await;
    }
    let told = all(&mut open(&server, &id, "").await).await;
    assert_eq!(places(&told), [1, 2, 3, 4, 5]);
    let first = json!({"seq": 1, "id": held[2].job.id, "index": 2, "outcome": "succeeded", "status": 201,
                       "content_type": "application/json", "json": {"a": 1e3}});
    assert_eq!(told[0], first);
    assert_eq!(
        (&told[1]["text"], &told[1]["index"]),
        (&json!("plain"), &json!(0))
    );
    assert_eq!(
        (&told[2]["outcome"], &told[2]["error"]["code"], &told[2]["status"]),
        (&json!("failed"), &json!("timed-out"), &Value::Null)
    );
    assert_eq!(told[3]["base64"], "fw==");
    assert_eq!(told[4]["url"], format!("/v1/jobs/{}/result", held[3].job.id));
}

#[tokio::test]
async fn a_stream_follows_its_batch_to_the_end() {
    let server = Server::start().await;
    let id = batch(&server, 3).await;
    let mut stream = open(&server, &id, "").await;
    for n in 1..=3 {
        server.work(success("x")).await;
        let line: Value = serde_json::from_str(&stream.next_line().await.unwrap()).unwrap();
        assert_eq!(line["seq"], n);
    }
    assert_eq!(stream.next_line().await, None);
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_after_a_disconnect_and_a_restart() {
    let server = Server::start().await;
    let id = batch(&server, 600).await;
    for _ in 0..350 {
        server.work(success("x")).await;
    }
    let mut stream = open(&server, &id, "").await;
    for n in 1..=120 {
        let line: Value = serde_json::from_str(&stream.next_line().await.unwrap()).unwrap();
        assert_eq!(line["seq"], n);
    }
    drop(stream);
    let told = all(&mut open(&server, &id, "?after=120&follow=false").await).await;
    assert_eq!(places(&told), (121..=350).collect::<Vec<_>>());
    let server = server.restarted().await;
    for _ in 0..250 {
        server.work(success("x")).await;
    }
    let told = all(&mut open(&server, &id, "?after=349").await).await;
    assert_eq!(places(&told), (350..=600).collect::<Vec<_>>());
    assert_eq!(
        all(&mut open(&server, &id, "?after=600").await).await,
        Vec::<Value>::new()
    );
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_and_a_drain_ends_it() {
    let api = raincheck::api::ApiOptions {
        ping: std::time::Duration::from_millis(20),
        ..raincheck::api::ApiOptions::default()
    };
    let setup = crate::harness::Setup {
        api,
        ..crate::harness::Setup::default()
    };
    let server = Server::with(setup).await;
    let answer = upload(&server, &lines(1), &[]).await.json();
    let mut stream = open(&server, answer["id"].as_str().unwrap(), "").await;
    assert_eq!(stream.next_line().await.as_deref(), Some(""), "a blank line");
    server.node.drain().await;
    while let Some(line) = stream.next_line().await {
        assert_eq!(line, "");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_is_refused() {
    let server = Server::start().await;
    let id = batch(&server, 1).await;
    for rest in [
        "?after=",
        "?after=-1",
        "?after=x",
        "?after=1&after=2",
        "?follow=no",
        "?limit=5",
    ] {
        let answer = server
            .get(&format!("/v1/batches/{id}/results{rest}"))
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad-request"),
            "{rest}"
        );
    }
}
