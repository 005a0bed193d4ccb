//! A route of an application that goes on in another protocol, as a websocket does.

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use raincheck::Raincheck;
use raincheck::tasks::{Group, TaskKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{App, opened};

/// Says again what is said, for as long as something is.
async fn echo(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    Group::new("echo").spawn(TaskKind::Connection, async move {
        let mut line = TokioIo::new(upgrade.await.unwrap());
        let mut bytes = [0; 64];
        while let Ok(read @ 1..) = line.read(&mut bytes).await {
            line.write_all(&bytes[..read]).await.unwrap();
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

#[tokio::test]
async fn a_connection_is_handed_on_to_another_protocol_with_every_byte() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = App::serve(&rc, Router::new().route("/echo", get(echo))).await;
    let mut line = TcpStream::connect(app.addr).await.unwrap();
    // What comes right behind the head belongs to the other protocol already.
    let ask =
        "GET /echo HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nGET / first";
    line.write_all(ask.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"GET / first") {
        assert!(
            line.read_buf(&mut heard).await.unwrap() > 0,
            "{:?}",
            String::from_utf8_lossy(&heard)
        );
    }
    assert!(heard.starts_with(b"HTTP/1.1 101 "));
    line.write_all(b"second").await.unwrap();
    let mut second = [0; 6];
    line.read_exact(&mut second).await.unwrap();
    assert_eq!(&second, b"second");
    drop(line);
    app.stop.cancel();
    app.ended.await.unwrap().unwrap();
}
