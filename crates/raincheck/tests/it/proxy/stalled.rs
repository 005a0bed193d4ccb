//! Clients that stop in the middle of a body that passes, and services that take none of it: nobody waits for them for ever.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Played, Proxied, Side};

/// Calls pass, or become jobs where they take long.
const RULES: [&str; 2] = ["/**=UP;mode=never", "/**=UP;after=50ms"];
const HEAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc";
/// How long the proxy waits; a test takes about as long.
const LIMIT: Duration = Duration::from_millis(300);

/// A proxy, and both its sides with a body of which a part has come.
async fn half_sent(rule: &str) -> (Proxied, Side, Side) {
    let service = Played::start().await;
    let proxy = Proxied::hasty(service.addr, &[rule], LIMIT).await;
    let mut client = Side::connect(proxy.addr).await;
    client.say(HEAD).await;
    let mut side = service.accept().await;
    side.until("abc").await;
    (proxy, client, side)
}

#[tokio::test]
async fn a_client_that_stops_sending_is_told_so_and_the_service_is_let_go() {
    for rule in RULES {
        let (_proxy, mut client, mut side) = half_sent(rule).await;
        let told = client.until("\r\n\r\n").await;
        assert!(told.starts_with("HTTP/1.1 408 "), "{rule}: {told}");
        assert!(side.ended().await, "{rule}: its call is over as well");
    }
}

#[tokio::test]
async fn a_client_that_stops_sending_after_the_answer_has_begun_is_not_waited_for_either() {
    for rule in RULES {
        let (_proxy, mut client, mut side) = half_sent(rule).await;
        side.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwet\r\n")
            .await;
        client.until("wet").await;
        assert!(
            side.ended().await,
            "{rule}: the answer ends where the request does not"
        );
    }
}

#[tokio::test]
async fn a_client_that_keeps_sending_may_take_longer_than_the_limit() {
    let (_proxy, mut client, mut side) = half_sent(RULES[0]).await;
    for byte in ["d", "e", "f", "g", "h", "i", "j"] {
        tokio::time::sleep(LIMIT / 3).await;
        client.say(byte).await;
        side.until(byte).await;
    }
    side.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwet").await;
    let told = client.until("wet").await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
}

#[tokio::test]
async fn a_service_that_takes_nothing_of_a_request_is_not_waited_for_either() {
    for rule in RULES {
        untaken(rule).await;
    }
}

async fn untaken(rule: &str) {
    let service = Played::start().await;
    let proxy = Proxied::hasty(service.addr, &[rule], LIMIT).await;
    let Side(client) = Side::connect(proxy.addr).await;
    let (mut hears, mut says) = client.into_split();
    // More than all that is between the two holds, and no end of it.
    let send = async {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            1_u64 << 40
        );
        says.write_all(head.as_bytes()).await.unwrap();
        let some = vec![b'x'; 1 << 16];
        while says.write_all(&some).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let hear = async {
        // It takes the connection, and reads nothing.
        let _side = service.accept().await;
        let mut told = Vec::new();
        while !told.ends_with(b"}") {
            let read = hears.read_buf(&mut told).await.unwrap_or(0);
            assert_ne!(read, 0, "it ended: {}", String::from_utf8_lossy(&told));
        }
        String::from_utf8(told).unwrap()
    };
    let told = tokio::select! {
        told = tokio::time::timeout(LIMIT * 40, hear) => told.expect("it is answered in time"),
        () = send => unreachable!("it is sent for ever"),
    };
    assert!(told.starts_with("HTTP/1.1 504 "), "{told}");
    assert!(
        told.contains("the upstream took nothing of the request for 300ms"),
        "{told}"
    );
}
