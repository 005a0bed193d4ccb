//! Services that answer before a request's body has come, and clients that send it before they are told to.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::{Played, Proxied, Side};

const ALL: &str = "/**=UP;mode=never";
/// More than is read for the sake of the connection.
const BODY: usize = 300_000;

/// A service's answer to a head that is followed by a large body, after which it closes; what its client is told, and whether its
/// connection ends soon after the body.
async fn answered_early(rule: &str, answer: &str) -> (String, bool) {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[rule]).await;
    let mut client = Side::connect(proxy.addr).await;
    let head = format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY}\r\n\r\n");
    client.say(&head).await;
    let mut side = service.accept().await;
    side.until("\r\n\r\n").await;
    side.say(answer).await;
    let told = if answer.contains("Connection: close") {
        // It closes a moment later, and takes nothing more.
        client.until("large").await
    } else {
        drop(side);
        client.until("large").await
    };
    let next = [&vec![b'x'; BODY][..], b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    // It may be reset in the middle.
    let _ = client.0.write_all(&next).await;
    let mut rest = Vec::new();
    // Half of what an idle connection is given.
    let ended = tokio::time::timeout(Duration::from_secs(5), client.0.read_to_end(&mut rest)).await;
    (told, ended.is_ok())
}

#[tokio::test]
async fn where_the_service_closes_after_an_early_answer_the_client_is_told_and_its_connection_ends() {
    for rule in [ALL, "/**=UP;after=30s"] {
        let answer = "HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge";
        let (told, ended) = answered_early(rule, answer).await;
        assert!(
            told.starts_with("HTTP/1.1 413 ") && told.contains("connection: close\r\n"),
            "{rule}: {told}"
        );
        assert!(ended, "{rule}: the connection hangs");
    }
}

#[tokio::test]
async fn where_the_service_closes_after_an_early_answer_without_a_word_the_connection_ends_as_well() {
    for answer in [
        "HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge",
        "HTTP/1.1 413 Large\r\n\r\nlarge",
    ] {
        let (told, ended) = answered_early(ALL, answer).await;
        assert!(told.starts_with("HTTP/1.1 413 "), "{told}");
        assert!(ended, "{answer}: the connection hangs");
    }
}

#[tokio::test]
async fn a_body_that_has_come_already_waits_for_no_welcome() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    for apart in [false, true] {
        let mut taken = Vec::new();
        // A machine that is busy may be slow once; the second that a welcome is waited for is waited each time.
        while taken.len() < 5 && !taken.iter().any(|time| *time < Duration::from_millis(900)) {
            let mut client = Side::connect(proxy.addr).await;
            let since = Instant::now();
            client.say(if apart { head } else { "" }).await;
            let mut side = if apart {
                let mut side = service.accept().await;
                side.until("\r\n\r\n").await;
                client.say("wets").await;
                side
            } else {
                client.say(&[head, "wets"].concat()).await;
                service.accept().await
            };
            side.until("wets").await;
            taken.push(since.elapsed());
            side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await;
            client.until("HTTP/1.1 200 ").await;
        }
        let soon = taken
            .last()
            .is_some_and(|time| *time < Duration::from_millis(900));
        assert!(soon, "apart: {apart}, {taken:?}");
    }
}
