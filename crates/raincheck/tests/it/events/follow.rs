//! What a reader gets while a job goes on, and afterwards.

use serde_json::json;

use super::{Stream, Worked, at_once, told};
use crate::harness::Server;

#[tokio::test]
async fn a_reader_sees_a_job_from_its_acceptance_to_its_end() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let mut reader = Stream::open(server.addr, &format!("/v1/jobs/{id}/events")).await;
    assert_eq!(reader.status, 200);
    for header in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-store\r\n",
        "raincheck-outcome: pending\r\n",
        &format!("raincheck-job: {id}\r\n"),
    ] {
        assert!(reader.head.contains(header), "{header:?} in {}", reader.head);
    }
    assert_eq!(told(&reader.take(1).await), ["queued"]);
    let mut job = Worked {
        id,
        lease: String::new(),
        seq: 0,
    };
    job.claim(&server).await;
    assert_eq!(told(&reader.take(1).await), ["running"]);
    job.output(&server, "it is ").await;
    job.emit(&server, json!({"log": "thinking"})).await;
    let progress = json!({"progress": {"fraction": 0.5, "message": "half"}});
    job.act(&server, "renew", progress).await;
    job.output(&server, "raining\n").await;
    job.emit(&server, json!({"output_base64": "/wA="})).await;
    let events = reader.take(5).await;
    assert_eq!(
        told(&events),
        [
            "output 1.0 it is ",
            "log 1.1 thinking",
            "progress half",
            "output 1.2 raining\n",
            "output 1.3 /wA="
        ]
    );
    let ids: Vec<_> = events.iter().map(|event| event.id.as_deref()).collect();
    assert_eq!(ids, [Some("2.1"), Some("2.2"), None, Some("2.3"), Some("2.4")]);
    assert!(events[1].data["at"].is_string() && events[0].data["at"].is_null());
    assert_eq!(events[2].data, json!({"fraction": 0.5, "message": "half"}));
    job.succeed(&server, "result").await;
    let end = reader.rest().await;
    assert_eq!(told(&end), ["succeeded", "done succeeded"]);
    assert_eq!(end[0].data["urls"]["events"], job.path());
}

#[tokio::test]
async fn who_comes_late_gets_everything() {
    let server = Server::start().await;
    at_once(&server).await;
    let mut job = Worked::start(&server).await;
    job.output(&server, "a").await;
    job.fail(&server).await;
    job.claim(&server).await;
    job.emit(&server, json!({"log": "again"})).await;
    job.output(&server, "b").await;
    let expected = ["output 1.0 a", "reset 2", "log 2.0 again", "output 2.1 b"];
    let mut early = Stream::open(server.addr, &job.path()).await;
    let early_events = told(&early.take(5).await);
    assert_eq!(early_events[0], "running");
    assert_eq!(early_events[1..], expected);
    job.succeed(&server, "ab").await;
    assert_eq!(told(&early.rest().await), ["succeeded", "done succeeded"]);
    let mut late = Stream::open(server.addr, &job.path()).await;
    assert!(late.head.contains("raincheck-outcome: succeeded\r\n"));
    let events = told(&late.rest().await);
    assert_eq!(events[0], "succeeded");
    assert_eq!(events[1..5], expected);
    assert_eq!(events[5..], ["done succeeded"]);
}

#[tokio::test]
async fn a_new_attempt_is_told_even_before_it_puts_anything_out() {
    let server = Server::start().await;
    at_once(&server).await;
    let mut job = Worked::start(&server).await;
    let mut reader = Stream::open(server.addr, &job.path()).await;
    job.output(&server, "a").await;
    assert_eq!(told(&reader.take(2).await), ["running", "output 1.0 a"]);
    job.fail(&server).await;
    assert_eq!(told(&reader.take(1).await), ["queued"]);
    job.claim(&server).await;
    assert_eq!(told(&reader.take(2).await), ["running", "reset 2"]);
    job.act(&server, "release", json!({})).await;
    job.claim(&server).await;
    // The attempt was not charged, so the next one has its number; it is another one all the same.
    assert_eq!(told(&reader.take(3).await), ["queued", "running", "reset 2"]);
    job.act(&server, "fail", json!({"retry": false})).await;
    assert_eq!(told(&reader.rest().await), ["failed", "done failed"]);
    // Who comes afterwards learns that what was put out is void.
    let mut late = Stream::open(server.addr, &job.path()).await;
    assert_eq!(
        told(&late.rest().await),
        ["failed", "output 1.0 a", "reset 2", "done failed"]
    );
}

#[tokio::test]
async fn who_wants_only_what_is_there_gets_that() {
    let server = Server::start().await;
    let mut job = Worked::start(&server).await;
    job.output(&server, "a").await;
    let path = format!("{}?follow=false", job.path());
    let mut reader = Stream::open(server.addr, &path).await;
    assert_eq!(told(&reader.rest().await), ["running", "output 1.0 a"]);
    job.output(&server, "b").await;
    let mut reader = Stream::open(server.addr, &format!("{path}&after=2.1")).await;
    assert_eq!(told(&reader.rest().await), ["running", "output 1.1 b"]);
    job.succeed(&server, "x").await;
    let mut reader = Stream::open(server.addr, &format!("{path}&after=2.2")).await;
    assert_eq!(told(&reader.rest().await), ["succeeded", "done succeeded"]);
    let answer = server.get(&format!("{}?follow=no", job.path())).send().await;
    assert_eq!(answer.code(), "bad-request");
}

#[tokio::test]
async fn ndjson_says_the_same_as_server_sent_events() {
    let server = Server::start().await;
    let mut job = Worked::start(&server).await;
    job.output(&server, "a\nb").await;
    job.succeed(&server, "x").await;
    let mut events = Stream::open(server.addr, &job.path()).await;
    let accept = [("accept", "application/x-ndjson")];
    let mut lines = Stream::with(server.addr, &job.path(), &accept).await;
    assert!(
        lines.head.contains("content-type: application/x-ndjson\r\n"),
        "{}",
        lines.head
    );
    assert_eq!(lines.rest().await, events.rest().await);
}

#[tokio::test]
async fn many_readers_get_the_same_and_each_all_of_it() {
    let server = Server::start().await;
    let mut job = Worked::start(&server).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(Stream::open(server.addr, &job.path()).await);
    }
    for reader in &mut readers {
        assert_eq!(told(&reader.take(1).await), ["running"]);
    }
    for n in 0..50 {
        job.output(&server, &format!("word {n} ")).await;
    }
    job.succeed(&server, "x").await;
    let first = readers[0].rest().await;
    assert_eq!(first.len(), 52);
    for reader in &mut readers[1..] {
        assert_eq!(reader.rest().await, first);
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_for_a_while_misses_nothing() {
    let server = Server::start().await;
    let mut job = Worked::start(&server).await;
    let mut reader = Stream::open(server.addr, &job.path()).await;
    // More than all buffers between hold, and more than the feed keeps.
    let piece = "x".repeat(100_000);
    for _ in 0..100 {
        job.output(&server, &piece).await;
    }
    job.succeed(&server, "x").await;
    let events = reader.rest().await;
    let output: Vec<_> = events.iter().filter(|event| event.name == "output").collect();
    assert_eq!(output.len(), 100);
    for (n, event) in (0..).zip(output) {
        assert_eq!(
            (&event.data["seq"], event.data["text"].as_str()),
            (&json!(n), Some(&*piece))
        );
    }
    assert_eq!(told(&events[events.len() - 2..]), ["succeeded", "done succeeded"]);
}
