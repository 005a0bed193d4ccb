//! What is redeemed is what the service answered: its status, where it leads, how long it is.

use super::jobs::{redeem, ticket};
use super::{Played, Proxied, Side};
use crate::client::Answer;

const ALWAYS: &[&str] = &["/**=UP;mode=always"];

/// Answers the next call so; what it asked, and the connection, which stays open.
async fn answers(service: &Played, answer: &str) -> (String, Side) {
    let mut side = service.accept().await;
    let heard = side.until("\r\n\r\n").await;
    side.say(answer).await;
    (heard, side)
}

/// Has a call answered so, which is a job.
async fn answered(proxy: &Proxied, service: &Played, method: &str, answer: &str) -> Answer {
    let asked = async {
        let rain_check = proxy.ask(method, "/a").send().await;
        redeem(proxy, &rain_check).await
    };
    tokio::join!(asked, answers(service, answer)).0
}

#[tokio::test]
async fn who_waits_is_led_where_the_service_leads() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let led = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Location: /it\r\nContent-Length: 0\r\n\r\n";
    let waits = proxy.ask("GET", "/a").header("prefer", "wait=30").send();
    let (answer, _heard) = tokio::join!(waits, answers(&service, led));
    assert_eq!(
        (
            answer.status,
            answer.header("location"),
            answer.header("content-location")
        ),
        (302, Some("/other"), Some("/it")),
        "{answer:?}"
    );
    assert!(
        answer
            .header("raincheck-job")
            .is_some_and(|job| job.starts_with("job_"))
    );
}

#[tokio::test]
async fn the_head_of_an_answer_says_how_long_its_body_would_be() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 26\r\nETag: \"v1\"\r\n\r\n";
    let asked = async {
        let rain_check = proxy.ask("HEAD", "/a").send().await;
        let (path, ticket) = ticket(&rain_check);
        let place = format!("{path}/result?ticket={ticket}&wait=30");
        let whole = proxy.ask("GET", &place).send().await;
        (proxy.ask("HEAD", &place).send().await, whole)
    };
    let ((head, whole), (heard, _side)) = tokio::join!(asked, answers(&service, answer));
    assert!(heard.starts_with("HEAD /a "), "{heard}");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("26")),
        "{head:?}"
    );
    assert_eq!(
        (whole.status, whole.header("content-length"), whole.text()),
        (200, Some("0"), ""),
        "there was no more than a head"
    );
}

#[tokio::test]
async fn a_status_that_has_no_words_is_given_none() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, ALWAYS).await;
    let answer = "HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(&proxy, &service, "GET", answer).await.status, 299);
    let ask = "GET /a HTTP/1.1\r\nHost: h\r\nPrefer: wait=30\r\nConnection: close\r\n\r\n";
    let (got, _heard) = tokio::join!(proxy.exchange(ask.as_bytes()), answers(&service, answer));
    assert!(got.starts_with("HTTP/1.1 299 \r\n"), "{got}");
}
