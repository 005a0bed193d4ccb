//! Every parser of ours as a target for fuzzing: bytes in, properties asserted.
//!
//! Invariant: a target is total: whatever the bytes, it returns, and what a parser took it writes so that it reads the same
//! again. The test here replays and mutates what is kept of them; the feature `fuzzing` shows them to `fuzz/`, which is
//! guided by what code an input reaches.

mod doors;
mod http;
mod wire;
mod words;

use raincheck_core::fuzz::Target;

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
    (
        "leases",
        wire::leases,
        &[
            r#"{"worker":"w","max":4,"lease_for":"30s","claim_id":"c"}"#,
            r#"{"error":{"code":"x","detail":"y"},"retry":true,"retry_after":"30s"}"#,
            r#"{"lease_for":"30s","progress":{"fraction":0.5,"message":"half"}}"#,
            r#"{"lease":"l_","action":"succeed","result":[1],"status":200,"claim":1}"#,
            r#"{"lease":"l_","action":"emit","seq":0,"text":"a","stream":"log"}"#,
        ],
    ),
    (
        "tickets",
        doors::tickets,
        &[
            "t100695598000102030405060708090a0b0c0d0e0f10111213",
            "ticket=t1ab&wait=3",
            "wait=3&ticket=a&ticket=b",
        ],
    ),
    (
        "cursors",
        doors::cursors,
        &[
            "c0067a2f91c3e8001",
            "3.17",
            "key=local&action=putQueue&since=@1&limit=3&cursor=c0067a2f91c3e8001",
            "msg_01jd8zq3k5e7rv2m4n6p8s0t1wj",
            "local",
        ],
    ),
    (
        "trace",
        doors::trace,
        &[
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: a=1,b@c=2\ntracestate: d=3",
        ],
    ),
    (
        "origins",
        doors::origins,
        &[
            "https://app.example:443",
            "accept: text/event-stream;q=0, application/x-ndjson\norigin: https://app.example",
            "100/s",
            "off",
        ],
    ),
    (
        "hosts",
        doors::hosts,
        &["localhost:7246", "127.0.0.1", "[::1]:80"],
    ),
    (
        "scopes",
        doors::scopes,
        &["submit read work", "thumbs-*-eu* thumbs-x-eu", "* a", "a.b a.b"],
    ),
    (
        "signed",
        doors::signed,
        &[
            "webhook-id: msg_1\nwebhook-timestamp: 1767225600\nwebhook-signature: v1,AAAA RIGHT",
            "webhook-id: msg_1\nwebhook-timestamp: 1767225600\nwebhook-signature: RIGHT\n\nother",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ],
    ),
];

#[cfg(test)]
mod tests {
    #[test]
    fn no_input_breaks_a_parser() {
        raincheck_core::fuzz::run(env!("CARGO_MANIFEST_DIR"), super::TARGETS);
    }
}
