//! Every parser of ours as a target for fuzzing: bytes in, properties asserted.
//!
//! Invariant: a target is total: whatever the bytes, it returns, and what a parser took it writes so that it reads the same
//! again. The test here runs them under mutations of what is kept in `fuzz/corpus`; the feature `fuzzing` shows them to fuzzers.

mod http;
mod wire;
mod words;

#[cfg(test)]
mod mutate;

/// A target: its name, what it does with bytes, and an input that its parser takes, to start from.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

/// All of them.
pub const TARGETS: &[Target] = &[
    (
        "ids",
        words::ids,
        &[
            "job_01jd8zq3k5e7rv2m4n6p8s0t1w",
            "batch_01jd8zq3k5e7rv2m4n6p8s0t1w",
            "l_",
        ],
    ),
    ("names", words::names, &["thumbs", "a b", "tenant-7"]),
    (
        "times",
        words::times,
        &["2026-11-21T02:11:04.123Z", "@1795227064", "1h30m", "10m", "250ms"],
    ),
    (
        "amounts",
        words::amounts,
        &["1MiB", "16KiB", "50/s", "6000/m", "1048576"],
    ),
    (
        "backoff",
        words::backoff,
        &["exponential;base=2s;cap=10m", "constant;base=30s"],
    ),
    (
        "unique",
        words::unique,
        &[
            "\"report-2026-11\";while=active;on-conflict=reject",
            "\"a\\\"b\";while=kept",
        ],
    ),
    (
        "keys",
        words::keys,
        &["rck_abcdefgh_0123456789abcdefghijABCDEFGHIJ01234567890123456"],
    ),
    (
        "ranges",
        words::ranges,
        &["10.0.0.0/8", "::1/128", "fd00::/7", "127.0.0.1"],
    ),
    ("base64", words::base64, &["YWJj", "Zm9vYmFy", "AA=="]),
    ("form", words::form, &["a%20b+c", "%C3%A4"]),
    (
        "idempotency",
        http::idempotency,
        &["\"8e03978e-40d5\"", "plain", "\"a\\\\b\""],
    ),
    (
        "prefer",
        http::prefer,
        &["wait=5", "respond-async, wait=10", "wait=\"5\";x"],
    ),
    (
        "options",
        http::options,
        &["raincheck-priority: 3\nraincheck-tag: a, b\nraincheck-delay: 10m\nidempotency-key: \"k\""],
    ),
    (
        "conditional",
        http::conditional,
        &["if-none-match: W/\"3\", \"x\"\nrange: bytes=0-9\nif-range: \"x\"\nif-match: W/\"3\""],
    ),
    (
        "query",
        http::query,
        &["queue=thumbs&state=failed&tag=a%20b&limit=50&cursor=abc&submitted_after=2026-11-21T02:11:04Z"],
    ),
    (
        "retry_after",
        http::retry_after,
        &["retry-after: 30", "retry-after: Sat, 21 Nov 2026 18:00:00 GMT"],
    ),
    (
        "forwarded",
        http::forwarded,
        &[
            "x-forwarded-for: 1.2.3.4, 10.0.0.1\nx-forwarded-proto: https",
            "forwarded: for=\"[::1]:80\";proto=http",
        ],
    ),
    (
        "signature",
        http::signature,
        &["webhook-id: a\nwebhook-timestamp: 1767225600\nwebhook-signature: v1,AAAA v1,BBBB"],
    ),
    (
        "url",
        http::url,
        &[
            "http://127.0.0.1:8000/x?y=1",
            "https://user@host/",
            "http://0x7f.1/",
        ],
    ),
    (
        "framing",
        http::framing,
        &["POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n"],
    ),
    (
        "submission",
        wire::submission,
        &[
            r#"{"queue":"thumbs","input":{"a":[1,2]},"priority":2,"tags":["eu"],"delay":"10m","unique":{"value":"x"}}"#,
        ],
    ),
    (
        "entries",
        wire::entries,
        &[r#"[{"queue":"a"} , 7, "x]"]"#, "{\"a\":1}\r\n\n{}"],
    ),
    ("lines", wire::lines, &["one\ntwo\r\n\n  three"]),
    (
        "documents",
        wire::documents,
        &[
            r#"{"worker":"w","max":4,"lease_for":"30s","claim_id":"c"}"#,
            r#"{"error":{"code":"x","detail":"y"},"retry":true,"retry_after":"30s"}"#,
            r#"{"name":"ci","scopes":["submit"],"queues":["thumbs*"],"expires_in":"90d"}"#,
            r#"{"concurrency":2,"rate":"10/s"}"#,
            r#"{"action":"cancel","filter":{"queue":"q"}}"#,
            r#"{"priority":2,"run_at":"2026-11-21T02:11:04Z","tags":["a"]}"#,
        ],
    ),
    (
        "settings",
        wire::settings,
        &[
            r#"{"worker":"pull","concurrency":8,"rate":"50/s","depth_bytes":"1GiB","backoff":"constant;base=2s","keep":"24h"}"#,
        ],
    ),
    (
        "shown",
        wire::shown,
        &[r#"{"a":[1,2.5e3,"\u00e4"],"b":null}"#, "\"\\ud800\"", "1e400"],
    ),
];

/// Runs the target of this name.
///
/// # Panics
/// When there is none, or its property does not hold.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(target, ..)| *target == name);
    let (_, target, _) = found.unwrap_or_else(|| panic!("no such target: {name}"));
    target(bytes);
}
