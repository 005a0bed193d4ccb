//! What is left when a server or a worker is gone in the middle.

use super::{GATED, Worker, again, alive, job, lines, open_gate, served};
use crate::rig::{Server, until};

#[test]
fn a_result_is_delivered_although_the_server_was_away_when_it_was_ready() {
    let server = served();
    let script = "echo >> started; until [ -e gate ]; do sleep 0.02; done; cat; echo >> finished";
    let worker = Worker::start(&server, &["q", "--", "sh", "-c", script]);
    let id = server.submit(&["q", "a=1"]);
    until("the program's start", || lines(&server, "started").len() == 1);
    let url = server.url.clone();
    let folder = server.kill();
    std::fs::write(folder.path().join("gate"), "").unwrap();
    until("the program's end", || folder.path().join("finished").exists());
    worker.says("takes nothing now");
    let server = again(folder, &url);
    let result = server.run(&["job", "result", &id, "--wait"]).ok();
    assert_eq!(result, r#"{"a":"1"}"#);
    assert_eq!(lines(&server, "started").len(), 1, "it ran once");
    worker.says("the server is back");
    // It goes on as before.
    let next = server.submit(&["q", "a=2"]);
    let result = server.run(&["job", "result", &next, "--wait"]).ok();
    assert_eq!(result, r#"{"a":"2"}"#);
    worker.stop();
    server.stop();
}

#[test]
fn a_job_that_runs_through_a_restart_of_the_server_keeps_its_lease() {
    let server = served();
    let mut words = vec!["q", "--lease", "2s", "--"];
    words.extend(GATED);
    let worker = Worker::start(&server, &words);
    let id = server.submit(&["q", "a=1"]);
    server.until(&id, "running");
    let url = server.url.clone();
    let server = again(server.stop(), &url);
    open_gate(&server);
    let result = server.run(&["job", "result", &id, "--wait"]).ok();
    assert_eq!(result, r#"{"a":"1"}"#);
    assert_eq!(job(&server, &id)["attempt"], 1);
    worker.stop();
    server.stop();
}

#[test]
fn the_job_of_a_worker_that_was_killed_is_tried_again_by_another() {
    let server = Server::start(&["--dev"]);
    server
        .run(&["queue", "set", "q", "backoff=constant;base=1ms"])
        .ok();
    let mut words = vec!["q", "--lease", "1s", "--"];
    words.extend(GATED);
    let worker = Worker::start(&server, &words);
    let id = server.submit(&["q", "a=1"]);
    server.until(&id, "running");
    worker.signal("KILL");
    open_gate(&server);
    let second = Worker::start(&server, &["q", "--", "cat"]);
    let result = server.run(&["job", "result", &id, "--wait"]).ok();
    assert_eq!(result, r#"{"a":"1"}"#);
    let job = job(&server, &id);
    assert_eq!(job["attempt"], 2);
    assert_eq!(job["attempts"][0]["outcome"], "lease_lost");
    second.stop();
    server.stop();
}

#[test]
fn a_worker_whose_lease_is_over_stops_and_changes_nothing() {
    let server = Server::start(&["--dev"]);
    server
        .run(&["queue", "set", "q", "backoff=constant;base=1ms"])
        .ok();
    let script = "echo >> started; until [ -e gate ]; do sleep 0.02; done; echo first";
    let worker = Worker::start(
        &server,
        &["q", "-c", "1", "--lease", "1s", "--", "sh", "-c", script],
    );
    let id = server.submit(&["q"]);
    until("the program's start", || lines(&server, "started").len() == 1);
    worker.signal("STOP");
    let second = Worker::start(&server, &["q", "--", "echo", "second"]);
    let result = server.run(&["job", "result", &id, "--wait"]).ok();
    assert_eq!(result, "second");
    worker.signal("CONT");
    worker.says("attempt 1 lost");
    let result = server.run(&["job", "result", &id]).ok();
    assert_eq!(result, "second");
    worker.stop();
    second.stop();
    server.stop();
}

#[test]
fn a_result_that_cannot_be_delivered_before_the_worker_has_to_leave_is_named() {
    let server = served();
    let script = "until [ -e gate ]; do sleep 0.02; done; echo >> finished";
    let worker = Worker::start(&server, &["q", "--drain", "1s", "--", "sh", "-c", script]);
    let id = server.submit(&["q", "a=1"]);
    server.until(&id, "running");
    let folder = server.kill();
    std::fs::write(folder.path().join("gate"), "").unwrap();
    until("the program's end", || folder.path().join("finished").exists());
    worker.says("takes nothing now");
    worker.signal("TERM");
    let (status, said) = worker.ended();
    assert_eq!(status.code(), Some(69), "{said}");
    assert!(
        said.contains(&format!("{id} succeeded, but the server did not hear of it")),
        "{said}"
    );
}

#[test]
fn nothing_that_a_killed_server_or_worker_was_running_outlives_it() {
    // Who has read all of its input was written down before: it is fed after that.
    let script = "cat > all; (echo $$ >> started; sleep 1000) & echo $$ >> started; sleep 1000; wait";
    let flags = [
        format!("own=cmd:sh -c '{script}'"),
        format!("kept=keep-alive:sh -c '{script}'"),
    ];
    let server = Server::start(&[
        "--queue",
        &flags[0],
        "--queue",
        &flags[1],
        "--set",
        "kept.concurrency=1",
        "--queue",
        "q",
    ]);
    server.submit(&["own"]);
    server.submit(&["q"]);
    let worker = Worker::start(&server, &["q", "--", "sh", "-c", script]);
    until("all three", || lines(&server, "started").len() == 6);
    let started = lines(&server, "started");
    assert!(started.iter().all(|process| alive(process)));
    worker.signal("KILL");
    let folder = server.kill();
    until("the end of all", || !started.iter().any(|process| alive(process)));
    drop(folder);
}

#[test]
fn a_server_that_speaks_no_tls_is_told_apart() {
    let server = served();
    let url = server.url.replace("http:", "https:");
    let ran = server.run(&["queue", "list", "--url", &url]);
    assert_eq!(ran.code, 69, "{ran:?}");
    server.stop();
}
