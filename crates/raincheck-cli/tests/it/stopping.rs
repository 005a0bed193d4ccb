//! How a server ends, and what its clients and its jobs see of it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::rig::{Server, until};

const GATE: &str = "gate=cmd:sh -c 'until [ -e gate ]; do sleep 0.02; done; cat'";

#[test]
fn a_drain_lets_running_jobs_finish() {
    for signal in ["TERM", "INT"] {
        let server = Server::start(&["--queue", GATE]);
        let id = server.submit(&["gate", "a=1"]);
        server.until(&id, "running");
        server.signal(signal);
        std::fs::write(server.folder().join("gate"), "").unwrap();
        let (status, log, folder) = server.ended();
        assert!(status.success(), "{signal}: {status}: {log}");
        let server = Server::start_in(folder, &["--queue", GATE]);
        let job = server.run(&["job", "get", &id, "--json"]).json();
        assert_eq!(
            (&job["state"], &job["attempt"]),
            (&"succeeded".into(), &1.into()),
            "{signal}"
        );
        server.stop();
    }
}

#[test]
fn a_drain_gives_back_what_does_not_finish_in_time_and_charges_no_attempt() {
    let server = Server::start(&["--queue", GATE, "--drain", "10ms"]);
    let id = server.submit(&["gate"]);
    server.until(&id, "running");
    server.signal("TERM");
    let (status, log, folder) = server.ended();
    assert!(status.success(), "{status}: {log}");
    let server = Server::start_in(folder, &[]);
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&"queued".into(), &0.into()),
        "{job}"
    );
    server.stop();
}

#[test]
fn a_second_signal_leaves_at_once_and_loses_nothing() {
    let server = Server::start(&["--queue", GATE, "--drain", "1h"]);
    let id = server.submit(&["gate", "a=1"]);
    server.until(&id, "running");
    server.signal("TERM");
    // The drain has begun once new work is refused.
    until("draining", || server.run(&["submit", "gate"]).code != 0);
    server.signal("TERM");
    let (status, log, folder) = server.ended();
    assert_eq!(status.code(), Some(130), "{log}");
    std::fs::write(folder.path().join("gate"), "").unwrap();
    let server = Server::start_in(folder, &["--queue", GATE]);
    assert_eq!(server.run(&["job", "result", &id, "--wait"]).ok(), r#"{"a":"1"}"#);
    server.stop();
}

#[test]
fn a_client_that_waits_outlives_the_servers_crash() {
    let server = Server::start(&["--queue", GATE]);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let mut waiting = server.command(&["submit", "gate", "a=1", "--wait"]);
    let mut waiting = waiting
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("running", || {
        server.run(&["queue", "get", "gate", "--json"]).json()["counts"]["running"] == 1
    });
    let folder = server.kill();
    let mut told = String::new();
    BufReader::new(waiting.stderr.as_mut().unwrap())
        .read_line(&mut told)
        .unwrap();
    assert_eq!(told, "the server is away; waiting for it to come back\n");
    std::fs::write(folder.path().join("gate"), "").unwrap();
    let server = Server::start_in(folder, &["--queue", GATE, "--listen", &address]);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.stdout, br#"{"a":"1"}"#);
    assert!(output.status.success());
    server.stop();
}

#[test]
fn a_client_that_is_interrupted_ends_with_130_and_names_the_job() {
    let server = Server::start(&["--queue", "idle"]);
    let mut waiting = server.command(&["submit", "idle", "--wait"]);
    let waiting = waiting
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("queued", || {
        server.run(&["queue", "get", "idle", "--json"]).json()["counts"]["queued"] == 1
    });
    crate::rig::signal(waiting.id(), "INT");
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("goes on. Redeem it: raincheck job result job_"),
        "{said}"
    );
    server.stop();
}

#[test]
fn a_server_whose_store_fails_ends_with_70_and_what_was_accepted_is_there_after_the_next_start() {
    // A file that may grow no further stands for a disk that fails: the write comes back with EFBIG.
    let server = Server::start_by(
        &["sh", "-c", "trap '' XFSZ; ulimit -f 3000; exec \"$@\"", "sh"],
        &["--queue", "idle"],
    );
    std::fs::write(server.folder().join("big"), vec![7; 200_000]).unwrap();
    let mut accepted = Vec::new();
    let refused = loop {
        let ran = server.run(&["submit", "idle", "@big", "-q"]);
        if ran.code != 0 {
            break ran;
        }
        accepted.push(ran.ok());
    };
    assert!([69, 70].contains(&refused.code), "{refused:?}");
    let (status, log, folder) = server.ended();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains("the store has failed"), "{log}");
    assert!(!accepted.is_empty());
    let server = Server::start_in(folder, &["--queue", "idle"]);
    for id in accepted {
        assert_eq!(server.run(&["job", "input", &id]).stdout.len(), 200_000);
    }
    server.stop();
}
