//! How jobs fare in a worker's hands.

use super::{Worker, is_back, job, lines, open_gate, served};
use crate::rig::{Ran, Server, until};

#[test]
fn a_job_goes_through_the_program_and_its_output_is_the_result() {
    let server = served();
    let worker = Worker::start(&server, &["q", "--", "tr", "a-z", "A-Z"]);
    let words = ["submit", "q", "-", "--content-type", "text/plain", "--wait"];
    let ran = Ran::fed(&mut server.command(&words), b"rain\n");
    assert_eq!(ran.ok(), "RAIN");
    // White space around JSON is part of the input, though JSON cannot carry it.
    let words = ["submit", "q", "-", "--content-type", "application/json", "--wait"];
    let ran = Ran::fed(&mut server.command(&words), b" {\"a\" :1}\n\n");
    assert_eq!(ran.stdout, b" {\"A\" :1}\n\n");
    // More than what comes with a lease.
    let large = vec![b'x'; 200_000];
    let words = ["submit", "q", "-", "--content-type", "text/plain", "--wait"];
    let ran = Ran::fed(&mut server.command(&words), &large);
    assert_eq!(ran.stdout, vec![b'X'; 200_000]);
    // Neither text nor JSON.
    let ran = Ran::fed(&mut server.command(&["submit", "q", "-", "--wait"]), b"\xffa");
    assert_eq!(ran.stdout, b"\xffA");
    let said = worker.stop();
    assert!(said.contains("attempt 1 succeeded after"), "{said}");
    server.stop();
}

#[test]
fn a_result_has_the_type_that_was_said_else_the_queues_else_the_inputs() {
    for (set, flag, expected) in [
        (None, None, "text/csv"),
        (Some("result_type=text/html"), None, "text/html"),
        (Some("result_type=text/html"), Some("text/plain"), "text/plain"),
    ] {
        let server = Server::start(&["--dev"]);
        server
            .run(&["queue", "set", "q", set.unwrap_or("worker=pull")])
            .ok();
        let mut words = vec!["q", "--exit-when-empty"];
        words.extend(flag.iter().flat_map(|flag| ["--result-type", flag]));
        words.extend(["--", "cat"]);
        let id = Ran::fed(
            &mut server.command(&["submit", "-q", "q", "-", "--content-type", "text/csv"]),
            b"a,b",
        )
        .ok();
        let (status, said) = Worker::start(&server, &words).ended();
        assert!(status.success(), "{said}");
        let url = format!("{}/v1/jobs/{id}/result", server.url);
        let head = Ran::of(std::process::Command::new("curl").args(["-sSi", &url])).ok();
        assert!(
            head.to_lowercase().contains(&format!("content-type: {expected}")),
            "{head}"
        );
        server.stop();
    }
}

#[test]
fn a_program_sees_its_job_and_all_of_this_environment() {
    let server = served();
    let arguments = ["q", "--worker", "gpu-1", "--", "env"];
    let worker = Worker::start_in(&server, &arguments, &[("COLOUR", "yellow")]);
    let id = server.submit(&["q", "a=1"]);
    let seen = server.run(&["job", "result", &id, "--wait"]).ok();
    for line in [
        format!("RAINCHECK_JOB={id}"),
        "RAINCHECK_ATTEMPT=1".to_owned(),
        "RAINCHECK_QUEUE=q".to_owned(),
        "RAINCHECK_FENCE=1".to_owned(),
        "RAINCHECK_CONTENT_TYPE=application/json".to_owned(),
        "RAINCHECK_WORKER=gpu-1".to_owned(),
        format!("RAINCHECK_URL={}", server.url),
        "COLOUR=yellow".to_owned(),
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line}: {seen}");
    }
    assert!(seen.contains("RAINCHECK_DEADLINE=20"), "{seen}");
    assert_eq!(job(&server, &id)["attempts"][0]["worker"], "gpu-1");
    worker.stop();
    server.stop();
}

#[test]
fn a_program_that_fails_is_tried_again_and_what_it_said_is_shown_and_kept() {
    let server = Server::start(&["--dev"]);
    server
        .run(&["queue", "set", "q", "backoff=constant;base=1ms"])
        .ok();
    let script = "echo \"not $RAINCHECK_ATTEMPT\" >&2; test $RAINCHECK_ATTEMPT -ge 2 || exit 3; echo done";
    let worker = Worker::start(&server, &["q", "--", "sh", "-c", script]);
    let id = server.submit(&["q"]);
    assert_eq!(server.run(&["job", "result", &id, "--wait"]).ok(), "done");
    let attempts = &job(&server, &id)["attempts"];
    assert_eq!(attempts[0]["error"]["code"], "handler-failed");
    assert_eq!(
        attempts[0]["error"]["detail"],
        "the program exited with code 3: not 1"
    );
    let said = worker.stop();
    assert!(said.contains(&format!("{id} | not 1\n")), "{said}");
    assert!(
        said.contains(&format!("{id} attempt 1 failed after")) && said.contains("; to be tried again"),
        "{said}"
    );
    server.stop();
}

#[test]
fn exit_65_is_final() {
    let server = served();
    let worker = Worker::start(
        &server,
        &["q", "--", "sh", "-c", "echo no such month >&2; exit 65"],
    );
    let id = server.submit(&["q"]);
    let ran = server.run(&["job", "result", &id, "--wait"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("no such month"), "{ran:?}");
    assert_eq!(job(&server, &id)["attempt"], 1);
    assert!(worker.stop().contains("; not tried again"));
    server.stop();
}

#[test]
fn as_many_run_at_once_as_was_said_and_no_more() {
    let server = served();
    let script = "echo $RAINCHECK_JOB >> started; until [ -e gate ]; do sleep 0.02; done; cat";
    let worker = Worker::start(&server, &["q", "-c", "4", "--", "sh", "-c", script]);
    let ids: Vec<_> = (0..6)
        .map(|n| server.submit(&["q", &format!("n:={n}")]))
        .collect();
    until("four at once", || lines(&server, "started").len() == 4);
    let counts = server.run(&["queue", "get", "q", "--json"]).json()["counts"].clone();
    assert_eq!(
        (&counts["running"], &counts["queued"]),
        (&4.into(), &2.into()),
        "{counts}"
    );
    open_gate(&server);
    for (n, id) in ids.iter().enumerate() {
        let result = server.run(&["job", "result", id, "--wait"]).ok();
        assert_eq!(result, format!("{{\"n\":{n}}}"));
    }
    worker.stop();
    server.stop();
}

#[test]
fn a_cancelled_job_is_stopped_with_all_that_it_started() {
    let server = Server::start(&["--dev"]);
    server.run(&["queue", "set", "q", "cancel_grace=5s"]).ok();
    let script = "trap 'echo told >> told; exit 1' TERM; echo >> started; sleep 1000 & wait";
    let worker = Worker::start(&server, &["q", "--lease", "1s", "--", "sh", "-c", script]);
    let id = server.submit(&["q"]);
    until("the program's start", || lines(&server, "started").len() == 1);
    server.run(&["job", "cancel", &id]).ok();
    server.until(&id, "cancelled");
    assert_eq!(lines(&server, "told"), ["told"]);
    worker.says("attempt 1 cancelled");
    worker.stop();
    server.stop();
}

#[test]
fn an_attempt_whose_time_is_over_is_ended_and_the_job_tried_again() {
    let server = Server::start(&["--dev"]);
    let settings = ["timeout=700ms", "backoff=constant;base=1ms"];
    server.run(&["queue", "set", "q", settings[0], settings[1]]).ok();
    let script =
        "test $RAINCHECK_ATTEMPT -ge 2 && echo done && exit; echo $$ > leader; sleep 1000; echo >> late";
    let worker = Worker::start(&server, &["q", "--", "sh", "-c", script]);
    let id = server.submit(&["q"]);
    assert_eq!(server.run(&["job", "result", &id, "--wait"]).ok(), "done");
    let attempts = &job(&server, &id)["attempts"];
    assert_eq!(attempts[0]["error"]["code"], "timed-out", "{attempts}");
    let leader = lines(&server, "leader").concat();
    until("the end of the first program", || {
        !std::path::Path::new("/proc").join(&leader).exists()
    });
    worker.stop();
    assert!(lines(&server, "late").is_empty());
    server.stop();
}

#[test]
fn a_result_over_the_queues_limit_is_a_failure() {
    let server = Server::start(&["--dev"]);
    server.run(&["queue", "set", "q", "result_max=1KiB"]).ok();
    let worker = Worker::start(&server, &["q", "--", "yes"]);
    let id = server.submit(&["q"]);
    let ran = server.run(&["job", "result", &id, "--wait"]);
    assert!(ran.stderr.contains("result-too-large"), "{ran:?}");
    worker.stop();
    server.stop();
}

#[test]
fn a_worker_may_end_when_nothing_is_left_or_after_so_many_jobs() {
    let server = served();
    for n in 0..5 {
        server.submit(&["q", &format!("n:={n}")]);
    }
    let queued = || server.run(&["queue", "get", "q", "--json"]).json()["counts"]["queued"].clone();
    let (status, said) = Worker::start(&server, &["q", "--max-jobs", "2", "-c", "4", "--", "cat"]).ended();
    assert!(status.success(), "{said}");
    assert_eq!(queued(), 3, "{said}");
    let ran = server.run(&["work", "q", "--exit-when-empty", "--json", "--", "cat"]);
    assert_eq!((ran.code, queued()), (0, 0.into()), "{ran:?}");
    let told: Vec<serde_json::Value> = ran
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|told| told["outcome"] == "succeeded"), "{told:?}");
    server.stop();
}

#[test]
fn a_queue_that_is_not_there_is_created_only_when_asked() {
    let server = Server::start(&["--queue", "own=cmd:cat"]);
    let ran = server.run(&["work", "q", "--", "cat"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(
        ran.stderr
            .contains("there is no queue \"q\". Create it: raincheck work q --create"),
        "{ran:?}"
    );
    let ran = server.run(&["work", "own", "--", "cat"]);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(
        ran.stderr.contains("works queue \"own\" itself (process)"),
        "{ran:?}"
    );
    let ran = server.run(&["work", "q", "--create", "--exit-when-empty", "--", "cat"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("queue q was created"), "{ran:?}");
    let ran = server.run(&["work", "q", "--", "./no-such-program"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    server.stop();
}

#[test]
fn a_program_that_cannot_be_started_any_more_costs_no_attempt() {
    let server = served();
    std::fs::copy("/bin/cat", server.folder().join("tool")).unwrap();
    let worker = Worker::start(&server, &["q", "--", "./tool"]);
    worker.says("working q");
    std::fs::remove_file(server.folder().join("tool")).unwrap();
    let id = server.submit(&["q"]);
    let (status, said) = worker.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be started"), "{said}");
    is_back(&server, &id);
    server.stop();
}

#[test]
fn under_dev_a_worker_may_come_before_its_queue() {
    let server = Server::start(&["--dev"]);
    let worker = Worker::start(&server, &["early", "--", "cat"]);
    worker.says("working early");
    let ran = server.run(&["submit", "early", "a=1", "--wait"]);
    assert_eq!(ran.ok(), r#"{"a":"1"}"#);
    worker.stop();
    server.stop();
}
