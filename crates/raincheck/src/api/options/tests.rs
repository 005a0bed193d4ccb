//! What the options table takes and refuses.

use super::*;
use http::header::HeaderMap;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn refused(pairs: &[(&'static str, &str)]) -> String {
    Head::read(&headers(pairs)).unwrap_err().detail().to_owned()
}

#[test]
fn the_table_is_alphabetical_and_header_and_field_are_one_name() {
    assert!(TABLE.is_sorted_by_key(|rule| rule.header));
    for rule in &TABLE {
        // One header holds several tags, as a list header's name says.
        let name = if rule.field == "tags" { "tag" } else { rule.field };
        assert_eq!(rule.header, format!("raincheck-{}", name.replace('_', "-")));
    }
}

#[test]
fn the_example_of_every_option_is_taken() {
    for (row, rule) in TABLE.iter().enumerate() {
        Asked::default()
            .take(row, rule.example.into())
            .unwrap_or_else(|why| panic!("{}: {why}", rule.field));
    }
}

#[test]
fn an_option_given_twice_is_named() {
    assert_eq!(
        refused(&[("raincheck-priority", "1"), ("raincheck-priority", "1")]),
        "Raincheck-Priority: given twice"
    );
    assert_eq!(
        refused(&[("idempotency-key", "a"), ("idempotency-key", "a")]),
        "Idempotency-Key: given twice"
    );
}

#[test]
fn an_option_that_cannot_be_is_named_with_what_can() {
    for (name, value, detail) in [
        (
            "raincheck-priority",
            "10",
            "Raincheck-Priority: takes a whole number, 0 to 9",
        ),
        (
            "raincheck-priority",
            "+1",
            "Raincheck-Priority: takes a whole number, 0 to 9",
        ),
        (
            "raincheck-max-attempts",
            "0",
            "Raincheck-Max-Attempts: takes a whole number, 1 to 100",
        ),
        ("raincheck-keep", "0s", "Raincheck-Keep: takes 1s to 366d"),
        (
            "raincheck-timeout",
            "400d",
            "Raincheck-Timeout: takes 1ms to 366d",
        ),
        (
            "raincheck-delay",
            "10",
            "Raincheck-Delay: not a duration: write one such as 500ms, 30s, 10m, 1h30m or 7d",
        ),
        (
            "raincheck-forward",
            "a b",
            "Raincheck-Forward: \"a b\" is not a header's name",
        ),
        (
            "raincheck-forward",
            "Authorization",
            "Raincheck-Forward: authorization cannot be forwarded",
        ),
        (
            "raincheck-tags",
            "eu",
            "Raincheck-Tags: there is no such option; did you mean Raincheck-Tag?",
        ),
    ] {
        assert_eq!(refused(&[(name, value)]), detail);
    }
}

#[test]
fn tags_are_a_list_of_at_most_sixteen_each_once() {
    let tags = |text: &str| {
        let tags = Head::read(&headers(&[("raincheck-tag", text)]))
            .unwrap()
            .asked
            .options
            .tags;
        tags.iter().map(|tag| tag.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tags("eu"), ["eu"]);
    assert_eq!(tags(" eu ,, big one,eu, "), ["eu", "big one"]);
    assert_eq!(tags(""), [""; 0]);
    let many: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
    assert_eq!(tags(&many[..16].join(",")).len(), 16);
    let refused = |text: &str| refused(&[("raincheck-tag", text)]);
    assert_eq!(refused(&many.join(",")), "Raincheck-Tag: takes at most 16 tags");
    assert_eq!(
        refused(&"x".repeat(256)),
        "Raincheck-Tag: a tag takes 1 to 255 bytes of text without control characters or outer spaces"
    );
}

#[test]
fn delay_and_run_at_exclude_each_other() {
    assert!(refused(&[("raincheck-delay", "1m"), ("raincheck-run-at", "@1")]).contains("exclude"));
}

#[test]
fn what_raincheck_sends_to_handlers_is_ignored() {
    let pairs = [
        ("raincheck-job", "job_x"),
        ("raincheck-attempt", "1"),
        ("raincheck-fence", "1"),
        ("raincheck-attempt-deadline", "@1"),
        ("raincheck-lease", "http://a/"),
    ];
    assert!(Head::read(&headers(&pairs)).is_ok());
}

#[test]
fn a_key_is_a_quoted_string_or_taken_raw() {
    let long = "k".repeat(255);
    for (text, key) in [
        ("abc", "abc"),
        (r#""abc""#, "abc"),
        (r#""a b \" \\""#, r#"a b " \"#),
        ("a,b;c=\"d\"", "a,b;c=\"d\""),
        (&long, &long),
    ] {
        assert_eq!(idempotency_key(text.as_bytes()).as_deref(), Ok(key), "{text}");
    }
    let longer = "k".repeat(256);
    for text in [
        "", "\"\"", "\"abc", "\"a\"b", r#""\x""#, "a b", "ä", "\"ä\"", "\"a\" ;b", &longer,
    ] {
        assert!(idempotency_key(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_fingerprint_tells_requests_apart_but_not_the_order_of_their_headers() {
    let print = |kind: Option<&str>, pairs: &[(&'static str, &str)], body: &str| {
        let headers = headers(pairs);
        let head = Head::read(&headers).unwrap();
        Fingerprinter::new(kind, &head.asked).finish(body.as_bytes())
    };
    let base = print(
        Some("a/b"),
        &[("raincheck-group", "g"), ("raincheck-priority", "1")],
        "x",
    );
    let same = &[
        ("raincheck-priority", "1"),
        ("prefer", "wait=5"),
        ("raincheck-group", "g"),
    ];
    assert_eq!(base, print(Some("a/b"), same, "x"));
    for other in [
        print(None, same, "x"),
        print(Some("a/c"), same, "x"),
        print(Some("a/b"), &[("raincheck-group", "g")], "x"),
        print(
            Some("a/b"),
            &[("raincheck-group", "g"), ("raincheck-priority", "2")],
            "x",
        ),
        print(Some("a/b"), same, "y"),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn a_malformed_trace_context_is_left_out() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let read = |pairs: &[(&'static str, &str)]| {
        let headers = headers(pairs);
        Head::read(&headers).unwrap().asked.options
    };
    let options = read(&[
        ("traceparent", parent),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ]);
    assert_eq!(options.traceparent.as_deref(), Some(parent));
    assert_eq!(options.tracestate.as_deref(), Some("a=1,b=2"));
    for parent in [
        "",
        "00-1-2-3",
        &parent.to_uppercase(),
        &parent.replace("00-", "ff-"),
    ] {
        assert_eq!(
            read(&[("traceparent", parent), ("tracestate", "a=1")]),
            Options::default()
        );
    }
}
