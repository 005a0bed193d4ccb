//! Who asks, behind a proxy: what named proxies say is believed, and what anybody else says is not.

use std::process::Command;

use crate::rig::{Ran, Server, locked};

/// A server with a key behind proxies in this range, which lets an address come three times a minute without one.
fn behind(range: &str) -> (Server, String) {
    let arguments = [
        "--queue",
        "q",
        "--behind-proxy",
        range,
        "--rate-per-address",
        "3/m",
    ];
    locked(&arguments)
}

/// The status of a request without a key that brings these headers.
fn status(server: &Server, headers: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30"]);
    for header in headers {
        curl.args(["-H", header]);
    }
    Ran::of(curl.arg(format!("{}/v1/jobs", server.url))).ok()
}

#[test]
fn callers_are_told_apart_by_what_a_named_proxy_says() {
    let (server, key) = behind("127.0.0.1");
    for _ in 0..3 {
        assert_eq!(status(&server, &["X-Forwarded-For: 203.0.113.7"]), "401");
    }
    for same in [
        "X-Forwarded-For: 203.0.113.7",
        "Forwarded: for=203.0.113.7",
        // What a caller wrote itself stands before what the proxy saw.
        "X-Forwarded-For: 203.0.113.8, 203.0.113.7",
        "X-Forwarded-For: 127.0.0.1, 203.0.113.7",
    ] {
        assert_eq!(status(&server, &[same]), "429", "{same}");
    }
    assert_eq!(status(&server, &["X-Forwarded-For: 203.0.113.8"]), "401");
    let mut pause = Command::new("curl");
    pause.args(["-s", "-X", "POST", "-H", "X-Forwarded-For: 203.0.113.50", "-H"]);
    pause.arg(format!("Authorization: Bearer {key}"));
    Ran::of(pause.arg(format!("{}/v1/queues/q/pause", server.url))).ok();
    let mut list = server.command(&["audit", "list", "--action", "pauseQueue", "--json"]);
    let acts = Ran::of(list.env("RAINCHECK_API_KEY", &key)).json();
    assert_eq!(
        acts[0]["address"], "203.0.113.50",
        "the log names who asked: {acts}"
    );
    server.stop();
}

#[test]
fn what_anybody_else_says_of_itself_is_not_believed() {
    let (server, _) = behind("10.0.0.0/8");
    let spoofed = |n: usize| status(&server, &[&format!("X-Forwarded-For: 203.0.113.{n}")]);
    let told: Vec<_> = (1..=4).map(spoofed).collect();
    assert_eq!(
        told,
        ["401", "401", "401", "429"],
        "all four came from one address"
    );
    assert_eq!(status(&server, &["Forwarded: for=203.0.113.9"]), "429");
    server.stop();
}
