//! Stopping: what is being answered is finished, what is idle is closed, and the stop has an end.

use std::time::Duration;

use crate::client::Line;
use crate::harness::{Server, Setup, success};
use raincheck::server::ServerOptions;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_stop_finishes_what_is_being_answered() {
    let mut server = Server::start().await;
    let id = server.submit("x").await;
    let mut idle = Line::open(server.addr).await;
    idle.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut waiting = Line::open(server.addr).await;
    waiting
        .send(format!("GET /v1/jobs/{id}/result?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await;
    while server.node.watch().waiters() != 1 {
        tokio::task::yield_now().await;
    }
    server.stop.cancel();
    assert!(idle.closed().await);
    assert!(
        TcpStream::connect(server.addr).await.is_err(),
        "nobody is let in any more"
    );
    server.work(success("r")).await;
    let answer = waiting.answer().await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("r", Some("close")));
    assert!(waiting.closed().await);
    assert_eq!((&mut server.served).await.unwrap(), 0, "nothing was cut");
}

#[tokio::test]
async fn a_stop_has_an_end() {
    let options = ServerOptions {
        stop_time: Duration::from_millis(100),
        ..ServerOptions::default()
    };
    let mut server = Server::with(Setup {
        server: options,
        ..Setup::default()
    })
    .await;
    let id = server.submit("x").await;
    let mut waiting = Line::open(server.addr).await;
    waiting
        .send(format!("GET /v1/jobs/{id}/result?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await;
    while server.node.watch().waiters() != 1 {
        tokio::task::yield_now().await;
    }
    server.stop.cancel();
    assert_eq!((&mut server.served).await.unwrap(), 1);
    assert!(waiting.closed().await);
}

#[tokio::test]
async fn a_drain_and_a_stop_answer_everybody() {
    let mut server = Server::start().await;
    let id = server.submit("x").await;
    let mut waiting = Line::open(server.addr).await;
    waiting
        .send(format!("GET /v1/jobs/{id}/result?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await;
    while server.node.watch().waiters() != 1 {
        tokio::task::yield_now().await;
    }
    server.node.drain().await;
    server.stop.cancel();
    let answer = waiting.answer().await.unwrap();
    assert_eq!((answer.status, answer.outcome()), (202, Some("pending")));
    assert_eq!((&mut server.served).await.unwrap(), 0);
    server.node.close().await;
}
