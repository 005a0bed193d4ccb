//! `raincheck bench`: that every workload runs and leaves nothing behind. No figure is judged here.

use std::process::Stdio;

use crate::rig::{Ran, Server, raincheck, signal, until};

/// The smallest round of these workloads against a throw-away server in this folder.
fn quick(workloads: &[&str], folder: &std::path::Path) -> serde_json::Value {
    let mut command = raincheck();
    command
        .arg("bench")
        .args(workloads)
        .args(["--quick", "--json", "--folder"]);
    let ran = Ran::of(command.arg(folder));
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

fn cases(document: &serde_json::Value, workload: &str) -> Vec<String> {
    let rows = document["rows"].as_array().expect("the document has rows");
    let of = rows.iter().filter(|row| row["workload"] == workload);
    of.map(|row| row["case"].as_str().expect("a case is text").to_owned())
        .collect()
}

#[test]
fn a_round_of_everything_finishes_jobs_in_every_workload_and_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let document = quick(&[], folder.path());
    assert_eq!(document["server"], "throw-away");
    assert_eq!(cases(&document, "submit"), ["plain", "a key each"]);
    assert_eq!(cases(&document, "arrays"), ["submit", "submit and work"]);
    assert_eq!(cases(&document, "batch"), ["upload"]);
    assert_eq!(cases(&document, "cycle"), ["long-poll", "one trip"]);
    assert_eq!(cases(&document, "waiters"), ["50 idle", "50 of one job"]);
    assert_eq!(cases(&document, "rate"), ["answer at 200/s", "result at 200/s"]);
    assert_eq!(cases(&document, "stream"), ["20 readers, 50/s"]);
    assert_eq!(
        cases(&document, "webhooks"),
        ["submit with a callback", "work and tell"]
    );
    assert_eq!(cases(&document, "size"), ["binary", "idle server"]);
    let backlog = cases(&document, "backlog");
    assert!(
        backlog.contains(&"cycle, 500 waiting, 500 kept".to_owned()),
        "{backlog:?}"
    );
    assert!(
        backlog.contains(&"start with 500 waiting".to_owned()),
        "{backlog:?}"
    );
    for row in document["rows"].as_array().expect("the document has rows") {
        let jobs = row.get("jobs").map(|jobs| jobs.as_f64() > Some(0.0));
        assert_ne!(jobs, Some(false), "{row}");
    }
    let left = std::fs::read_dir(folder.path())
        .expect("the folder is there")
        .count();
    assert_eq!(left, 0);
}

#[test]
fn a_server_that_is_named_keeps_its_own_queues_and_no_other() {
    let server = Server::start(&["--queue", "mine"]);
    let words = [
        "bench",
        "submit",
        "cycle",
        "waiters",
        "rate",
        "--quick",
        "--url",
        &server.url,
    ];
    server.run(&words).ok();
    assert_eq!(server.run(&["queue", "list", "-q"]).ok(), "mine");
    server.stop();
}

#[test]
fn a_server_is_loaded_only_when_the_command_line_names_it() {
    let server = Server::start(&[]);
    let document = server.run(&["bench", "size", "--json"]).json();
    assert_eq!(
        document["server"], "throw-away",
        "RAINCHECK_URL is no order to load it"
    );
    let document = server
        .run(&["--url", &server.url, "bench", "submit", "--quick", "--json"])
        .json();
    assert_eq!(document["server"], server.url.as_str());
    server.stop();
}

#[test]
fn a_round_that_is_interrupted_takes_its_queues_with_it() {
    let server = Server::start(&[]);
    let mut command = server.command(&["bench", "submit", "--seconds", "600", "--url", &server.url]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let queues = || server.run(&["queue", "list", "-q"]).ok();
    until("a queue for the load", || queues().starts_with("bench-"));
    signal(child.id(), "INT");
    let status = child.wait().expect("it can be waited for");
    assert_eq!(status.code(), Some(130));
    assert_eq!(queues(), "");
    server.stop();
}

#[test]
fn a_round_that_cannot_be_says_why() {
    let ran = |words: &[&str]| {
        let ran = Ran::of(raincheck().arg("bench").args(words));
        (ran.code, ran.stderr)
    };
    let (code, why) = ran(&["submit", "--url", "http://127.0.0.1:9"]);
    assert_eq!(code, 69, "{why}");
    assert!(why.contains("Start one: raincheck serve"), "{why}");
    let (code, why) = ran(&["submit", "--folder", "nowhere/at/all"]);
    assert_eq!(code, 1, "{why}");
    assert!(why.contains("--folder DIRECTORY"), "{why}");
    for words in [
        &["nonsense"][..],
        &["--pin=0"],
        &["--seconds", "0"],
        &["--server-pid", "1"],
        &["stream", "--bare"],
        &["submit", "--bare", "--url", "http://127.0.0.1:9"],
        &["--folder", "x", "--url", "http://127.0.0.1:9"],
    ] {
        assert_eq!(ran(words).0, 2, "{words:?}");
    }
}

#[test]
fn a_server_with_keys_is_measured_with_one() {
    let server = Server::start(&[]);
    let key = server
        .run(&["key", "create", "ops", "--scope", "admin", "-q"])
        .ok();
    let bench = |more: &[&str]| {
        let words = ["bench", "submit", "--quick", "--json", "--url", &server.url];
        server.run(&[&words, more].concat())
    };
    assert_eq!(bench(&["--api-key", &key]).code, 0);
    let ran = bench(&[]);
    assert_eq!(ran.code, 4, "{ran:?}");
    server.stop();
}
