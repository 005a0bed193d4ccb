//! How a worker leaves.

use super::{GATED, Worker, is_back, job, lines, open_gate, served};
use crate::rig::until;

#[test]
fn a_worker_that_is_told_to_stop_lets_running_jobs_finish_and_takes_no_other() {
    for signal in ["TERM", "INT"] {
        let server = served();
        let mut words = vec!["q", "-c", "1", "--"];
        words.extend(GATED);
        let worker = Worker::start(&server, &words);
        let first = server.submit(&["q", "a=1"]);
        server.until(&first, "running");
        let second = server.submit(&["q", "a=2"]);
        worker.signal(signal);
        worker.says("claiming nothing more; 1 running");
        open_gate(&server);
        let (status, said) = worker.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        assert_eq!(job(&server, &first)["state"], "succeeded", "{signal}");
        let second = job(&server, &second);
        assert_eq!(
            (&second["state"], &second["attempt"]),
            (&"queued".into(), &0.into()),
            "{signal}"
        );
        server.stop();
    }
}

#[test]
fn what_does_not_finish_within_the_drain_is_given_back_uncharged() {
    let server = served();
    let script = "trap 'echo told >> told' TERM; echo >> started; while :; do sleep 0.02; done";
    let worker = Worker::start(&server, &["q", "--drain", "500ms", "--", "sh", "-c", script]);
    let id = server.submit(&["q"]);
    until("the program's start", || lines(&server, "started").len() == 1);
    let said = worker.stop();
    assert!(said.contains("attempt 1 released"), "{said}");
    is_back(&server, &id);
    assert_eq!(lines(&server, "told"), ["told"]);
    server.stop();
}

#[test]
fn a_second_signal_ends_it_at_once_with_all_that_runs() {
    let server = served();
    let script = "trap '' TERM INT; echo $$ >> started; while :; do sleep 0.02; done";
    let worker = Worker::start(&server, &["q", "--", "sh", "-c", script]);
    server.submit(&["q"]);
    until("the program's start", || lines(&server, "started").len() == 1);
    worker.signal("TERM");
    worker.says("claiming nothing more");
    worker.signal("TERM");
    let (status, said) = worker.ended();
    assert_eq!(status.code(), Some(130), "{said}");
    let program = std::path::Path::new("/proc").join(&lines(&server, "started")[0]);
    until("the program's end", || !program.exists());
    server.stop();
}

#[test]
fn a_worker_that_waits_for_jobs_leaves_at_once() {
    let server = served();
    let worker = Worker::start(&server, &["q", "--", "cat"]);
    until("a claim that waits", || {
        server.run(&["queue", "list"]).code == 0 && worker.said().contains("working q")
    });
    worker.stop();
    let id = server.submit(&["q"]);
    // The server may not have seen yet that nobody waits for its answer any more; then it takes the job back.
    is_back(&server, &id);
    server.stop();
}
