//! Where one request ends and the next begins: whatever two readers could see differently is refused and ends the
//! connection, so that nothing can be hidden in it.

use super::{After, Bed};

/// Hidden in a request; nobody must ever act on it.
const SMUGGLED: &str =
    "POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nsmuggled";

/// A submit with these header lines after `Host`, and these bytes after its head.
fn submit(head: &str, rest: &str) -> String {
    format!("POST /v1/queues/thumbs/jobs HTTP/1.1\r\nHost: localhost\r\n{head}\r\n{rest}")
}

async fn refused(bed: &mut Bed, what: &str, bytes: &str) {
    let (statuses, after) = bed.send(bytes.as_bytes(), what).await;
    assert_eq!((statuses, after), (vec![400], After::Closed), "{what}");
    bed.sound(what).await;
}

#[tokio::test]
async fn a_length_that_can_be_read_in_two_ways_is_refused() {
    let mut bed = Bed::start().await;
    let length = SMUGGLED.len();
    for (what, head) in [
        (
            "two lengths",
            format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        ),
        (
            "the other way round",
            format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        ),
        ("a list of two", format!("Content-Length: 0, {length}\r\n")),
        ("a list of twins", "Content-Length: 0, 0\r\n".to_owned()),
        ("a list with a hole", "Content-Length: 0,\r\n".to_owned()),
        ("a sign", "Content-Length: +0\r\n".to_owned()),
        ("a minus", "Content-Length: -0\r\n".to_owned()),
        ("space inside", "Content-Length: 1 0\r\n".to_owned()),
        ("hexadecimal", "Content-Length: 0x0\r\n".to_owned()),
        ("a point", "Content-Length: 0.0\r\n".to_owned()),
        ("an exponent", "Content-Length: 1e2\r\n".to_owned()),
        ("an underscore", "Content-Length: 1_0\r\n".to_owned()),
        ("quotes", "Content-Length: \"0\"\r\n".to_owned()),
        (
            "a number over 64 bits",
            "Content-Length: 18446744073709551616\r\n".to_owned(),
        ),
        (
            "a number that wraps to 0",
            "Content-Length: 340282366920938463463374607431768211456\r\n".to_owned(),
        ),
        ("other digits", "Content-Length: \u{660}\r\n".to_owned()),
        ("space before the colon", "Content-Length : 0\r\n".to_owned()),
        ("a tab before the colon", "Content-Length\t: 0\r\n".to_owned()),
        ("NUL in the name", "Content-Length\0: 0\r\n".to_owned()),
        ("NUL in the value", "Content-Length: 0\0\r\n".to_owned()),
        ("a vertical tab", "Content-Length: \u{b}0\r\n".to_owned()),
        ("folded", format!("Content-Length:\r\n {length}\r\n")),
        ("folded into another", "X: y\r\n Content-Length: 0\r\n".to_owned()),
        (
            "a carriage return alone",
            format!("X: y\rContent-Length: {length}\r\n"),
        ),
        ("the first line indented", " Content-Length: 0\r\n".to_owned()),
    ] {
        refused(&mut bed, what, &submit(&head, SMUGGLED)).await;
    }
}

#[tokio::test]
async fn a_coding_that_is_not_plainly_chunked_is_refused() {
    let mut bed = Bed::start().await;
    let rest = format!("0\r\n\r\n{SMUGGLED}");
    for (what, head) in [
        ("another coding", "Transfer-Encoding: xchunked\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
        ("gzip", "Transfer-Encoding: gzip\r\n"),
        ("gzip, then chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        (
            "gzip, then chunked on a line of its own",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        (
            "chunked on two lines",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("chunked is not last", "Transfer-Encoding: chunked, gzip\r\n"),
        (
            "chunked, then identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        ("a parameter", "Transfer-Encoding: chunked;x=y\r\n"),
        ("quotes", "Transfer-Encoding: \"chunked\"\r\n"),
        ("a vertical tab", "Transfer-Encoding: \u{b}chunked\r\n"),
        ("a byte that is no ASCII", "Transfer-Encoding: chunked\u{e9}\r\n"),
        ("nothing", "Transfer-Encoding:\r\n"),
        ("space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("folded", "Transfer-Encoding:\r\n chunked\r\n"),
        ("folded in two", "Transfer-Encoding: xchu\r\n nked\r\n"),
        ("NUL", "Transfer-Encoding: chunked\0\r\n"),
        ("a carriage return", "Transfer-Encoding: chunked\rX: y\r\n"),
        ("hidden in a name", "X\r: y\r\nTransfer-Encoding: xchunked\r\n"),
        (
            "with two lengths",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\nContent-Length: 1\r\n",
        ),
    ] {
        refused(&mut bed, what, &submit(head, &rest)).await;
    }
}

/// With both framings the coding counts and the connection ends (RFC 9112 section 6.3), whichever comes first.
#[tokio::test]
async fn after_two_framings_nothing_hidden_is_read() {
    let mut bed = Bed::start().await;
    for head in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 300\r\n",
        "transfer-encoding: CHUNKED\r\ncontent-length: 0\r\n",
    ] {
        let bytes = submit(head, &format!("1\r\nx\r\n0\r\n\r\n{SMUGGLED}"));
        let (statuses, after) = bed.send(bytes.as_bytes(), head).await;
        assert_eq!((statuses, after), (vec![202], After::Closed), "{head}");
        bed.sound(head).await;
    }
}

#[tokio::test]
async fn chunks_that_can_be_read_in_two_ways_are_refused() {
    let mut bed = Bed::start().await;
    for (what, chunks) in [
        ("a size over 64 bits", "10000000000000001\r\nx\r\n0\r\n\r\n"),
        ("a size that wraps", "ffffffffffffffff\r\nx\r\n0\r\n\r\n"),
        ("a size with a sign", "+1\r\nx\r\n0\r\n\r\n"),
        ("a size below nothing", "-1\r\nx\r\n0\r\n\r\n"),
        ("a size in C", "0x1\r\nx\r\n0\r\n\r\n"),
        ("a size that is none", "g\r\nx\r\n0\r\n\r\n"),
        ("no size", "\r\nx\r\n0\r\n\r\n"),
        ("only an extension", ";a=b\r\nx\r\n0\r\n\r\n"),
        ("a line feed alone after the size", "1\nx\r\n0\r\n\r\n"),
        ("a line feed alone after the chunk", "1\r\nx\n0\r\n\r\n"),
        ("a carriage return alone after the size", "1\rx\r\n0\r\n\r\n"),
        ("a line feed in an extension", "1;a\nb\r\nx\r\n0\r\n\r\n"),
        ("a chunk longer than it says", "1\r\nxyz\r\n0\r\n\r\n"),
        ("NUL after the size", "1\0\r\nx\r\n0\r\n\r\n"),
    ] {
        let bytes = submit("Transfer-Encoding: chunked\r\n", &format!("{chunks}{SMUGGLED}"));
        let (statuses, after) = bed.send(bytes.as_bytes(), what).await;
        assert_eq!((statuses, after), (vec![400], After::Closed), "{what}");
        bed.sound(what).await;
    }
}

#[tokio::test]
async fn extensions_and_trailers_without_end_are_refused() {
    let mut bed = Bed::start().await;
    for (what, chunks) in [
        (
            "one extension",
            format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(100_000)),
        ),
        (
            "an extension to each chunk",
            format!("{}0\r\n\r\n", "1;aaaaaaaaaaaaaaaa\r\nx\r\n".repeat(5_000)),
        ),
        (
            "one trailer",
            format!("1\r\nx\r\n0\r\nX: {}\r\n\r\n", "y".repeat(100_000)),
        ),
        (
            "trailers",
            format!("1\r\nx\r\n0\r\n{}\r\n", "X: y\r\n".repeat(5_000)),
        ),
    ] {
        let bytes = submit("Transfer-Encoding: chunked\r\n", &chunks);
        let (statuses, after) = bed.send(bytes.as_bytes(), what).await;
        assert_eq!((statuses, after), (vec![400], After::Closed), "{what}");
        bed.sound(what).await;
    }
}

#[tokio::test]
async fn a_trailer_changes_nothing() {
    let mut bed = Bed::start().await;
    for trailer in [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: evil.example\r\n",
        "Raincheck-Priority: 0\r\n",
        "Authorization: Bearer x\r\n",
        "Idempotency-Key: k\r\n",
    ] {
        let bytes = submit(
            "Transfer-Encoding: chunked\r\n",
            &format!("1\r\nx\r\n0\r\n{trailer}\r\n"),
        );
        let (statuses, after) = bed.send(bytes.as_bytes(), trailer).await;
        assert_eq!((statuses, after), (vec![202], After::Open), "{trailer}");
        bed.sound(trailer).await;
    }
    let leased = bed.server.claim("thumbs").await.unwrap();
    assert_eq!(leased.job.priority, raincheck::core::job::PRIORITY_DEFAULT);
}

#[tokio::test]
async fn whose_host_it_is_cannot_be_read_in_two_ways() {
    let mut bed = Bed::start().await;
    for (what, request, status) in [
        (
            "a target elsewhere",
            "GET http://evil.example/v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "a host elsewhere",
            "GET http://localhost/v1/jobs HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            400,
        ),
        (
            "another port",
            "GET http://localhost:1/v1/jobs HTTP/1.1\r\nHost: localhost:2\r\n\r\n",
            400,
        ),
        (
            "a user in the target",
            "GET http://localhost@evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "two hosts in one",
            "GET /v1/jobs HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n",
            400,
        ),
        (
            "a path in the host",
            "GET /v1/jobs HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
            400,
        ),
        (
            "a host folded",
            "GET /v1/jobs HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n",
            400,
        ),
        (
            "a host after space",
            "GET /v1/jobs HTTP/1.1\r\nHost : localhost\r\n\r\n",
            400,
        ),
        (
            "two spellings",
            "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nhOST: localhost\r\n\r\n",
            400,
        ),
        (
            "NUL in the host",
            "GET /v1/jobs HTTP/1.1\r\nHost: local\0host\r\n\r\n",
            400,
        ),
        (
            "the host of a forwarder",
            "GET /v1/jobs HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n\r\n",
            403,
        ),
        (
            "an empty port",
            "GET /v1/jobs HTTP/1.1\r\nHost: evil.example:\r\n\r\n",
            403,
        ),
        (
            "a dot after",
            "GET /v1/jobs HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n",
            403,
        ),
        (
            "an address in one number",
            "GET /v1/jobs HTTP/1.1\r\nHost: 2130706433\r\n\r\n",
            403,
        ),
        ("the target *", "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (
            "a target without slash",
            "GET v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            // What is behind it is cut off, as if it were not there.
            "a fragment",
            "GET /v1/jobs#x HTTP/1.1\r\nHost: localhost\r\n\r\n",
            200,
        ),
        (
            "NUL in the target",
            "GET /v1/\0jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "a tab in the first line",
            "GET\t/v1/jobs\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "two spaces",
            "GET  /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "a small http",
            "GET /v1/jobs http/1.1\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "version 1.2",
            "GET /v1/jobs HTTP/1.2\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "version 11",
            "GET /v1/jobs HTTP/11\r\nHost: localhost\r\n\r\n",
            400,
        ),
    ] {
        let (statuses, _) = bed.send(request.as_bytes(), what).await;
        assert_eq!(statuses, [status], "{what}");
        bed.sound(what).await;
    }
}

/// Bare line feeds are taken as line ends where a head is read, as RFC 9112 section 2.2 allows: a front that does not
/// take them must not pass them on. What is never taken is a request that a reader of CR LF would not see.
#[tokio::test]
async fn a_request_is_never_split_by_what_is_inside_of_it() {
    let mut bed = Bed::start().await;
    for (what, bytes) in [
        (
            "in a header",
            format!("GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nX: y\r{SMUGGLED}"),
        ),
        (
            "in the target",
            "GET /v1/queues%0d%0aHost:%20evil HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        ),
        (
            "in the query",
            "GET /v1/jobs?tag=x%0d%0a%0d%0aPOST%20/ HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        ),
        (
            "in a key",
            submit("Idempotency-Key: \"a\\\r\\\nb\"\r\nContent-Length: 0\r\n", ""),
        ),
    ] {
        let (statuses, _) = bed.send(bytes.as_bytes(), what).await;
        assert!(
            statuses.len() == 1 && (400..500).contains(&statuses[0])
                || what == "in the query" && statuses == [200],
            "{what}: {statuses:?}"
        );
        bed.sound(what).await;
    }
    // What a caller put in does not come out as a header of an answer.
    let job = bed
        .ask(
            "POST",
            "/v1/queues/thumbs/jobs",
            "Content-Type: text/plain\r\n",
            b"\r\nX: y\r\n\r\n",
        )
        .await;
    let input = bed
        .server
        .get(&format!("/v1/jobs/{}/input", job.job()))
        .send()
        .await;
    assert_eq!((input.text(), input.header("x")), ("\r\nX: y\r\n\r\n", None));
    bed.sound("an input").await;
}

#[tokio::test]
async fn a_thousand_requests_in_one_write_are_a_thousand_requests() {
    let mut bed = Bed::start().await;
    let one = submit("Content-Length: 1\r\n", "x");
    let (statuses, after) = bed.send(one.repeat(1_000).as_bytes(), "a thousand").await;
    assert_eq!((statuses, after), (vec![202; 1_000], After::Open));
    // The first that is refused ends it: what was taken before stays taken.
    let broken = format!(
        "{}{}{}",
        one.repeat(3),
        submit("Content-Length: x\r\n", ""),
        one.repeat(3)
    );
    let (statuses, after) = bed.send(broken.as_bytes(), "a broken one in the middle").await;
    assert_eq!((statuses, after), (vec![202, 202, 202, 400], After::Closed));
    bed.sound("a thousand and three").await;
}
