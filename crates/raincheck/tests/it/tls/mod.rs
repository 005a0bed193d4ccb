//! TLS over real sockets: both versions of HTTP, certificates that change, handshakes that do not come.

mod claims;
mod floods;
mod refused;
pub(crate) mod rig;

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use raincheck::server::{ServerOptions, Tls};

use crate::harness::{Server, Setup, success};
use rig::{Authority, ended, http2, plain, say, secure};

async fn server(authority: &Authority, options: ServerOptions) -> Server {
    Server::with(Setup {
        tls: Some(Tls::open(&authority.cert(), &authority.key()).unwrap()),
        server: options,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn a_client_that_offers_only_http_1_1_gets_it_over_tls() {
    let authority = Authority::new();
    let server = server(&authority, ServerOptions::default()).await;
    let mut stream = secure(server.addr, &authority, &["http/1.1"]).await.unwrap();
    let answer = say(
        &mut stream,
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut stream = secure(server.addr, &authority, &[]).await.unwrap();
    let answer = say(&mut stream, "GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

#[tokio::test]
async fn a_job_is_submitted_waited_for_and_redeemed_over_http_2() {
    let authority = Authority::new();
    let server = server(&authority, ServerOptions::default()).await;
    let (mut client, _connection) = http2(server.addr, &authority).await;
    let submit = Request::post("https://localhost/v1/queues/thumbs/jobs").body("rain".to_owned());
    let answer = client.send_request(submit.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("/v1/jobs/job_"), "{location}");
    let ask = Request::get(format!("https://localhost{location}/result?wait=30")).body(String::new());
    let waiting = client.send_request(ask.unwrap());
    let (answer, _) = tokio::join!(waiting, server.work(success("done")));
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["raincheck-outcome"], "succeeded");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
}

#[tokio::test]
async fn a_foreign_host_is_refused_over_http_2_as_well() {
    let authority = Authority::new();
    let server = server(&authority, ServerOptions::default()).await;
    let (mut client, _connection) = http2(server.addr, &authority).await;
    let ask = Request::get("https://evil.example/v1/jobs").body(String::new());
    assert_eq!(client.send_request(ask.unwrap()).await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_over_http_2_as_well() {
    let authority = Authority::new();
    let server = server(&authority, ServerOptions::default()).await;
    let (mut client, _connection) = http2(server.addr, &authority).await;
    let ask = Request::get("https://localhost/v1/jobs").header("x", "x".repeat(33_000));
    let answer = client
        .send_request(ask.body(String::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 431);
    let problem = answer.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(problem["code"], "headers-too-large");
}

#[tokio::test]
async fn a_certificate_is_swapped_while_connections_go_on() {
    let authority = Authority::new();
    let tls = Tls::open(&authority.cert(), &authority.key()).unwrap();
    let server = Server::with(Setup {
        tls: Some(tls.clone()),
        ..Setup::default()
    })
    .await;
    let (mut old, _connection) = http2(server.addr, &authority).await;
    let first = secure(server.addr, &authority, &[]).await.unwrap();
    let renewed = Authority::new();
    std::fs::copy(renewed.cert(), authority.cert()).unwrap();
    assert!(tls.reload().is_err(), "the key is still the former one");
    secure(server.addr, &authority, &[]).await.unwrap();
    std::fs::copy(renewed.key(), authority.key()).unwrap();
    tls.reload().unwrap();
    assert!(
        secure(server.addr, &authority, &[]).await.is_err(),
        "the former authority is not asked any more"
    );
    let second = secure(server.addr, &renewed, &[]).await.unwrap();
    assert_ne!(rig::presented(&first), rig::presented(&second));
    let ask = Request::get("https://localhost/healthz").body(String::new());
    assert_eq!(
        old.send_request(ask.unwrap()).await.unwrap().status(),
        200,
        "the old connection goes on"
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let authority = Authority::new();
    let options = ServerOptions {
        handshake_time: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    let server = server(&authority, options).await;
    for begun in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = plain(server.addr, begun).await;
        ended(&mut stream).await;
    }
    secure(server.addr, &authority, &[]).await.unwrap();
}

#[tokio::test]
async fn connections_are_counted_before_their_handshake() {
    let authority = Authority::new();
    let options = ServerOptions {
        connections_max: Some(1),
        ..ServerOptions::default()
    };
    let server = server(&authority, options).await;
    let silent = plain(server.addr, b"").await;
    let mut second = plain(server.addr, b"").await;
    ended(&mut second).await;
    drop(silent);
    while secure(server.addr, &authority, &[]).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_http_2_connection_that_asks_for_nothing_is_given_up() {
    let authority = Authority::new();
    let options = ServerOptions {
        head_time: Duration::from_millis(50),
        idle_time: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    let server = server(&authority, options).await;
    let mut silent = secure(server.addr, &authority, &["h2"]).await.unwrap();
    ended(&mut silent).await;
    let (mut client, connection) = http2(server.addr, &authority).await;
    let ask = Request::get("https://localhost/healthz").body(String::new());
    assert_eq!(client.send_request(ask.unwrap()).await.unwrap().status(), 200);
    // The client keeps its handle: it is the server that ends the connection.
    let _ = connection.await;
    assert!(client.is_closed());
}

#[tokio::test]
async fn a_stop_finishes_the_answers_of_an_http_2_connection() {
    let authority = Authority::new();
    let server = server(&authority, ServerOptions::default()).await;
    let (mut client, connection) = http2(server.addr, &authority).await;
    let submit = Request::post("https://localhost/v1/queues/thumbs/jobs?wait=30").body("rain".to_owned());
    let waiting = client.send_request(submit.unwrap());
    let leave = async {
        while server.node.watch().waiters() == 0 {
            tokio::task::yield_now().await;
        }
        server.node.drain().await;
        server.stop.cancel();
    };
    let (answer, ()) = tokio::join!(waiting, leave);
    assert_eq!(answer.unwrap().status(), 202, "it is told how the job stands");
    let _ = connection.await;
}
