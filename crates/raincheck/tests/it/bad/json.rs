//! JSON that is none, or that strict readers differ about: the same for every path that reads JSON.

use super::Bed;
use crate::client::Line;

/// What is not one JSON document in UTF-8 (RFC 8259), by name.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let mut all: Vec<(&str, Vec<u8>)> = [
        ("nothing", ""),
        ("only space", " \r\n\t"),
        ("no value", "{\"queue\":}"),
        ("no colon", "{\"queue\" \"thumbs\"}"),
        ("two colons", "{\"queue\"::\"thumbs\"}"),
        ("a comma before", "{,\"queue\":\"thumbs\"}"),
        ("a comma after", "{\"queue\":\"thumbs\",}"),
        ("two commas", "{\"queue\":\"thumbs\",,\"priority\":1}"),
        ("no comma", "{\"queue\":\"thumbs\" \"priority\":1}"),
        ("a name that is a number", "{1:1}"),
        ("a name without quotes", "{queue:\"thumbs\"}"),
        ("single quotes", "{'queue':'thumbs'}"),
        ("an end too many", "{\"queue\":\"thumbs\"}}"),
        ("something after the end", "{\"queue\":\"thumbs\"} x"),
        ("two documents", "{\"queue\":\"thumbs\"}{\"queue\":\"thumbs\"}"),
        ("the other end", "{\"queue\":\"thumbs\"]"),
        ("no end", "{\"queue\":\"thumbs\""),
        ("a text without end", "{\"queue\":\"thumbs"),
        ("an escape without end", "{\"queue\":\"\\"),
        ("an escape that is none", "{\"queue\":\"\\x41\"}"),
        ("an escape of three digits", "{\"queue\":\"\\u12\"}"),
        ("an escape that is no number", "{\"queue\":\"\\uZZZZ\"}"),
        ("a comment", "{\"queue\":/* x */\"thumbs\"}"),
        ("a comment after", "{\"queue\":\"thumbs\"}// x"),
        ("not a number", "{\"queue\":NaN}"),
        ("infinity", "{\"queue\":-Infinity}"),
        ("a plus", "{\"queue\":+1}"),
        ("a leading zero", "{\"queue\":01}"),
        ("hexadecimal", "{\"queue\":0x10}"),
        ("a point without digits", "{\"queue\":1.}"),
        ("a point first", "{\"queue\":.5}"),
        ("an exponent without digits", "{\"queue\":1e}"),
        ("a minus alone", "{\"queue\":-}"),
        ("a word in capitals", "{\"queue\":True}"),
        ("half a word", "{\"queue\":nul}"),
        ("a form feed as space", "{\u{c}\"queue\":\"thumbs\"}"),
        ("a space that is none", "{\u{a0}\"queue\":\"thumbs\"}"),
        ("a line feed in a text", "{\"queue\":\"thu\nmbs\"}"),
        ("a tab in a text", "{\"queue\":\"thu\tmbs\"}"),
        ("a byte order mark", "\u{feff}{\"queue\":\"thumbs\"}"),
        ("a byte order mark after", "{\"queue\":\"thumbs\"}\u{feff}"),
        ("NUL after the end", "{\"queue\":\"thumbs\"}\0"),
        ("NUL in a text", "{\"queue\":\"thu\0mbs\"}"),
        ("NUL between", "{\0\"queue\":\"thumbs\"}"),
        ("only NUL", "\0\0\0\0"),
        ("a closing brace", "}"),
        ("brackets that cross", "{\"queue\":[\"thumbs\"}]"),
    ]
    .map(|(name, text)| (name, text.as_bytes().to_vec()))
    .to_vec();
    for (name, bytes) in [
        ("a byte that is no UTF-8", &b"{\"queue\":\"\xff\"}"[..]),
        ("a slash in too many bytes", b"{\"queue\":\"\xc0\xaf\"}"),
        ("NUL in two bytes", b"{\"queue\":\"\xc0\x80\"}"),
        ("a surrogate in UTF-8", b"{\"queue\":\"\xed\xa0\x80\"}"),
        ("beyond Unicode", b"{\"queue\":\"\xf4\xbf\xbf\xbf\"}"),
        ("half a character", b"{\"queue\":\"\xe2\x82\"}"),
        ("a continuation alone", b"{\"queue\":\"\x80\"}"),
        ("a name that is no UTF-8", b"{\"\xff\":1}"),
        ("Latin-1", b"{\"queue\":\"caf\xe9\"}"),
        ("UTF-16 with its mark", b"\xff\xfe{\0\"\0q\0\"\0:\x001\0}\0"),
        ("UTF-16 without", b"\0{\0\"\0q\0\"\0:\x001\0}"),
    ] {
        all.push((name, bytes.to_vec()));
    }
    for (name, part) in [("arrays", "["), ("objects", "{\"a\":"), ("both", "[{\"a\":")] {
        all.push((name, part.repeat(10_000).into_bytes()));
    }
    all
}

/// What reads one JSON object. None of them exists to be changed: a document that was taken would be found.
const READERS: [(&str, &str); 12] = [
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs/bulk"),
    ("PATCH", "/v1/jobs/JOB"),
    ("PUT", "/v1/queues/other"),
    ("PUT", "/v1/queues/thumbs/groups/g"),
    ("POST", "/v1/queues/thumbs/claim"),
    ("POST", "/v1/leases/LEASE/renew"),
    ("POST", "/v1/leases/LEASE/fail"),
    ("POST", "/v1/leases/LEASE/release"),
    ("POST", "/v1/leases/LEASE/emit"),
    ("POST", "/v1/leases"),
    ("POST", "/v1/keys"),
];

#[tokio::test]
async fn what_is_no_json_is_refused_by_every_path_that_reads_it() {
    let mut bed = Bed::start().await;
    let job = bed.server.submit("x").await;
    bed.taken.insert(job.clone());
    let lease = bed.server.claim("thumbs").await.unwrap().job.lease_id().unwrap();
    for (method, path) in READERS {
        let path = path.replace("JOB", &job).replace("LEASE", &lease.to_string());
        for (name, document) in malformed() {
            // Nothing at all is an object without fields where every field may be left out.
            let optional = name.starts_with("nothing")
                && (path.ends_with("renew")
                    || path.ends_with("release")
                    || path.ends_with("fail")
                    || path.ends_with("claim"));
            if optional {
                continue;
            }
            let answer = bed
                .ask(method, &path, "Content-Type: application/json\r\n", &document)
                .await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "bad-request"),
                "{name} to {method} {path}"
            );
            assert!(
                answer.body.len() < 600 && !answer.text().contains("[[["),
                "the answer repeats nothing long: {name} to {path}"
            );
        }
        bed.sound(&path).await;
    }
    let unchanged = bed.server.get(&format!("/v1/jobs/{job}")).send().await.json();
    assert_eq!(
        (&unchanged["state"], &unchanged["version"]),
        (&"running".into(), &2.into())
    );
    assert_eq!(bed.server.get("/v1/queues/other").send().await.status, 404);
}

/// JSON that readers differ about, as an input: well-formed, so it is taken as it is.
const DOUBTFUL: [&str; 16] = [
    "1e400",
    "-1e400",
    "1e-400",
    "-0",
    "-0.0",
    "123456789012345678901234567890",
    "0.1000000000000000055511151231257827021181583404541015625",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud800\\ud800\"",
    "\"\\u0000\"",
    "\"\\ufffe\"",
    "{\"a\":1,\"a\":2}",
    "{\"\":0}",
    "{\"__proto__\":{\"x\":1}}",
    "\"\u{2028}\u{7f}\"",
];

#[tokio::test]
async fn json_that_readers_differ_about_is_kept_byte_by_byte() {
    let mut bed = Bed::start().await;
    for input in DOUBTFUL {
        let submission = format!("{{\"queue\":\"thumbs\",\"input\":{input}}}");
        let one = bed.ask("POST", "/v1/jobs", "", submission.as_bytes()).await;
        let list = format!("[{submission}]");
        let many = bed.ask("POST", "/v1/jobs", "", list.as_bytes()).await;
        for id in [one.job(), many.json()[0]["id"].as_str().unwrap().to_owned()] {
            let kept = bed.server.get(&format!("/v1/jobs/{id}/input")).send().await;
            assert_eq!(kept.text(), input);
        }
    }
    bed.sound("all of them").await;
}

/// Fields of ours in which the same things stand: refused, and the field named.
#[tokio::test]
async fn options_out_of_every_range_are_refused() {
    let mut bed = Bed::start().await;
    for (field, values) in [
        (
            "queue",
            &[
                "1",
                "[]",
                "{}",
                "\"\"",
                "\"\\u0000\"",
                "\"\\ud800\"",
                "\"../x\"",
                "\"a b\"",
            ][..],
        ),
        (
            "priority",
            &[
                "-1",
                "10",
                "1.5",
                "1e400",
                "-0.5",
                "99999999999999999999",
                "\"x\"",
                "[5]",
                "true",
            ],
        ),
        (
            "max_attempts",
            &["0", "101", "-5", "1e2", "18446744073709551616", "\"\"", "{}"],
        ),
        (
            "delay",
            &[
                "\"-1s\"",
                "\"99999999999999999999h\"",
                "\"1e9d\"",
                "\"\\u0000\"",
                "\"s\"",
                "[]",
                "\"1s \\u0661m\"",
            ],
        ),
        (
            "run_at",
            &[
                "\"yesterday\"",
                "\"@99999999999999999999\"",
                "\"@-1\"",
                "\"2026-02-30T00:00:00Z\"",
                "{}",
            ],
        ),
        ("timeout", &["\"0s\"", "\"\"", "\"10000000d\"", "-1"]),
        ("deadline", &["\"\"", "\"-5m\"", "\"18446744073709551615d\""]),
        ("keep", &["\"forever\"", "\"99999999999d\"", "-1"]),
        (
            "backoff",
            &[
                "\"linear\"",
                "\"exponential;base=-1s\"",
                "\"constant;base=\"",
                "7",
            ],
        ),
        ("group", &["1", "\"\\u0000\"", "\"\\ud83d\""]),
        ("tags", &["[1]", "[\"\\ud800\"]", "[null]", "{}", "[[\"a\"]]"]),
        (
            "unique",
            &[
                "7",
                "{}",
                "{\"value\":1}",
                "{\"value\":\"x\",\"while\":\"ever\"}",
                "{\"value\":\"x\",\"colour\":1}",
            ],
        ),
        (
            "callback",
            &[
                "\"x\"",
                "{}",
                "{\"url\":\"ftp://x\"}",
                "{\"url\":\"http://a b/\"}",
                "{\"url\":\"http://[::1\"}",
            ],
        ),
        (
            "idempotency_key",
            &["1", "\"\"", "\"\\u0000\"", "\"\\n\"", "\"\\ud800\"", "\"\u{e9}\""],
        ),
        ("content_type", &["1", "\"\"", "\"a\\r\\nb: c\"", "\"\\u0000\""]),
        (
            "input_base64",
            &["\"=\"", "\"YQ\"", "\"Y Q==\"", "\"YQ==YQ==\"", "1", "\"\\u0000\""],
        ),
        ("input_text", &["1", "\"\\ud800\"", "[]"]),
        ("\\u0071ueue", &["\"thumbs\""]),
        ("__proto__", &["{}"]),
        ("", &["1"]),
    ] {
        for value in values {
            let queue = if field == "queue" {
                ""
            } else {
                "\"queue\":\"thumbs\","
            };
            let submission = format!("{{{queue}\"{field}\":{value}}}");
            let answer = bed.ask("POST", "/v1/jobs", "", submission.as_bytes()).await;
            assert_eq!(answer.status, 400, "{submission}");
            assert_eq!(answer.code(), "bad-request", "{submission}");
            let pointer = answer.json()["errors"][0]["pointer"].clone();
            assert!(pointer.is_string(), "it is pointed at: {submission}: {pointer}");
            let lines = bed
                .ask(
                    "POST",
                    "/v1/jobs",
                    "Content-Type: application/x-ndjson\r\n",
                    submission.as_bytes(),
                )
                .await;
            assert_eq!(lines.json()[0]["code"], "bad-request", "{submission}");
        }
    }
    bed.sound("options").await;
}

#[tokio::test]
async fn a_list_that_is_cut_anywhere_stores_nothing() {
    let mut bed = Bed::start().await;
    let list = br#"[{"queue":"thumbs","input":"\u00e4"},{"queue":"thumbs","tags":["a","b"]}]"#;
    for cut in 0..list.len() {
        let answer = bed
            .ask(
                "POST",
                "/v1/jobs",
                "Content-Type: application/json\r\n",
                &list[..cut],
            )
            .await;
        assert_eq!(answer.code(), "bad-request", "cut at {cut}");
    }
    bed.sound("lists that were cut").await;
}

#[tokio::test]
async fn lines_of_a_batch_that_are_no_json_are_counted_and_harm_no_other() {
    let mut bed = Bed::start().await;
    let (mut body, mut bad) = (Vec::new(), 0);
    for (_, document) in malformed() {
        if document.trim_ascii().is_empty() || document.contains(&b'\n') {
            continue;
        }
        bad += 1;
        body.extend_from_slice(&document);
        body.push(b'\n');
    }
    body.extend_from_slice(b"{\"queue\":\"thumbs\",\"input\":7}\n");
    let answer = bed
        .ask(
            "POST",
            "/v1/batches",
            "Content-Type: application/x-ndjson\r\n",
            &body,
        )
        .await;
    let batch = answer.json();
    assert_eq!(
        (&batch["total"], &batch["rejected"]),
        (&(bad + 1).into(), &bad.into()),
        "{batch}"
    );
    // The batch's id is no job's.
    bed.taken.clear();
    let leased = bed.server.claim("thumbs").await.unwrap();
    assert_eq!(leased.input.body, "7");
    bed.taken.insert(leased.job.id.to_string());
    bed.sound("a batch").await;
}

#[tokio::test]
async fn names_in_the_path_that_cannot_be_are_not_found() {
    let bed = Bed::start().await;
    let long = "x".repeat(4_000);
    for name in [
        "%00",
        "%2e%2e",
        "..",
        "%2F",
        "thumbs%00",
        "thumbs%20",
        "THUMBS%",
        "%",
        "%zz",
        "job_",
        "-",
        long.as_str(),
        "job_00000000000000000000000000",
        "job_zzzzzzzzzzzzzzzzzzzzzzzzzz",
        "l_",
        "%F0%9F%92%A9",
        ";",
        "a=b",
        "*",
    ] {
        for (method, path) in [
            ("GET", "/v1/jobs/NAME"),
            ("GET", "/v1/jobs/NAME/result"),
            ("DELETE", "/v1/jobs/NAME"),
            ("GET", "/v1/queues/NAME"),
            ("POST", "/v1/queues/NAME/jobs"),
            ("POST", "/v1/leases/NAME/succeed"),
            ("GET", "/v1/batches/NAME"),
            ("DELETE", "/v1/keys/NAME"),
            ("GET", "/problems/NAME"),
            ("GET", "/NAME"),
        ] {
            let path = path.replace("NAME", name);
            let mut line = Line::open(bed.server.addr).await;
            let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
            line.send(head.as_bytes()).await;
            let answer = line.answer().await.unwrap();
            let refused = [400, 404, 409, 414].contains(&answer.status);
            assert!(refused, "{method} {path}: {answer:?}");
            answer.code();
        }
    }
    bed.sound("names").await;
}
