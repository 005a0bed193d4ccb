//! What passes untouched.

use super::{Played, Proxied, Side};

const ALL: &str = "/**=UP;mode=never";

/// What the service heard of a request, and what the client heard of its answer; headers sorted.
pub(super) async fn passed(request: &str, end: &str, answer: &str) -> (String, String) {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let serving = async {
        let mut side = service.accept().await;
        let heard = side.until(end).await;
        side.say(answer).await;
        side.finish().await;
        heard
    };
    let (heard, got) = tokio::join!(serving, proxy.exchange(request.as_bytes()));
    (sorted(&heard), sorted(&got))
}

/// The message with its headers in order, without what is of this hop or of this moment.
fn sorted(message: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
    let mut lines: Vec<_> = head.split("\r\n").collect();
    let first = lines.remove(0);
    let ours = ["via: ", "x-forwarded-", "date: ", "connection: "];
    lines.retain(|line| {
        !ours
            .iter()
            .any(|ours| line.to_ascii_lowercase().starts_with(ours))
    });
    let mut lines: Vec<_> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
    lines.sort_unstable();
    format!("{first}\n{}\n\n{body}", lines.join("\n")).replace('\r', "")
}

#[tokio::test]
async fn a_call_passes_as_it_came_and_so_does_its_answer() {
    for (request, end, heard, answer, got) in [
        (
            "GET /a%2Fb//c/../d?e=%zz&f HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=b\r\nConnection: close, x-hop\r\n\
             X-Hop: 1\r\n\r\n",
            "\r\n\r\n",
            "GET /a%2Fb//c/../d?e=%zz&f HTTP/1.1\ncookie: a=b\nhost: shop.example\nx-a: 1\nx-a: 2\n\n",
            "HTTP/1.1 200 Fine\r\nContent-Length: 4\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nETag: \"x\"\r\nKeep-Alive: 5\r\n\r\nwets",
            "HTTP/1.1 200 Fine\ncontent-length: 4\netag: \"x\"\nset-cookie: a=b\nset-cookie: c=d\n\nwets",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwets",
            "wets",
            "POST / HTTP/1.1\ncontent-length: 4\nhost: h\n\nwets",
            "HTTP/1.1 422 Unprocessable Entity\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 422 Unprocessable Entity\ncontent-length: 0\n\n",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "\r\n\r\n",
            "POST / HTTP/1.1\ncontent-length: 0\nhost: h\n\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 204 No Content\n\n\n",
        ),
        (
            "GET /search HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nwets\r\n0\r\n\r\n",
            "0\r\n\r\n",
            "GET /search HTTP/1.1\nhost: h\ntransfer-encoding: chunked\n\n4\nwets\n0\n\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n3\nabc\n0\n\n",
        ),
        (
            "HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            "\r\n\r\n",
            "HEAD /a HTTP/1.1\nhost: h\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            "HTTP/1.1 200 OK\ncontent-length: 1000\n\n",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nIf-Range: \"x\"\r\nConnection: close\r\n\r\n",
            "\r\n\r\n",
            "GET /a HTTP/1.1\nhost: h\nif-range: \"x\"\nrange: bytes=1-2\n\n",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/4\r\nContent-Length: 2\r\n\r\nai",
            "HTTP/1.1 206 Partial Content\ncontent-length: 2\ncontent-range: bytes 1-2/4\n\nai",
        ),
        (
            // A body without a length ends with its connection.
            "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            "\r\n\r\n",
            "GET /a HTTP/1.1\nhost: h\n\n",
            "HTTP/1.0 200 OK\r\n\r\nwets",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n4\nwets\n0\n\n",
        ),
        (
            // Who asks by HTTP/1.0 gets no chunks.
            "GET /a HTTP/1.0\r\nHost: h\r\n\r\n",
            "\r\n\r\n",
            "GET /a HTTP/1.1\nhost: h\n\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwets\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\n\n\nwets",
        ),
        (
            // Trailers of both, where the client takes them.
            "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nConnection: close, TE\r\n\r\n\
             4\r\nwets\r\n0\r\nX-Sum: 7\r\n\r\n",
            "7\r\n\r\n",
            "POST / HTTP/1.1\nhost: h\nte: trailers\ntrailer: x-sum\ntransfer-encoding: chunked\n\n4\nwets\n0\nx-sum: 7\n\n",
            "HTTP/1.1 200 OK\r\nTrailer: X-Out\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Out: 9\r\n\r\n",
            "HTTP/1.1 200 OK\ntrailer: x-out\ntransfer-encoding: chunked\n\n1\na\n0\nx-out: 9\n\n",
        ),
        (
            // An absolute target leads to the service all the same.
            "GET http://shop.example/a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
            "\r\n\r\n",
            "GET /a HTTP/1.1\nhost: shop.example\n\n",
            "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\ncontent-length: 0\nlocation: /b\n\n",
        ),
    ] {
        let (seen, given) = passed(request, end, answer).await;
        assert_eq!(seen, heard, "what the service saw of {request:?}");
        assert_eq!(given, got, "what the client got for {answer:?}");
    }
}

#[tokio::test]
async fn the_way_is_told_to_the_service_and_in_the_answer() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let serving = async {
        let mut side = service.accept().await;
        let heard = side.until("\r\n\r\n").await;
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        heard
    };
    let asked = b"GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1\r\n\
                  Raincheck-Job: job_x\r\nConnection: close\r\n\r\n";
    let (heard, got) = tokio::join!(serving, proxy.exchange(asked));
    for line in [
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-host: shop.example\r\n",
        "x-forwarded-proto: http\r\n",
    ] {
        assert!(heard.contains(line), "{heard}");
    }
    assert!(
        !heard.contains("1.1.1.1") && !heard.contains("raincheck-job"),
        "{heard}"
    );
    assert!(
        heard.contains("via: 1.1 raincheck-") && got.contains("via: 1.1 raincheck-"),
        "{heard}{got}"
    );
}

#[tokio::test]
async fn bodies_pass_while_they_come_both_ways() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let mut client = Side::connect(proxy.addr).await;
    client
        .say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\nConnection: close\r\n\r\nwets")
        .await;
    let mut side = service.accept().await;
    side.until("wets").await;
    client.say("bows").await;
    side.until("bows").await;
    side.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").await;
    client.until("abc").await;
    side.say("def").await;
    client.until("def").await;
}

#[tokio::test]
async fn hints_that_come_before_the_answer_are_passed_on() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let mut client = Side::connect(proxy.addr).await;
    for _ in 0..2 {
        client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side.say("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            .await;
        let hint = client.until("\r\n\r\n").await;
        assert_eq!(hint, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            .await;
        let answer = client.until("\r\n\r\nok").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn hints_that_come_together_with_the_answer_are_passed_on_before_it() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let mut client = Side::connect(proxy.addr).await;
    let mut side = None;
    for n in 0..20 {
        client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let side = match &mut side {
            None => side.insert(service.accept().await),
            Some(side) => side,
        };
        side.until("\r\n\r\n").await;
        let hints =
            format!("HTTP/1.1 103 Early Hints\r\nlink: </{n}>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
        side.say(&format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
            .await;
        let got = client.until("\r\n\r\nok").await;
        let rest = got.strip_prefix(&hints).unwrap_or_else(|| panic!("{n}: {got}"));
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"), "{n}: {got}");
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_hints() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let mut client = Side::connect(proxy.addr).await;
    client.say("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    let mut side = service.accept().await;
    side.until("\r\n\r\n").await;
    side.say(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let answer = client.until("\r\n\r\nok").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_in_a_coding_that_would_be_lost_on_the_way_is_refused() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let mut client = Side::connect(proxy.addr).await;
    client
        .say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nwet\r\n0\r\n\r\n")
        .await;
    let told = client.until("\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
}

#[tokio::test]
async fn a_body_that_waits_for_its_welcome_is_sent_only_then() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let ask = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    let mut client = Side::connect(proxy.addr).await;
    client.say(ask).await;
    let mut side = service.accept().await;
    assert!(side.until("\r\n\r\n").await.contains("expect: 100-continue"));
    side.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("wets").await;
    side.until("wets").await;
    side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    // And one that is not welcome is not sent at all.
    let mut client = Side::connect(proxy.addr).await;
    client.say(ask).await;
    side.until("\r\n\r\n").await;
    side.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn another_protocol_passes_both_ways_until_both_have_said_their_last() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/**=UP;mode=always"]).await;
    let mut client = Side::connect(proxy.addr).await;
    client
        .say("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let mut side = service.accept().await;
    let heard = side.until("\r\n\r\n").await;
    assert!(
        heard.contains("upgrade: websocket\r\n") && heard.contains("connection: upgrade\r\n"),
        "{heard}"
    );
    side.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        .await;
    let got = client.until("hello").await;
    assert!(
        got.starts_with("HTTP/1.1 101 ") && got.contains("upgrade: websocket\r\n"),
        "{got}"
    );
    client.say("ping").await;
    side.until("ping").await;
    side.say("pong").await;
    client.until("pong").await;
    // One side ends; the other still has something to say.
    let end = tokio::join!(client.finish(), async {
        assert!(side.ended().await);
        side.say("last").await;
        drop(side);
    });
    assert_eq!(end.0, "last");
}

#[tokio::test]
async fn no_other_version_of_http_is_a_way_past_the_rules() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &["/a/**=UP;mode=always", ALL]).await;
    let h2c =
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    for upgrade in [h2c, "Connection: upgrade, close\r\nUpgrade: tcp\r\n"] {
        let ask = format!("POST /a/b HTTP/1.1\r\nHost: h\r\n{upgrade}Content-Length: 0\r\n\r\n");
        let got = proxy.exchange(ask.as_bytes()).await;
        assert!(got.starts_with("HTTP/1.1 202 "), "{got}");
        // The job's own call.
        let mut side = service.accept().await;
        side.until("\r\n\r\n").await;
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await;
    }
    let ask = format!("GET / HTTP/1.1\r\nHost: h\r\n{h2c}\r\n");
    let serving = async {
        let mut side = service.accept().await;
        let heard = side.until("\r\n\r\n").await;
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        heard
    };
    let (heard, got) = tokio::join!(serving, proxy.exchange(ask.as_bytes()));
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    assert!(
        !heard.contains("upgrade") && !heard.contains("http2-settings"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_service_that_does_not_change_the_protocol_just_answers() {
    let ask = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n";
    let (_, got) = passed(
        ask,
        "\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno",
    )
    .await;
    assert_eq!(got, "HTTP/1.1 426 Upgrade Required\ncontent-length: 2\n\nno");
}

#[tokio::test]
async fn a_client_that_closed_its_sending_side_still_gets_its_answer() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    let mut client = Side::connect(proxy.addr).await;
    client
        .say("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let mut side = service.accept().await;
    side.until("\r\n\r\n").await;
    let (got, ()) = tokio::join!(client.finish(), async {
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwets").await;
    });
    assert!(got.ends_with("wets"), "{got}");
}

#[tokio::test]
async fn the_call_of_a_client_that_is_gone_is_dropped() {
    let service = Played::start().await;
    let proxy = Proxied::start(service.addr, &[ALL]).await;
    // While the answer comes.
    let mut client = Side::connect(proxy.addr).await;
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut side = service.accept().await;
    side.until("\r\n\r\n").await;
    side.say("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nwets")
        .await;
    client.until("wets").await;
    drop(client);
    assert!(
        side.ended().await,
        "the service is told by the end of its connection"
    );
    // And before it.
    let mut client = Side::connect(proxy.addr).await;
    client
        .say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nwets")
        .await;
    let mut side = service.accept().await;
    side.until("wets").await;
    drop(client);
    assert!(side.ended().await);
}
