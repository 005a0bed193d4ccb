//! Heads of answers, and requests that count their hops: what RFC 9110 and 9112 ask of who stands between.

use super::pass::passed;

const ASK: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

async fn answered(answer: &str) -> String {
    passed(ASK, "\r\n\r\n", answer).await.1
}

#[tokio::test]
async fn what_of_an_answer_concerns_its_hop_stays_behind() {
    let got = answered(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: X-Hop, content-length\r\nX-Hop: 1\r\nX-End: 2\r\nUpgrade: h2c\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\nKeep-Alive: timeout=5\r\n\r\nwet",
    )
    .await;
    assert_eq!(got, "HTTP/1.1 200 OK\ncontent-length: 3\nx-end: 2\n\nwet");
}

#[tokio::test]
async fn an_answer_ends_where_its_framing_said_and_says_that_anew() {
    for (answer, got) in [
        (
            // The coding counts, and a length beside it is told to nobody.
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwet\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n3\nwet\n0\n\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nwet\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n3\nwet\n0\n\n",
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n",
            "HTTP/1.1 304 Not Modified\netag: \"x\"\n\n",
        ),
        (
            // What follows a 204 is no body of it.
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nwet",
            "HTTP/1.1 204 No Content\n\n\n",
        ),
        (
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-3/9\r\nContent-Length: 3\r\n\r\nwet",
            "HTTP/1.1 206 Partial Content\ncontent-length: 3\ncontent-range: bytes 1-3/9\n\nwet",
        ),
    ] {
        let heard = answered(answer).await;
        assert_eq!(heard.trim_end(), got.trim_end(), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_whose_end_nobody_can_tell_is_no_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nwet",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nwet\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nwets",
        "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nwets",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        let got = answered(answer).await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{answer:?}: {got}");
    }
}

#[tokio::test]
async fn the_moment_of_an_answer_is_the_one_that_the_service_told() {
    let date = "date: Sat, 21 Nov 2026 06:00:30 GMT";
    let service = super::Played::start().await;
    let proxy = super::Proxied::start(service.addr, &["/**=UP;mode=never"]).await;
    let serving = async {
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side.say(&format!("HTTP/1.1 200 OK\r\n{date}\r\nContent-Length: 0\r\n\r\n"))
            .await;
        side.finish().await;
    };
    let ((), got) = tokio::join!(serving, proxy.exchange(ASK.as_bytes()));
    let dates: Vec<_> = got
        .lines()
        .filter(|line| line.to_lowercase().starts_with("date:"))
        .collect();
    assert_eq!(dates, [date]);
}

#[tokio::test]
async fn hops_are_counted_where_a_request_asks_for_that() {
    for (method, before, after) in [
        ("OPTIONS", "3", "2"),
        ("TRACE", "1", "0"),
        ("GET", "3", "3"),
        ("OPTIONS", "x", "x"),
    ] {
        let ask =
            format!("{method} / HTTP/1.1\r\nHost: h\r\nMax-Forwards: {before}\r\nConnection: close\r\n\r\n");
        let (heard, got) = passed(&ask, "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert!(
            heard.contains(&format!("\nmax-forwards: {after}\n")),
            "{method}: {heard}"
        );
        assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    }
}

#[tokio::test]
async fn what_a_request_says_to_a_proxy_is_not_told_to_the_service() {
    let ask = "GET / HTTP/1.1\r\nHost: h\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nTE: gzip, trailers;q=1\r\n\
               Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: close, HTTP2-Settings, TE\r\n\r\n";
    let (heard, _) = passed(ask, "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(heard, "GET / HTTP/1.1\nhost: h\nte: trailers\n\n");
}
