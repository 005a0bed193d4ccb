//! Slow clients in the places that only this server has: uploads of lines, workers' results, streams, waits.

use std::time::Duration;

use raincheck::api::ApiOptions;
use raincheck::server::{BodyPace, ServerOptions};
use serde_json::json;

use super::{Bed, NEXT};
use crate::client::Line;
use crate::harness::{Server, Setup};

const SHORT: Duration = Duration::from_millis(100);

/// A server that waits a short time for bodies and for readers.
async fn impatient() -> Bed {
    let api = ApiOptions {
        body_pace: BodyPace {
            grace: SHORT,
            bytes_per_second: 1 << 20,
        },
        ping: Duration::from_millis(10),
        ..ApiOptions::default()
    };
    let server = ServerOptions {
        write_time: SHORT,
        ..ServerOptions::default()
    };
    let setup = Setup {
        api,
        server,
        ..Setup::default()
    };
    Bed::of(Server::with(setup).await)
}

/// Each path that reads a body, with the bytes that it gets before the client falls silent: refused, closed, nothing
/// stored.
#[tokio::test]
async fn a_body_that_stalls_is_given_up_wherever_bodies_are_read() {
    let mut bed = impatient().await;
    let job = bed.server.submit("x").await;
    bed.taken.insert(job);
    let lease = bed
        .server
        .claim("thumbs")
        .await
        .unwrap()
        .job
        .lease_id()
        .unwrap()
        .to_string();
    for (path, kind, part) in [
        ("/v1/queues/thumbs/jobs", "text/plain", "hel"),
        ("/v1/queues/thumbs/jobs", "text/plain", ""),
        ("/v1/jobs", "application/json", "{\"queue\":\"thumbs\""),
        (
            "/v1/jobs",
            "application/x-ndjson",
            "{\"queue\":\"thumbs\"}\n{\"qu",
        ),
        ("/v1/queues/thumbs/claim", "application/json", "{"),
        ("/v1/leases/LEASE/succeed", "text/plain", "half a resu"),
        ("/v1/leases/LEASE/fail", "application/json", "{\"error\":"),
        ("/v1/leases/LEASE/emit", "application/json", "{\"seq\":0,"),
        ("/v1/leases", "application/json", "[{"),
        ("/v1/jobs/bulk", "application/json", "{"),
    ] {
        for framing in [
            "Content-Length: 1000\r\n\r\n".to_owned(),
            format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", 1000),
        ] {
            let path = path.replace("LEASE", &lease);
            let what = format!("{path} {framing:?}");
            let mut line = Line::open(bed.server.addr).await;
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{framing}{part}");
            line.send(head.as_bytes()).await;
            let answer = line.answer().await.unwrap_or_else(|| panic!("no answer: {what}"));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (408, "request-timeout"),
                "{what}"
            );
            line.send(NEXT.as_bytes()).await;
            assert!(line.answer().await.is_none(), "{what}: the connection ends");
            bed.sound(&what).await;
        }
    }
    let lives = format!("/v1/leases/{lease}/succeed");
    assert_eq!(
        bed.ask("POST", &lives, "", b"whole").await.status,
        200,
        "the lease lives"
    );
}

/// The lines that came whole are kept, since each commits by itself; the one that stalled is not.
#[tokio::test]
async fn an_upload_that_stalls_keeps_its_whole_lines() {
    let mut bed = impatient().await;
    let mut line = Line::open(bed.server.addr).await;
    line.send(
        b"POST /v1/batches?queue=thumbs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
          Content-Length: 1000\r\n\r\n{\"input\":1}\n{\"input\":2}\n{\"inp",
    )
    .await;
    let answer = line.answer().await.unwrap();
    assert_eq!(answer.code(), "request-timeout");
    assert!(line.closed().await);
    let inputs = [
        bed.server.claim("thumbs").await.unwrap(),
        bed.server.claim("thumbs").await.unwrap(),
    ];
    assert!(bed.server.claim("thumbs").await.is_none());
    bed.taken
        .extend(inputs.iter().map(|leased| leased.job.id.to_string()));
    bed.sound("an upload that stalled").await;
}

/// Whoever follows a job and reads nothing is let go of, and others go on.
#[tokio::test]
async fn a_reader_of_a_stream_who_takes_nothing_is_given_up() {
    let mut bed = impatient().await;
    let submitted = bed.ask("POST", "/v1/queues/thumbs/jobs", "", b"x").await;
    let id = submitted.job();
    let mut line = Line::open(bed.server.addr).await;
    line.send(format!("GET /v1/jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await;
    line.starts().await;
    let claimed = bed
        .ask(
            "POST",
            "/v1/queues/thumbs/claim",
            "",
            json!({"worker": "w", "max": 1}).to_string().as_bytes(),
        )
        .await
        .json();
    let lease = claimed["leases"][0]["lease"].as_str().unwrap().to_owned();
    // More than the sockets between us hold.
    let output = "x".repeat(60 << 10);
    for seq in 0..200 {
        let emit = json!({"seq": seq, "output": output}).to_string();
        let path = format!("/v1/leases/{lease}/emit");
        let emitted = bed.server.post(&path).json(&emit).send().await;
        assert!([200, 413, 429].contains(&emitted.status), "{emitted:?}");
    }
    loop {
        let metrics = bed.server.get("/metrics").send().await;
        let mut lines = metrics.text().lines();
        let open = lines.find_map(|line| line.strip_prefix("raincheck_http_waiters{kind=\"stream\"} "));
        if open.expect("it is counted") == "0" {
            break;
        }
        tokio::task::yield_now().await;
    }
    bed.sound("a reader that takes nothing").await;
}
