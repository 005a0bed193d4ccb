//! Programs that are kept alive: by `raincheck work --keep-alive`, and by the server.

use std::process::{Command, Stdio};

use super::{Worker, alive, lines, served};
use crate::door::{TLS, certify};
use crate::rig::{Ran, Server, signal, until};

/// A worker that says where it is to work, and does nothing until it is told to leave.
const IDLE: &str = "echo $RAINCHECK_WORKER $RAINCHECK_QUEUE $RAINCHECK_URL $$ >> started; \
                    trap 'echo left >> left; kill $!; exit' TERM; sleep 1000 & wait";

/// What has the queue `words` worked by the example in Python, where there is Python.
#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
fn words_by_python() -> Option<String> {
    let python = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !python.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: python3 is missing");
        return None;
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/workers/worker.py");
    Some(format!("words=keep-alive:{example}"))
}

fn last_word(line: &str) -> &str {
    line.rsplit(' ').next().expect("a line has words")
}

#[test]
fn programs_are_told_where_to_work_and_leave_when_told_to() {
    let server = served();
    let words = [
        "q",
        "--keep-alive",
        "-c",
        "2",
        "--worker",
        "gpu",
        "--",
        "sh",
        "-c",
        IDLE,
    ];
    let worker = Worker::start(&server, &words);
    until("two programs", || lines(&server, "started").len() == 2);
    let mut started = lines(&server, "started");
    started.sort();
    for (n, line) in started.iter().enumerate() {
        let expected = format!("gpu-{} q {} ", n + 1, server.url);
        assert!(line.starts_with(&expected), "{line}");
    }
    worker.stop();
    assert_eq!(lines(&server, "left").len(), 2);
    assert!(started.iter().all(|line| !alive(last_word(line))));
    server.stop();
}

#[test]
fn a_program_that_ends_is_started_again() {
    let server = served();
    let worker = Worker::start(&server, &["q", "--keep-alive", "-c", "1", "--", "sh", "-c", IDLE]);
    until("a program", || lines(&server, "started").len() == 1);
    signal(last_word(&lines(&server, "started")[0]).parse().unwrap(), "KILL");
    until("another program", || lines(&server, "started").len() == 2);
    let said = worker.stop();
    assert!(
        said.contains("has ended (signal: 9 (SIGKILL)); again in"),
        "{said}"
    );
    server.stop();
}

#[test]
fn a_program_that_does_not_leave_is_killed_after_the_drain_with_all_that_it_started() {
    let server = served();
    let script =
        "trap '' TERM; (trap '' TERM; echo $$ >> started; sleep 1000) & echo $$ >> started; wait; sleep 1000";
    let words = [
        "q",
        "--keep-alive",
        "-c",
        "1",
        "--drain",
        "200ms",
        "--",
        "sh",
        "-c",
        script,
    ];
    let worker = Worker::start(&server, &words);
    until("a program", || lines(&server, "started").len() == 2);
    worker.stop();
    until("their end", || {
        lines(&server, "started").iter().all(|line| !alive(line))
    });
    server.stop();
}

#[test]
fn the_server_keeps_programs_alive_and_they_work() {
    let Some(flag) = words_by_python() else { return };
    let server = Server::start(&["--queue", &flag, "--set", "words.concurrency=2"]);
    let queue = server.run(&["queue", "get", "words", "--json"]).json();
    assert_eq!(queue["worker"]["keep_alive"], true, "{queue}");
    assert_eq!(queue["concurrency"], 2);
    let words = ["submit", "words", "-", "--content-type", "text/plain", "--wait"];
    let input = b"it is raining cats and dogs";
    let submit = || Ran::fed(&mut server.command(&words), input).ok();
    assert_eq!(submit(), r#"{"words": 6}"#);
    let workers = || {
        let url = format!("{}/v1/workers", server.url);
        Ran::of(Command::new("curl").args(["-sS", &url])).json()["workers"].clone()
    };
    until("both of them", || {
        workers().as_array().is_some_and(|all| all.len() == 2)
    });
    let workers = workers();
    for (n, worker) in workers.as_array().unwrap().iter().enumerate() {
        assert_eq!(worker["id"], format!("node-{}", n + 1));
        assert_eq!(
            (&worker["kind"], &worker["queue"]),
            (&"keep_alive".into(), &"words".into())
        );
    }
    assert_eq!(submit(), r#"{"words": 6}"#);
    server.stop();
}

#[test]
fn a_program_of_the_server_that_dies_is_started_again_and_leaves_with_it() {
    let flag = format!("q=keep-alive:sh -c \"{}\"", IDLE.replace('$', "\\$"));
    let server = Server::start(&["--queue", &flag, "--set", "q.concurrency=1"]);
    until("a program", || lines(&server, "started").len() == 1);
    let first = lines(&server, "started")[0].clone();
    assert!(first.starts_with(&format!("node-1 q {} ", server.url)), "{first}");
    signal(last_word(&first).parse().unwrap(), "KILL");
    until("another program", || lines(&server, "started").len() == 2);
    let second = lines(&server, "started")[1].clone();
    server.signal("TERM");
    let (status, log, folder) = server.ended();
    assert!(status.success(), "{log}");
    assert!(!alive(last_word(&second)));
    let left = std::fs::read_to_string(folder.path().join("left")).unwrap_or_default();
    assert_eq!(left, "left\n", "{log}");
}

#[test]
fn a_server_that_speaks_tls_keeps_programs_alive_that_need_not_speak_it() {
    let Some(flag) = words_by_python() else { return };
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let server = Server::start_in(folder, &[&TLS[..], &["--queue", &flag]].concat());
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let url = server.url.replace("127.0.0.1", "localhost");
    let trusting = ["--ca-file", "cert.pem", "--url", &url];
    let words = ["submit", "words", "-", "--content-type", "text/plain", "--wait"];
    let mut submit = server.command(&[&words[..], &trusting].concat());
    assert_eq!(Ran::fed(&mut submit, b"cats and dogs").ok(), r#"{"words": 3}"#);
    server.stop();
}
