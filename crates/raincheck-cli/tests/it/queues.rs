//! `queue …` against a real server.

use crate::rig::Server;

#[test]
fn no_queue_is_an_empty_list_and_never_prose() {
    let server = Server::start(&[]);
    let ran = server.run(&["queue", "list"]);
    assert_eq!((ran.code, ran.text()), (0, ""));
    assert!(
        ran.stderr.contains("raincheck queue set NAME worker=pull"),
        "{ran:?}"
    );
    assert_eq!(server.run(&["queue", "list", "--json"]).ok(), "[]");
    assert_eq!(server.run(&["queue", "list", "-q"]).ok(), "");
    server.stop();
}

#[test]
fn queues_are_listed_with_tabs_in_a_pipe_and_whole_in_json() {
    let server = Server::start(&["--queue", "b=http://127.0.0.1:9/x", "--queue", "a"]);
    server.submit(&["a"]);
    assert_eq!(
        server.run(&["queue", "list"]).ok(),
        "a\tpull\t-\t0\t1\t0\t0\t0\t0\t0\nb\tpush\t-\t0\t0\t0\t0\t0\t0\t0"
    );
    let list = server.run(&["queue", "list", "--json"]).json();
    assert_eq!(list[0]["name"], "a");
    assert_eq!(list[0]["counts"]["queued"], 1);
    assert_eq!(list[1]["worker"]["push"][0], "http://127.0.0.1:9/x");
    assert_eq!(server.run(&["queue", "list", "-q"]).ok(), "a\nb");
    server.stop();
}

#[test]
fn set_creates_a_queue_and_then_changes_only_what_is_named() {
    let server = Server::start(&[]);
    let ran = server.run(&["queue", "set", "q", "worker=pull", "timeout=10m", "concurrency=4"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, "queue q was created\n"),
        "{ran:?}"
    );
    let ran = server.run(&["queue", "set", "q", "concurrency=", "depth=7", "--json"]);
    let queue = ran.json();
    assert_eq!(queue["timeout"], "10m");
    assert_eq!(queue["depth"], 7);
    assert_eq!(queue["origin"]["timeout"], "set");
    assert_eq!(queue["origin"]["concurrency"], "default");
    let text = server.run(&["queue", "get", "q"]).ok();
    assert!(text.contains("\ntimeout\t10m\tset\n"), "{text}");
    assert!(text.contains("\nmax_attempts\t5\tdefault\n"), "{text}");
    let refused = server.run(&["queue", "set", "q", "retries=3"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("retries"), "{refused:?}");
    server.stop();
}

#[test]
fn a_queue_of_the_servers_flags_is_changed_there_only() {
    let server = Server::start(&["--queue", "q=cmd:cat"]);
    let ran = server.run(&["queue", "set", "q", "timeout=1s"]);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(
        ran.stderr.contains("Change the --queue flag of raincheck serve"),
        "{ran:?}"
    );
    let ran = server.run(&["queue", "set", "p", r#"worker:={"process":["cat"]}"#]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.stderr.contains("raincheck serve --queue p='cmd:…'"),
        "{ran:?}"
    );
    server.stop();
}

#[test]
fn a_paused_queue_gives_out_nothing_until_it_is_resumed() {
    let server = Server::start(&["--queue", "q=cmd:cat"]);
    assert_eq!(server.run(&["queue", "pause", "q"]).ok(), "q\tpaused");
    let id = server.submit(&["q", "a=1"]);
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!(
        (&job["state"], &job["waiting_for"]),
        (&"queued".into(), &"pause".into())
    );
    let ran = server.run(&["queue", "wait", "q", "--timeout", "1ms"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(
        ran.stderr
            .contains("still has 1 unfinished jobs (1 waiting, 0 running)"),
        "{ran:?}"
    );
    assert_eq!(server.run(&["queue", "resume", "q"]).ok(), "q\tactive");
    let ran = server.run(&["queue", "wait", "q", "--json"]);
    assert_eq!((ran.code, &ran.json()["counts"]["succeeded"]), (0, &1.into()));
    server.stop();
}

#[test]
fn a_purge_asks_first_and_tells_how_many_it_cancelled() {
    let server = Server::start(&["--queue", "q"]);
    let jobs: Vec<_> = (0..3).map(|_| server.submit(&["q"])).collect();
    let unasked = server.run(&["queue", "purge", "q"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(
        unasked.stderr.contains("raincheck queue purge q --yes"),
        "{unasked:?}"
    );
    assert_eq!(
        server.run(&["queue", "purge", "q", "--dry-run"]).ok(),
        "q\twould_cancel\t3"
    );
    assert_eq!(
        server.run(&["job", "get", &jobs[0], "--json"]).json()["state"],
        "queued"
    );
    assert_eq!(
        server.run(&["queue", "purge", "q", "--yes", "--json"]).ok(),
        r#"{"cancelled":3}"#
    );
    assert_eq!(
        server.run(&["job", "get", &jobs[0], "--json"]).json()["state"],
        "cancelled"
    );
    server.stop();
}

#[test]
fn a_queue_is_deleted_when_it_is_confirmed_and_nothing_is_unfinished() {
    let server = Server::start(&[]);
    server.run(&["queue", "set", "q", "worker=pull"]).ok();
    let id = server.submit(&["q"]);
    let ran = server.run(&["queue", "delete", "q", "--yes"]);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.stderr.contains("raincheck queue purge q"), "{ran:?}");
    server.run(&["job", "cancel", &id]).ok();
    assert_eq!(server.run(&["queue", "delete", "q"]).code, 2);
    assert_eq!(server.run(&["queue", "delete", "q", "--yes"]).ok(), "q\tdeleted");
    assert_eq!(server.run(&["queue", "get", "q"]).code, 5);
    server.stop();
}
