//! A service that is away, or closes connections: what is kept for it waits, says so, and is sent once.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpSocket;

use super::jobs::{redeem, ticket};
use super::logged::Logged;
use super::{Played, Proxied, code};
use crate::client::Answer;

const ALWAYS: &[&str] = &["/**=UP;mode=always"];
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwets";

/// A service at an address that is taken, and at which nobody listens.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// A job's document, once this is so or the job is done.
pub(super) async fn seen(proxy: &Proxied, accepted: &Answer, so: impl Fn(&Value) -> bool) -> Value {
    let (path, ticket) = ticket(accepted);
    let path = format!("{path}?ticket={ticket}");
    let look = async {
        loop {
            let job = proxy.ask("GET", &path).send().await.json();
            if so(&job) || job["done"] == true {
                break job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    super::soon("the job as it is looked for", look).await
}

#[tokio::test]
async fn calls_for_a_service_that_is_away_wait_for_it_and_no_attempt_is_charged() {
    let (socket, addr) = nobody();
    let proxy = Proxied::start(addr, ALWAYS).await;
    let mut jobs = Vec::new();
    for method in ["GET", "POST"] {
        let accepted = proxy.ask(method, "/").send().await;
        let seen = seen(&proxy, &accepted, |job| job["state"] == "scheduled").await;
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
async fn a_job_that_waits_for_its_service_says_so() {
    let (_socket, addr) = nobody();
    let proxy = Proxied::start(addr, ALWAYS).await;
    let accepted = proxy.ask("POST", "/").send().await;
    let job = seen(&proxy, &accepted, |job| job["state"] == "scheduled").await;
    assert_eq!(job["waiting_for"], "circuit", "{job}");
    let attempt = &job["attempts"][0];
    assert_eq!(attempt["outcome"], "released", "{job}");
    for error in [&job["error"], &attempt["error"]] {
        assert_eq!(error["code"], "handler-unreachable", "{job}");
        assert!(error["detail"].as_str().unwrap().contains("refused"), "{job}");
    }
}

#[tokio::test]
async fn that_a_service_is_away_and_back_is_logged_once_however_often_it_is_tried() {
    let (socket, addr) = nobody();
    let (logged, _logging) = Logged::begin();
    let proxy = Proxied::start(addr, ALWAYS).await;
    let accepted = proxy.ask("POST", "/").send().await;
    seen(&proxy, &accepted, |job| {
        job["attempts"].as_array().is_some_and(|tries| tries.len() > 1)
    })
    .await;
    let told = logged.lines("INFO");
    let away = "WARN a service cannot be reached; what is kept for it waits";
    assert_eq!(told.iter().filter(|line| *line == away).count(), 1, "{told:?}");
    assert!(
        !told.iter().any(|line| line.ends_with("attempt settled")),
        "{told:?}"
    );
    let service = Played {
        addr,
        listener: socket.listen(8).unwrap(),
    };
    let serving = async {
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side.say(OK).await;
    };
    tokio::join!(serving, redeem(&proxy, &accepted));
    let back = "INFO a service that could not be reached is there again";
    let told = logged.lines("INFO");
    assert_eq!(told.iter().filter(|line| *line == back).count(), 1, "{told:?}");
}

#[tokio::test]
async fn a_deadline_bounds_how_long_a_job_waits_for_its_service() {
    let (_socket, addr) = nobody();
    let proxy = Proxied::start(addr, &["/**=UP;mode=always;deadline=300ms"]).await;
    let accepted = proxy.ask("POST", "/").send().await;
    let job = seen(&proxy, &accepted, |_| false).await;
    assert_eq!(
        (&job["state"], &job["error"]["code"]),
        (&"failed".into(), &"timed-out".into()),
        "{job}"
    );
    assert!(
        job["error"]["detail"].as_str().unwrap().contains("refused"),
        "it says what it waited for: {job}"
    );
    let told = redeem(&proxy, &accepted).await;
    assert_eq!((told.status, code(&told).as_str()), (504, "timed-out"));
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
