//! Requests that are malformed, ambiguous or too large, byte by byte: what each gets, and that nothing after it is
//! taken for another request. What is refused before there is a request is told like any other refusal.

use crate::client::Line;
use crate::harness::Server;

/// Sends the bytes and gives back the statuses of all answers until the server closes, and the code of the first.
async fn statuses(server: &Server, bytes: &[u8]) -> (Vec<u16>, Option<String>) {
    let mut line = Line::open(server.addr).await;
    line.send(bytes).await;
    line.finish().await;
    let (mut statuses, mut code) = (Vec::new(), None);
    while let Some(answer) = line.answer().await {
        if statuses.is_empty() && answer.header("content-type") == Some("application/problem+json") {
            code = Some(answer.code());
        }
        statuses.push(answer.status);
    }
    (statuses, code)
}

const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A submit with these header lines and this body, followed by a request that must not be answered unless the first
/// one ends where it says.
fn submit(head: &str, body: &str) -> String {
    format!("POST /v1/queues/thumbs/jobs HTTP/1.1\r\n{head}\r\n{body}{NEXT}")
}

#[tokio::test]
async fn a_request_names_its_host_exactly_once() {
    let server = Server::start().await;
    for (request, status) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
            400,
        ),
        (
            "GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            400,
        ),
        (
            "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            403,
        ),
        (
            "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            200,
        ),
        ("GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n\r\n", 403),
        ("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\u{e9}\r\n\r\n", 400),
    ] {
        let (statuses, code) = statuses(&server, request.as_bytes()).await;
        assert_eq!(statuses, [status], "{request:?}");
        assert_eq!(code.is_some(), status != 200, "{request:?}");
    }
}

#[tokio::test]
async fn a_message_has_one_length() {
    let server = Server::start().await;
    let host = "Host: localhost\r\n";
    for head in [
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nX: y\r\ncontent-length:1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\n folded: x\r\n",
        "X: a\0b\r\n",
    ] {
        let (statuses, code) = statuses(&server, submit(&format!("{host}{head}"), "x").as_bytes()).await;
        assert_eq!(
            (statuses, code.as_deref()),
            (vec![400], Some("bad-request")),
            "{head:?}"
        );
    }
    let old = "POST /v1/queues/thumbs/jobs HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(statuses(&server, old.as_bytes()).await.0, [400]);
    assert_eq!(
        server.get("/v1/queues/thumbs").send().await.json()["counts"]["queued"],
        0,
        "nothing was stored"
    );
}

#[tokio::test]
async fn after_a_message_with_two_framings_nothing_is_read() {
    let server = Server::start().await;
    let head = "Host: localhost\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n";
    let (statuses, _) = statuses(&server, submit(head, "1\r\nx\r\n0\r\n\r\n").as_bytes()).await;
    assert_eq!(
        statuses,
        [202],
        "chunked counts (RFC 9112 section 6.3), and the connection ends"
    );
    assert_eq!(server.claim("thumbs").await.unwrap().input.body, "x");
}

#[tokio::test]
async fn chunks_are_read_as_the_rfc_says() {
    let server = Server::start().await;
    let head = "Host: localhost\r\nTransfer-Encoding: chunked\r\n";
    let good = submit(head, "3;ext=\"v\"\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n");
    assert_eq!(statuses(&server, good.as_bytes()).await.0, [202, 200]);
    assert_eq!(server.claim("thumbs").await.unwrap().input.body, "abcde");
    for body in [
        "3\nabc\n0\n\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n",
        "-1\r\n\r\n",
        "3\r\nabcde\r\n0\r\n\r\n",
    ] {
        let (statuses, code) = statuses(&server, submit(head, body).as_bytes()).await;
        assert_eq!(
            (statuses, code.as_deref()),
            (vec![400], Some("bad-request")),
            "{body:?}"
        );
    }
    assert!(server.claim("thumbs").await.is_none());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start().await;
    let with = |head: &str| format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
    let (fits, code) = statuses(
        &server,
        with(&format!("X: {}\r\n", "x".repeat(32_000))).as_bytes(),
    )
    .await;
    assert_eq!((fits, code), (vec![200], None));
    let (large, code) = statuses(
        &server,
        with(&format!("X: {}\r\n", "x".repeat(33_000))).as_bytes(),
    )
    .await;
    assert_eq!((large, code.as_deref()), (vec![431], Some("headers-too-large")));
    let (huge, code) = statuses(
        &server,
        with(&format!("X: {}\r\n", "x".repeat(500_000))).as_bytes(),
    )
    .await;
    assert_eq!((huge, code.as_deref()), (vec![431], Some("headers-too-large")));
    let (many, code) = statuses(&server, with(&"X: y\r\n".repeat(101)).as_bytes()).await;
    assert_eq!((many, code.as_deref()), (vec![431], Some("headers-too-large")));
    let hundred = with(&"X: y\r\n".repeat(99));
    assert_eq!(statuses(&server, hundred.as_bytes()).await.0, [200]);
}

#[tokio::test]
async fn a_uri_that_is_too_long_is_refused() {
    let server = Server::start().await;
    let with = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(length));
    assert_eq!(statuses(&server, with(8_000).as_bytes()).await.0, [404]);
    let (long, code) = statuses(&server, with(9_000).as_bytes()).await;
    assert_eq!((long, code.as_deref()), (vec![414], Some("uri-too-long")));
    for length in [65_530, 70_000] {
        let (huge, code) = statuses(&server, with(length).as_bytes()).await;
        let told = (huge.as_slice(), code.as_deref());
        // What does not fit into the buffer has no end of a first line that could be measured.
        assert!(
            [
                (&[414][..], Some("uri-too-long")),
                (&[431], Some("headers-too-large"))
            ]
            .contains(&told),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = Server::start().await;
    for bytes in [
        &b"hello\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"G\0T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ] {
        let (statuses, code) = statuses(&server, bytes).await;
        assert_eq!(
            (statuses, code.as_deref()),
            (vec![400], Some("bad-request")),
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let (h2, _) = statuses(&server, preface).await;
    assert!(h2.len() <= 1 && h2.iter().all(|status| *status == 400), "{h2:?}");
    assert_eq!(statuses(&server, b"").await.0, [0_u16; 0]);
}

#[tokio::test]
async fn what_is_no_http_after_a_request_is_told_after_its_answer() {
    let server = Server::start().await;
    let mut line = Line::open(server.addr).await;
    line.send(format!("{NEXT}hello\r\n\r\n").as_bytes()).await;
    assert_eq!(line.answer().await.unwrap().status, 200);
    let refused = line.answer().await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (400, "bad-request"));
    assert!(refused.header("x-request-id").is_some_and(|id| !id.is_empty()));
    assert_eq!(
        refused.header("retry-after"),
        None,
        "the same again is refused again"
    );
    assert!(line.closed().await);
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let server = Server::start().await;
    let mut line = Line::open(server.addr).await;
    let submit = "POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n";
    let pipelined = format!("{submit}a{NEXT}{submit}bGET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n");
    line.send(pipelined.as_bytes()).await;
    for status in [202, 200, 202, 404] {
        assert_eq!(line.answer().await.unwrap().status, status);
    }
    line.send(NEXT.as_bytes()).await;
    assert_eq!(
        line.answer().await.unwrap().status,
        200,
        "a refusal by a route does not end the connection"
    );
    let bodies = [
        server.claim("thumbs").await.unwrap().input.body,
        server.claim("thumbs").await.unwrap().input.body,
    ];
    assert_eq!(bodies, ["a", "b"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    let mut line = Line::open(server.addr).await;
    let head = "POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n";
    line.send(format!("{head}Content-Length: 2000000\r\n\r\n").as_bytes())
        .await;
    let answer = line.answer().await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"));
    let mut line = Line::open(server.addr).await;
    line.send(format!("{head}Content-Length: 1\r\n\r\n").as_bytes())
        .await;
    assert_eq!(line.answer().await.unwrap().status, 100);
    line.send(b"x").await;
    assert_eq!(line.answer().await.unwrap().status, 202);
    let mut line = Line::open(server.addr).await;
    line.send(format!("{}Content-Length: 1\r\n\r\n", head.replace("thumbs", "nope")).as_bytes())
        .await;
    assert_eq!(
        line.answer().await.unwrap().status,
        404,
        "so is one for a queue that does not exist"
    );
}

#[tokio::test]
async fn who_is_refused_while_sending_still_hears_why() {
    let server = Server::start().await;
    for _ in 0..20 {
        let answer = server
            .post("/v1/queues/thumbs/jobs")
            .body(vec![0; 8 << 20])
            .send()
            .await;
        assert_eq!(answer.code(), "body-too-large");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing() {
    let server = Server::start().await;
    let head = "POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx";
    let (broken, _) = statuses(&server, head.as_bytes()).await;
    assert!(broken.is_empty() || broken == [400], "{broken:?}");
    assert_eq!(
        server.get("/v1/queues/thumbs").send().await.json()["counts"]["queued"],
        0
    );
}

#[tokio::test]
async fn a_body_that_nobody_reads_costs_no_connection_where_it_is_small() {
    let server = Server::start().await;
    let mut line = Line::open(server.addr).await;
    for body in ["abc", &"a".repeat(64 << 10)] {
        let head = format!(
            "POST /v1/queues/nobody/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        line.send(head.as_bytes()).await;
        line.send(body.as_bytes()).await;
        let answer = line.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (404, None));
    }
    line.send(NEXT.as_bytes()).await;
    assert_eq!(line.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_before_the_end_of_its_request_says_that_the_connection_ends() {
    let server = Server::start().await;
    for (what, more) in [
        ("a body that does not come", "Content-Length: 3\r\n\r\n"),
        ("a large one", "Content-Length: 1000000\r\n\r\n"),
        ("half of one", "Content-Length: 4\r\n\r\nab"),
        (
            "one without an end",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ),
        (
            "one that waits to be asked for",
            "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        ),
    ] {
        let mut line = Line::open(server.addr).await;
        let request = format!("POST /v1/queues/nobody/jobs HTTP/1.1\r\nHost: localhost\r\n{more}");
        line.send(request.as_bytes()).await;
        let answer = line.answer().await.unwrap();
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
        assert_eq!(answer.status, 404, "{what}");
        assert!(line.answer().await.is_none(), "{what}");
    }
}
