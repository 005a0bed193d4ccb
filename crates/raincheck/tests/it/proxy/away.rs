//! A service that is away, or closes connections: what is kept for it waits, and is sent once.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;

use super::jobs::{redeem, ticket};
use super::{Played, Proxied, code};

const ALWAYS: &[&str] = &["/**=UP;mode=always"];
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwets";

#[tokio::test]
async fn calls_for_a_service_that_is_away_wait_for_it_and_no_attempt_is_charged() {
    // An address that is taken, and at which nobody listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = socket.local_addr().unwrap();
    let proxy = Proxied::start(addr, ALWAYS).await;
    let mut jobs = Vec::new();
    for method in ["GET", "POST"] {
        let accepted = proxy.ask(method, "/").send().await;
        let (path, ticket) = ticket(&accepted);
        let seen = loop {
            let job = proxy
                .ask("GET", &format!("{path}?ticket={ticket}"))
                .send()
                .await
                .json();
            if job["state"] == "scheduled" || job["done"] == true {
                break job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(
            (&seen["state"], &seen["attempt"]),
            (&"scheduled".into(), &0.into()),
            "{seen}"
        );
        jobs.push(accepted);
    }
    let service = Played {
        addr,
        listener: socket.listen(8).unwrap(),
    };
    let serving = async {
        for _ in 0..2 {
            let mut side = service.accept().await;
            side.until("\r\n\r\n").await;
            side.say(OK).await;
        }
    };
    let redeeming = async {
        for job in &jobs {
            assert_eq!(redeem(&proxy, job).await.text(), "wets");
        }
    };
    tokio::join!(serving, redeeming);
}

#[tokio::test]
async fn a_job_that_must_not_be_sent_twice_does_not_use_a_connection_that_was_kept() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let mut sides = Vec::new();
    for _ in 0..2 {
        let accepted = proxy.ask("POST", "/").send().await;
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side.say(OK).await;
        assert_eq!(redeem(&proxy, &accepted).await.text(), "wets");
        sides.push(side);
    }
}

#[tokio::test]
async fn what_is_no_answer_to_a_job_is_not_kept_as_one() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ] {
        let accepted = proxy.ask("POST", "/").send().await;
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side.say(answer).await;
        let told = redeem(&proxy, &accepted).await;
        assert_eq!(
            (told.status, code(&told).as_str()),
            (502, "handler-unreachable"),
            "{answer}"
        );
    }
}
