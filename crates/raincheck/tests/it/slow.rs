//! Clients that are slow, silent or gone: each is given up in its time, and harms nobody else.

use std::time::Duration;

use crate::client::Line;
use crate::harness::{Server, Setup, success};
use raincheck::api::ApiOptions;
use raincheck::server::{BodyPace, ServerOptions};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(600);

/// A server on which only the time under test is short.
async fn with(server: ServerOptions, body_pace: BodyPace) -> Server {
    let api = ApiOptions {
        body_pace,
        ..ApiOptions::default()
    };
    Server::with(Setup {
        server,
        api,
        ..Setup::default()
    })
    .await
}

fn patient() -> ServerOptions {
    ServerOptions {
        head_time: LONG,
        idle_time: LONG,
        write_time: LONG,
        ..ServerOptions::default()
    }
}

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let options = ServerOptions {
        head_time: SHORT,
        ..patient()
    };
    let server = with(options, BodyPace::default()).await;
    assert!(Line::open(server.addr).await.closed().await);
}

#[tokio::test]
async fn half_a_head_is_a_408() {
    let options = ServerOptions {
        head_time: SHORT,
        ..patient()
    };
    let server = with(options, BodyPace::default()).await;
    for part in ["G", "GET /healthz HTTP/1.1\r\nHost: loc"] {
        let mut line = Line::open(server.addr).await;
        line.send(part.as_bytes()).await;
        let answer = line.answer().await.unwrap();
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (408, &"request-timeout".into()),
            "{part}"
        );
        assert!(line.closed().await);
    }
}

#[tokio::test]
async fn a_head_that_trickles_gets_no_more_time() {
    let options = ServerOptions {
        head_time: Duration::from_millis(300),
        ..patient()
    };
    let server = with(options, BodyPace::default()).await;
    let mut line = Line::open(server.addr).await;
    let started = tokio::time::Instant::now();
    let mut trickle = tokio::time::interval(Duration::from_millis(20));
    line.send(b"GET / HTTP/1.1\r\nX: ").await;
    loop {
        tokio::select! {
            answer = line.answer() => {
                assert_eq!(answer.unwrap().status, 408);
                break;
            }
            _ = trickle.tick() => {}
        }
        line.send(b"x").await;
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_idle_connection_is_closed_later_than_a_slow_head() {
    let options = ServerOptions {
        head_time: SHORT,
        idle_time: LONG,
        ..patient()
    };
    let server = with(options, BodyPace::default()).await;
    let mut line = Line::open(server.addr).await;
    line.send(GET.as_bytes()).await;
    assert_eq!(line.answer().await.unwrap().status, 200);
    // Longer than a head may take: the connection is idle, not slow.
    assert!(tokio::time::timeout(3 * SHORT, line.closed()).await.is_err());
    line.send(GET.as_bytes()).await;
    assert_eq!(line.answer().await.unwrap().status, 200);
    line.send(b"G").await;
    assert_eq!(line.answer().await.unwrap().status, 408);

    let options = ServerOptions {
        idle_time: SHORT,
        ..patient()
    };
    let server = with(options, BodyPace::default()).await;
    let mut line = Line::open(server.addr).await;
    line.send(GET.as_bytes()).await;
    assert_eq!(line.answer().await.unwrap().status, 200);
    assert!(line.closed().await);
}

#[tokio::test]
async fn a_stalled_body_is_a_408_and_stores_nothing() {
    let pace = BodyPace {
        grace: SHORT,
        bytes_per_second: 1 << 20,
    };
    let server = with(patient(), pace).await;
    let mut line = Line::open(server.addr).await;
    line.send(b"POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nab")
        .await;
    let answer = line.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.outcome()),
        (408, "request-timeout", None)
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(
        server.get("/v1/queues/thumbs").send().await.json()["counts"]["queued"],
        0
    );
}

#[tokio::test]
async fn a_body_that_keeps_its_pace_is_taken() {
    let pace = BodyPace {
        grace: Duration::from_secs(5),
        bytes_per_second: 1,
    };
    let server = with(patient(), pace).await;
    let mut line = Line::open(server.addr).await;
    line.send(b"POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
        .await;
    for byte in b"0123456789" {
        tokio::task::yield_now().await;
        line.send(&[*byte]).await;
    }
    assert_eq!(line.answer().await.unwrap().status, 202);
    assert_eq!(server.claim("thumbs").await.unwrap().input.body, "0123456789");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let options = ServerOptions {
        write_time: SHORT,
        ..patient()
    };
    let server = with(options, BodyPace::default()).await;
    let id = server.finished(success(&"x".repeat(15 << 20))).await;
    let mut line = Line::open(server.addr).await;
    line.send(format!("GET /v1/jobs/{id}/result HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await;
    line.starts().await;
    // Nothing is taken for longer than the server waits; it serves others meanwhile.
    let mut second = Line::open(server.addr).await;
    second.send(GET.as_bytes()).await;
    assert_eq!(second.answer().await.unwrap().status, 200);
    tokio::time::sleep(5 * SHORT).await;
    assert!(line.breaks_off().await, "the answer is cut");
}

#[tokio::test]
async fn many_slow_clients_leave_room_for_others() {
    let server = with(patient(), BodyPace::default()).await;
    let mut slow = Vec::new();
    for n in 0..300 {
        let mut line = Line::open(server.addr).await;
        let part = [
            "",
            "G",
            "GET / HTTP/1.1\r\n",
            "POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
        ];
        line.send(part[n % 4].as_bytes()).await;
        slow.push(line);
    }
    assert_eq!(server.get("/healthz").send().await.status, 200);
    server.submit("x").await;
}

#[tokio::test]
async fn connections_are_capped() {
    let options = ServerOptions {
        connections_max: Some(2),
        ..patient()
    };
    let server = with(options, BodyPace::default()).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut line = Line::open(server.addr).await;
        line.send(GET.as_bytes()).await;
        assert_eq!(line.answer().await.unwrap().status, 200);
        held.push(line);
    }
    let mut third = Line::open(server.addr).await;
    let answer = third.answer().await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &"too-many-connections".into())
    );
    assert!(third.closed().await);
    held.pop();
    loop {
        // The place is free once the server has seen the connection close.
        let mut line = Line::open(server.addr).await;
        line.send(GET.as_bytes()).await;
        if line.answer().await.is_some_and(|answer| answer.status == 200) {
            break;
        }
    }
}
