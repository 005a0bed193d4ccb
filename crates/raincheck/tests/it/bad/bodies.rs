//! Bodies that are not what their head says: larger, smaller, none, announced and never sent.

use raincheck::api::ApiOptions;

use super::{After, Bed, NEXT};
use crate::client::Line;
use crate::harness::{Server, Setup};

const SUBMIT: &str = "POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\n";
/// The limit of a queue's bodies, and one more.
const LIMIT: usize = 1 << 20;

#[tokio::test]
async fn a_body_shorter_than_it_says_stores_nothing() {
    let mut bed = Bed::start().await;
    for (what, head, part) in [
        ("one byte short", "Content-Length: 6\r\n", "hello"),
        ("nothing of much", "Content-Length: 1000000\r\n", ""),
        ("a chunk cut", "Transfer-Encoding: chunked\r\n", "5\r\nhel"),
        (
            "no last chunk",
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n",
        ),
        (
            "no end of trailers",
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\nX: y\r\n",
        ),
        (
            "only half the end",
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n",
        ),
    ] {
        for path in ["/v1/queues/thumbs/jobs", "/v1/jobs", "/v1/batches?queue=thumbs"] {
            let kind = if path == "/v1/jobs" {
                "application/json"
            } else {
                "application/x-ndjson"
            };
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{head}\r\n{part}"
            );
            let mut line = Line::open(bed.server.addr).await;
            line.send(request.as_bytes()).await;
            line.finish().await;
            while let Some(answer) = line.answer().await {
                bed.note(&answer, what);
                assert_eq!(answer.status, 400, "{what} to {path}");
            }
            bed.sound(what).await;
        }
    }
}

#[tokio::test]
async fn a_body_longer_than_it_says_is_another_request_and_a_bad_one() {
    let mut bed = Bed::start().await;
    for rest in ["\0\0\0\0", "{\"queue\":\"thumbs\"}", "hello\r\n\r\n"] {
        let bytes = format!("{SUBMIT}Content-Length: 2\r\n\r\nab{rest}");
        let (statuses, after) = bed.send(bytes.as_bytes(), rest).await;
        assert_eq!((statuses, after), (vec![202, 400], After::Closed), "{rest:?}");
        bed.sound(rest).await;
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let mut bed = Bed::start().await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    for (what, head, body, status) in [
        (
            "as large as may be",
            format!("Content-Length: {LIMIT}\r\n"),
            "x".repeat(LIMIT),
            202,
        ),
        (
            "one byte more",
            format!("Content-Length: {}\r\n", LIMIT + 1),
            "x".repeat(LIMIT + 1),
            413,
        ),
        (
            "a claim of 8 EiB",
            "Content-Length: 9223372036854775807\r\n".to_owned(),
            String::new(),
            413,
        ),
        (
            "a claim of 16 EiB",
            "Content-Length: 18446744073709551613\r\n".to_owned(),
            String::new(),
            413,
        ),
        (
            "chunks as large as may be",
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("{}0\r\n\r\n", chunk.repeat(16)),
            202,
        ),
        (
            "chunks and one byte",
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("{}1\r\nx\r\n0\r\n\r\n", chunk.repeat(16)),
            413,
        ),
        (
            "a chunk of 8 EiB",
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("7fffffffffffffff\r\n{}", "x".repeat(2 * LIMIT)),
            413,
        ),
        (
            "chunks without end",
            "Transfer-Encoding: chunked\r\n".to_owned(),
            chunk.repeat(200),
            413,
        ),
    ] {
        let mut line = Line::open(bed.server.addr).await;
        line.send(format!("{SUBMIT}{head}\r\n").as_bytes()).await;
        line.send(body.as_bytes()).await;
        let answer = line.answer().await.unwrap_or_else(|| panic!("{what}: no answer"));
        bed.note(&answer, what);
        assert_eq!(answer.status, status, "{what}");
        if status == 413 {
            assert_eq!(
                (answer.code().as_str(), answer.header("connection")),
                ("body-too-large", Some("close"))
            );
        }
        bed.sound(what).await;
    }
}

/// The largest heads and bodies there are cost what they are and no more: a claim reserves nothing.
#[tokio::test]
async fn claims_of_huge_bodies_reserve_nothing() {
    let bed = Bed::start().await;
    let mut lines = Vec::new();
    for _ in 0..200 {
        let mut line = Line::open(bed.server.addr).await;
        line.send(format!("{SUBMIT}Content-Length: {LIMIT}\r\n\r\n").as_bytes())
            .await;
        line.send(b"x").await;
        lines.push(line);
    }
    bed.sound("200 announcements").await;
    drop(lines);
    bed.sound("200 that left").await;
}

#[tokio::test]
async fn who_expects_to_be_told_is_told_before_sending() {
    let mut bed = Bed::start().await;
    let limit = format!("Content-Length: {LIMIT}\r\n");
    for (what, path, head, status) in [
        (
            "all is well",
            "/v1/queues/thumbs/jobs",
            "Content-Length: 2\r\n",
            100,
        ),
        ("the largest", "/v1/queues/thumbs/jobs", limit.as_str(), 100),
        (
            "too large",
            "/v1/queues/thumbs/jobs",
            "Content-Length: 1048577\r\n",
            413,
        ),
        (
            "no such queue",
            "/v1/queues/none/jobs",
            "Content-Length: 2\r\n",
            404,
        ),
        (
            "no such option",
            "/v1/queues/thumbs/jobs",
            "Content-Length: 2\r\nRaincheck-Colour: x\r\n",
            400,
        ),
        (
            "an option that cannot be",
            "/v1/queues/thumbs/jobs",
            "Content-Length: 2\r\nRaincheck-Priority: x\r\n",
            400,
        ),
        ("no such path", "/v1/nowhere", "Content-Length: 2\r\n", 404),
        (
            "another page's",
            "/v1/queues/thumbs/jobs",
            "Content-Length: 2\r\nOrigin: http://evil.example\r\n",
            403,
        ),
        (
            "no JSON",
            "/v1/jobs",
            "Content-Length: 2\r\nContent-Type: text/plain\r\n",
            415,
        ),
        (
            "coded JSON",
            "/v1/jobs",
            "Content-Length: 2\r\nContent-Encoding: gzip\r\n",
            415,
        ),
    ] {
        let mut line = Line::open(bed.server.addr).await;
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{head}\r\n");
        line.send(request.as_bytes()).await;
        let answer = line.answer().await.unwrap();
        bed.note(&answer, what);
        assert_eq!(answer.status, status, "{what}");
        if status != 100 {
            // The body was not asked for, so nobody knows whether what comes next is it.
            line.send(NEXT.as_bytes()).await;
            assert!(line.answer().await.is_none(), "{what}: the connection ends");
        }
        bed.sound(what).await;
    }
}

#[tokio::test]
async fn an_expectation_that_nobody_knows_is_no_reason_to_hang() {
    let mut bed = Bed::start().await;
    for expect in ["200-ok", "100-continue, x", ""] {
        let bytes = format!("{SUBMIT}Expect: {expect}\r\nContent-Length: 1\r\n\r\nx");
        let (statuses, _) = bed.send(bytes.as_bytes(), expect).await;
        let last = statuses.last();
        assert!(matches!(last, Some(202 | 417)), "{expect:?}: {statuses:?}");
        bed.sound(expect).await;
    }
}

#[tokio::test]
async fn a_body_where_none_belongs_is_read_over_or_ends_the_connection() {
    let mut bed = Bed::start().await;
    for (method, path) in [
        ("GET", "/v1/queues"),
        ("DELETE", "/v1/jobs/x"),
        ("GET", "/nowhere"),
        ("PUT", "/v1/jobs"),
    ] {
        for body in ["{}", "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            bed.ask(method, path, "", body.as_bytes()).await;
        }
        // Larger than the connection reads ahead: it may end here, but nothing of the body is taken for a request.
        let hidden = "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(80_000);
        let length = hidden.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{hidden}"
        );
        let (statuses, _) = bed.send(request.as_bytes(), path).await;
        assert_eq!(statuses.len(), 1, "{method} {path}: {statuses:?}");
    }
    bed.sound("bodies where none belong").await;
}

/// Clients that send most of a body and wait take no more memory than there is for all bodies together.
#[tokio::test]
async fn half_bodies_take_no_more_than_there_is_for_all() {
    let api = ApiOptions {
        bodies_bytes_max: 1 << 20,
        ..ApiOptions::default()
    };
    let mut bed = Bed::of(
        Server::with(Setup {
            api,
            ..Setup::default()
        })
        .await,
    );
    let most = vec![b'x'; LIMIT - 1];
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() < 8, "nobody is refused");
        let mut line = Line::open(bed.server.addr).await;
        line.send(format!("{SUBMIT}Content-Length: {LIMIT}\r\n\r\n").as_bytes())
            .await;
        line.send(&most).await;
        tokio::select! {
            biased;
            answer = line.answer() => break answer.unwrap(),
            () = tokio::time::sleep(std::time::Duration::from_millis(300)) => held.push(line),
        }
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    assert_eq!(
        (
            refused.header("retry-after"),
            refused.header("connection"),
            refused.outcome()
        ),
        (Some("1"), Some("close"), None)
    );
    // What fits into one read is taken meanwhile, and the others once there is room.
    let small = bed.ask("POST", "/v1/queues/thumbs/jobs", "", b"small").await;
    assert_eq!(small.status, 202);
    for line in &mut held {
        line.send(b"x").await;
        let answer = line.answer().await.unwrap();
        bed.note(&answer, "a body that was held back");
        assert_eq!(answer.status, 202);
    }
    let large = bed
        .ask(
            "POST",
            "/v1/queues/thumbs/jobs",
            "",
            &[most, b"x".to_vec()].concat(),
        )
        .await;
    assert_eq!(large.status, 202);
    bed.sound("half bodies").await;
}
