//! `submit` and `job …` against a real server whose queues are worked by small programs.

use std::path::Path;

use crate::rig::{Ran, Server};

/// `echo` gives back its input, `fail` fails for good, `gate` waits for a file, `idle` is nobody's work.
fn server() -> Server {
    Server::start(&[
        "--queue",
        "echo=cmd:cat",
        "--queue",
        "fail=cmd:sh -c 'echo broken beyond repair >&2; exit 65'",
        "--queue",
        "gate=cmd:sh -c 'until [ -e gate ]; do sleep 0.02; done; cat'",
        "--queue",
        "idle",
    ])
}

#[test]
fn a_submit_that_waits_prints_the_results_bytes_and_nothing_else() {
    let server = server();
    let ran = server.run(&["submit", "echo", r#"{ "a": 1 }"#, "--wait"]);
    assert_eq!(
        (ran.code, ran.text(), ran.stderr.as_str()),
        (0, r#"{ "a": 1 }"#, "")
    );
    let odd = [0, 255, 10, 13, 0];
    let ran = Ran::fed(&mut server.command(&["submit", "echo", "-", "--wait=30s"]), &odd);
    assert_eq!((ran.code, ran.stdout.as_slice()), (0, &odd[..]));
    server.stop();
}

#[test]
fn a_result_goes_into_a_file_whole() {
    let server = server();
    let input = server.folder().join("in.txt");
    std::fs::write(&input, "rain").unwrap();
    let ran = server.run(&["submit", "echo", "@in.txt", "--wait", "-o", "out.txt"]);
    assert_eq!(
        (ran.code, ran.text(), ran.stderr.as_str()),
        (0, "", "4 bytes written to out.txt\n")
    );
    assert_eq!(std::fs::read(server.folder().join("out.txt")).unwrap(), b"rain");
    server.stop();
}

#[test]
fn a_result_in_json_is_one_document() {
    let server = server();
    let ran = server.run(&["submit", "echo", "a=1", "b:=2", "--wait", "--json"]);
    let document = ran.json();
    assert_eq!(document["outcome"], "succeeded");
    assert_eq!(document["status"], 200);
    assert_eq!(document["json"], serde_json::json!({"a": "1", "b": 2}));
    let ran = Ran::fed(
        &mut server.command(&["submit", "echo", "-", "--wait", "--json"]),
        b"\xff",
    );
    assert_eq!(ran.json()["base64"], "/w==");
    server.stop();
}

#[test]
fn a_job_that_fails_ends_the_command_with_3_and_says_why() {
    let server = server();
    let ran = server.run(&["submit", "fail", "--wait", "-o", "kept"]);
    assert_eq!((ran.code, ran.text()), (3, ""), "{ran:?}");
    assert!(ran.stderr.contains(" failed: handler-failed: "), "{ran:?}");
    assert!(ran.stderr.contains("broken beyond repair"), "{ran:?}");
    assert!(ran.stderr.contains("raincheck job retry job_"), "{ran:?}");
    assert!(!Path::new(&server.folder().join("kept")).exists());
    let id = server.submit(&["fail"]);
    assert_eq!(server.run(&["job", "result", &id, "--wait"]).code, 3);
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!((&job["state"], &job["attempt"]), (&"failed".into(), &1.into()));
    server.stop();
}

#[test]
fn a_wait_that_is_too_short_ends_with_6_and_the_job_goes_on() {
    let server = server();
    let ran = server.run(&["submit", "gate", "a=1", "--wait=1ms"]);
    assert_eq!((ran.code, ran.text()), (6, ""), "{ran:?}");
    let id = ran
        .stderr
        .split_whitespace()
        .find(|word| word.starts_with("job_"))
        .expect("the id is told");
    assert_eq!(server.run(&["job", "result", id]).code, 6);
    std::fs::write(server.folder().join("gate"), "").unwrap();
    assert_eq!(server.run(&["job", "result", id, "--wait"]).ok(), r#"{"a":"1"}"#);
    server.stop();
}

#[test]
fn a_submit_prints_id_and_state_in_the_shape_that_is_asked_for() {
    let server = server();
    let ran = server.run(&["submit", "idle"]);
    let (id, state) = ran.text().trim_end().split_once('\t').unwrap();
    assert!(id.starts_with("job_") && state == "queued", "{ran:?}");
    assert_eq!(ran.stderr, "", "in a pipe nothing is said");
    assert_eq!(server.run(&["submit", "idle", "--json"]).json()["queue"], "idle");
    assert!(server.submit(&["idle"]).starts_with("job_"));
    server.stop();
}

#[test]
fn every_option_reaches_the_job() {
    let server = server();
    let id = server.submit(&[
        "idle",
        "x=1",
        "--delay",
        "1h",
        "--priority",
        "2",
        "--group",
        "tenant 7",
        "--tag",
        "eu",
        "--tag",
        "2026-11",
        "--timeout",
        "10s",
        "--deadline",
        "2d",
        "--start-before",
        "1h",
        "--max-attempts",
        "3",
        "--backoff",
        "constant;base=1s",
        "--keep",
        "1h",
    ]);
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!(job["state"], "scheduled");
    assert_eq!(job["priority"], 2);
    assert_eq!(job["group"], "tenant 7");
    assert_eq!(job["tags"], serde_json::json!(["eu", "2026-11"]));
    assert_eq!(job["max_attempts"], 3);
    let later = server.submit(&["idle", "--at", "2100-01-01T00:00:00Z"]);
    let job = server.run(&["job", "get", &later, "--json"]).json();
    assert_eq!(job["run_at"], "2100-01-01T00:00:00.000Z");
    server.stop();
}

#[test]
fn an_option_that_the_server_refuses_ends_with_2() {
    let server = server();
    for option in [
        &["--priority", "12"][..],
        &["--delay", "soon"],
        &["--max-attempts", "0"],
        &["--backoff", "x"],
    ] {
        let mut words = vec!["submit", "idle"];
        words.extend(option);
        let ran = server.run(&words);
        assert_eq!(ran.code, 2, "{option:?}: {ran:?}");
    }
    server.stop();
}

#[test]
fn a_key_makes_one_job_and_another_request_under_it_is_a_conflict() {
    let server = server();
    let first = server.submit(&["idle", "a=1", "--idempotency-key", "k \"1\""]);
    let again = server.run(&["submit", "idle", "a=1", "--idempotency-key", "k \"1\""]);
    assert_eq!(again.text(), format!("{first}\tqueued\n"));
    assert!(again.stderr.starts_with("this key was used before"), "{again:?}");
    let other = server.run(&["submit", "idle", "a=2", "--idempotency-key", "k \"1\""]);
    assert_eq!(other.code, 7, "{other:?}");
    assert!(other.stderr.contains("or another --idempotency-key"), "{other:?}");
    server.stop();
}

#[test]
fn what_is_not_there_ends_with_5_and_names_the_next_command() {
    let server = server();
    let ran = server.run(&["submit", "nowhere"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(
        ran.stderr.contains("raincheck queue set nowhere worker=pull"),
        "{ran:?}"
    );
    for verb in ["get", "result", "input", "cancel", "retry"] {
        let ran = server.run(&["job", verb, "job_01jd8zq3k5e7rv2m4n6p8s0t1w"]);
        assert_eq!((ran.code, ran.text()), (5, ""), "{verb}: {ran:?}");
    }
    server.stop();
}

#[test]
fn a_job_is_shown_as_fields_in_a_pipe() {
    let server = server();
    let id = server.submit(&["idle", "--group", "tenant 7"]);
    let text = server.run(&["job", "get", &id]).ok();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))
    };
    assert_eq!(field("id"), Some(id.as_str()));
    assert_eq!(field("state"), Some("queued"));
    assert_eq!(field("group"), Some("tenant 7"));
    assert_eq!(field("attempt"), Some("0 of 5"));
    assert!(field("created").is_some_and(|at| at.ends_with('Z')), "{text}");
    assert_eq!(server.run(&["job", "get", &id, "-q"]).ok(), id);
    server.stop();
}

#[test]
fn an_input_comes_back_as_it_was_sent() {
    let server = server();
    let odd = [7, 0, 255];
    let ran = Ran::fed(&mut server.command(&["submit", "idle", "-", "-q"]), &odd);
    let id = ran.ok();
    assert_eq!(server.run(&["job", "input", &id]).stdout, odd);
    server.run(&["job", "input", &id, "-o", "in"]).ok();
    assert_eq!(std::fs::read(server.folder().join("in")).unwrap(), odd);
    server.stop();
}

#[test]
fn a_waiting_job_is_cancelled_at_once_and_redeeming_it_ends_with_3() {
    let server = server();
    let id = server.submit(&["idle"]);
    assert_eq!(
        server.run(&["job", "cancel", &id]).ok(),
        format!("{id}\tcancelled")
    );
    let ran = server.run(&["job", "result", &id]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("was cancelled"), "{ran:?}");
    server.stop();
}

#[test]
fn a_running_job_is_told_to_stop() {
    let server = server();
    let id = server.submit(&["gate"]);
    server.until(&id, "running");
    let ran = server.run(&["job", "cancel", &id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("its worker is being told to stop"), "{ran:?}");
    server.until(&id, "cancelled");
    server.stop();
}

#[test]
fn a_finished_job_is_retried_as_a_new_one_and_deleted_when_confirmed() {
    let server = server();
    let id = server.submit(&["echo", "a=1"]);
    server.until(&id, "succeeded");
    let retried = server.run(&["job", "retry", &id, "-q"]).ok();
    assert_ne!(retried, id);
    assert_eq!(
        server.run(&["job", "result", &retried, "--wait"]).ok(),
        r#"{"a":"1"}"#
    );
    let unasked = server.run(&["job", "delete", &id]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(
        unasked
            .stderr
            .contains(&format!("raincheck job delete {id} --yes")),
        "{unasked:?}"
    );
    assert_eq!(
        server.run(&["job", "delete", &id, "--yes"]).ok(),
        format!("{id}\tdeleted")
    );
    assert_eq!(server.run(&["job", "get", &id]).code, 5);
    server.stop();
}

#[test]
fn an_unfinished_job_is_neither_retried_nor_deleted() {
    let server = server();
    let id = server.submit(&["idle"]);
    for words in [&["job", "retry", &id][..], &["job", "delete", &id, "--yes"]] {
        let ran = server.run(words);
        assert_eq!(ran.code, 7, "{ran:?}");
        assert!(
            ran.stderr.contains(&format!("raincheck job cancel {id}")),
            "{ran:?}"
        );
    }
    server.stop();
}

#[test]
fn a_command_that_names_its_server_is_told_the_next_one_with_it() {
    let server = server();
    let ran = Ran::of(crate::rig::raincheck().args(["submit", "nowhere", "--url", &server.url]));
    assert!(
        ran.stderr
            .contains(&format!("raincheck queue list --url {}", server.url)),
        "{ran:?}"
    );
    server.stop();
}

#[test]
fn a_unique_job_is_refused_or_shared() {
    let server = server();
    let first = server.run(&["submit", "idle", "a=1", "--unique", "u", "-q"]);
    let id = first.text().trim().to_owned();
    let refused = server.run(&["submit", "idle", "a=2", "--unique", "u"]);
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    assert!(refused.stderr.contains(&id) && refused.stderr.contains("--on-conflict attach"));
    let shared = server.run(&[
        "submit",
        "idle",
        "a=2",
        "--unique",
        "u",
        "--on-conflict",
        "attach",
        "-q",
    ]);
    assert_eq!((shared.code, shared.text().trim()), (0, &*id));
    assert!(shared.stderr.contains("no job was made") || shared.stderr.is_empty());
    let replaced = server.run(&[
        "submit",
        "idle",
        "a=2",
        "--unique",
        "u",
        "--unique-while",
        "queued",
        "--on-conflict",
        "replace",
        "-q",
    ]);
    assert_ne!((replaced.code, replaced.text().trim()), (0, &*id));
    assert_eq!(
        server.run(&["job", "get", &id, "--json"]).json()["outcome"],
        "cancelled"
    );
    server.stop();
}

#[test]
fn a_link_with_a_ticket_is_all_that_is_needed_to_read_and_cancel_a_job() {
    let server = Server::start(&["--queue", "idle", "--queue", "echo=cmd:cat"]);
    let line = server.run(&["submit", "idle", "a=1", "--ticket", "1h"]).ok();
    let fields: Vec<&str> = line.split('\t').collect();
    let (id, link) = (fields[0], fields[2]);
    assert!(
        link.starts_with(&format!("{}/v1/jobs/{id}/result?ticket=", server.url)),
        "{line}"
    );
    // Nothing but the link tells where the server is.
    let elsewhere = |words: &[&str]| {
        let mut command = server.command(words);
        Ran::of(command.env("RAINCHECK_URL", "http://127.0.0.1:9"))
    };
    let job = elsewhere(&["job", "get", link, "--json"]).json();
    assert_eq!((&job["id"], &job["state"]), (&id.into(), &"queued".into()));
    assert!(
        job["urls"]["cancel"].as_str().unwrap().contains("?ticket="),
        "{job}"
    );
    let waiting = elsewhere(&["job", "result", link]);
    assert_eq!(waiting.code, 6);
    assert!(
        waiting
            .stderr
            .contains(&format!("raincheck job result '{link}' --wait\n")),
        "{waiting:?}"
    );
    let refused = elsewhere(&["job", "patch", link, "--priority", "1"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let forged = format!("{}0", &link[..link.len() - 1]);
    let forged = if forged == link {
        format!("{}1", &link[..link.len() - 1])
    } else {
        forged
    };
    assert_eq!(elsewhere(&["job", "get", &forged]).code, 4);
    assert_eq!(
        elsewhere(&["job", "cancel", link]).ok(),
        format!("{id}\tcancelled")
    );

    let line = server.run(&["submit", "echo", "a=1", "--ticket", "1h"]).ok();
    let link = line.rsplit('\t').next().unwrap();
    assert_eq!(elsewhere(&["job", "result", link, "--wait"]).ok(), r#"{"a":"1"}"#);
    assert_eq!(elsewhere(&["job", "input", link]).ok(), r#"{"a":"1"}"#);
    let events = elsewhere(&["job", "events", link, "--follow"]).ok();
    assert!(events.ends_with("done\tsucceeded"), "{events}");
    let at_once = server.run(&["submit", "echo", "a=1", "--ticket", "1h", "--wait"]);
    assert_eq!(at_once.code, 2, "{at_once:?}");
    server.stop();
}
