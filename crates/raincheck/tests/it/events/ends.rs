//! How streams end, and what keeps them open or out.

use std::time::Duration;

use super::{Stream, Worked, told};
use crate::harness::{Server, Setup, success};
use raincheck::api::ApiOptions;

#[tokio::test]
async fn a_drain_tells_readers_when_to_come_back() {
    let server = Server::start().await;
    let mut job = Worked::start(&server).await;
    let mut reader = Stream::open(server.addr, &job.path()).await;
    let mut lines = Stream::with(server.addr, "/v1/events", &[("accept", "application/x-ndjson")]).await;
    job.output(&server, "a").await;
    assert_eq!(told(&reader.take(2).await), ["running", "output 1.0 a"]);
    server.node.drain().await;
    for stream in [&mut reader, &mut lines] {
        let end = stream.rest().await;
        assert_eq!(told(&end), ["retry"]);
        let millis = end[0].data["millis"].as_u64().unwrap();
        assert!((1_000..5_000).contains(&millis), "{millis}");
    }
}

#[tokio::test]
async fn a_silent_line_is_kept_open() {
    let api = ApiOptions {
        ping: Duration::from_millis(20),
        ..ApiOptions::default()
    };
    let server = Server::with(Setup {
        api,
        ..Setup::default()
    })
    .await;
    let mut job = Worked::start(&server).await;
    let mut reader = Stream::open(server.addr, &job.path()).await;
    let mut lines = Stream::with(server.addr, &job.path(), &[("accept", "application/x-ndjson")]).await;
    let mut all = Stream::open(server.addr, "/v1/events").await;
    for stream in [&mut reader, &mut lines] {
        assert_eq!(told(&stream.take(3).await), ["running", "ping", "ping"]);
    }
    assert_eq!(told(&all.take(2).await), ["ping", "ping"]);
    job.output(&server, "a").await;
    loop {
        let event = reader.next().await.unwrap();
        if event.name != "ping" {
            assert_eq!(event.told(), "output 1.0 a");
            break;
        }
    }
}

#[tokio::test]
async fn a_job_that_is_not_there_has_no_events() {
    let server = Server::start().await;
    let unknown = "/v1/jobs/job_01jd8zq3k5e7rv2m4n6p8s0t1w/events";
    assert_eq!(server.get(unknown).send().await.code(), "unknown-job");
    assert_eq!(server.get("/v1/jobs/x/events").send().await.code(), "unknown-job");
    let id = server.finished(success("r")).await;
    server.ask("DELETE", &format!("/v1/jobs/{id}")).send().await;
    let answer = server.get(&format!("/v1/jobs/{id}/events")).send().await;
    assert_eq!((answer.status, answer.code()), (410, "job-deleted".to_owned()));
    let answer = server.post(&format!("/v1/jobs/{id}/events")).send().await;
    assert_eq!(answer.code(), "method-not-allowed");
}

#[tokio::test]
async fn a_head_tells_how_a_stream_would_begin() {
    let server = Server::start().await;
    let job = Worked::start(&server).await;
    let answer = server.ask("HEAD", &job.path()).send().await;
    assert_eq!((answer.status, answer.outcome()), (200, Some("pending")));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let answer = server.ask("HEAD", "/v1/events").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(server.node.followers(), 0);
}

#[tokio::test]
async fn so_many_streams_and_no_more_are_open() {
    let api = ApiOptions {
        streams_max: 1,
        ..ApiOptions::default()
    };
    let server = Server::with(Setup {
        api,
        ..Setup::default()
    })
    .await;
    let job = Worked::start(&server).await;
    let mut reader = Stream::open(server.addr, &job.path()).await;
    reader.take(1).await;
    for path in [job.path(), "/v1/events".to_owned()] {
        let answer = server.get(&path).send().await;
        assert_eq!(
            (answer.status, answer.code()),
            (429, "too-many-streams".to_owned())
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // Who goes away makes room.
    drop(reader);
    while server.node.followers() != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Stream::open(server.addr, &job.path()).await.status, 200);
}
