//! `job list` and `job patch` against a real server.

use crate::rig::Server;

#[test]
fn no_job_is_an_empty_list_and_never_prose() {
    let server = Server::start(&["--queue", "idle"]);
    let ran = server.run(&["job", "list"]);
    assert_eq!(
        (ran.code, ran.text(), ran.stderr.as_str()),
        (0, "", "No job matches.\n")
    );
    assert_eq!(server.run(&["job", "list", "--json"]).ok(), "[]");
    let quiet = server.run(&["job", "list", "-q"]);
    assert_eq!((quiet.code, quiet.text(), quiet.stderr.as_str()), (0, "", ""));
    server.stop();
}

#[test]
fn jobs_are_listed_newest_first_with_tabs_in_a_pipe_and_whole_in_json() {
    let server = Server::start(&["--queue", "idle", "--queue", "other"]);
    let first = server.submit(&["idle", "--tag", "eu", "--tag", "b c"]);
    let second = server.submit(&["other", "--group", "g"]);
    let text = server.run(&["job", "list"]).ok();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0][..4], [&*second, "other", "queued", "0"]);
    assert_eq!(lines[1][..4], [&*first, "idle", "queued", "0"]);
    assert_eq!((lines[1].len(), lines[1][5]), (6, "eu,b c"));
    let json = server.run(&["job", "list", "--json"]).json();
    assert_eq!(
        (&json[0]["id"], &json[1]["tags"][1]),
        (&second.clone().into(), &"b c".into())
    );
    for (filter, ids) in [
        (&["--queue", "idle"][..], &first),
        (&["--tag", "b c"], &first),
        (&["--group", "g"], &second),
        (
            &["--state", "queued", "--queue", "other", "--after", "1h"],
            &second,
        ),
    ] {
        let words = [&["job", "list", "-q"][..], filter].concat();
        assert_eq!(server.run(&words).ok(), **ids, "{filter:?}");
    }
    assert_eq!(server.run(&["job", "list", "-q", "--before", "1h"]).ok(), "");
    let refused = server.run(&["job", "list", "--state", "done"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("?state= takes one of"), "{refused:?}");
    server.stop();
}

#[test]
fn a_limit_is_kept_and_all_follows_every_page() {
    let server = Server::start(&["--queue", "idle"]);
    let mut ids: Vec<String> = (0..5).map(|_| server.submit(&["idle"])).collect();
    ids.reverse();
    let some = server.run(&["job", "list", "-q", "--limit", "2"]);
    assert_eq!(some.ok(), ids[..2].join("\n"));
    let told = server.run(&["job", "list", "--limit", "2"]);
    assert!(told.stderr.contains("There are more"), "{told:?}");
    assert_eq!(server.run(&["job", "list", "-q", "--all"]).ok(), ids.join("\n"));
    assert_eq!(
        server.run(&["job", "list", "-q", "--limit", "999"]).ok(),
        ids.join("\n")
    );
    server.stop();
}

#[test]
fn a_job_that_waits_is_changed_and_one_that_is_done_is_not() {
    let server = Server::start(&["--queue", "idle", "--queue", "echo=cmd:cat"]);
    let id = server.submit(&["idle", "--tag", "old"]);
    let words = [
        "job",
        "patch",
        &id,
        "--priority",
        "0",
        "--at",
        "2199-01-01T00:00:00Z",
        "--tag",
        "new",
    ];
    assert_eq!(server.run(&words).ok(), format!("{id}\tscheduled"));
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!((&job["priority"], &job["tags"][0]), (&0.into(), &"new".into()));
    assert_eq!(
        server
            .run(&["job", "patch", &id, "--at", "@1", "--no-tags", "-q"])
            .ok(),
        id
    );
    let job = server.run(&["job", "get", &id, "--json"]).json();
    assert_eq!(
        (&job["state"], &job["tags"]),
        (&"queued".into(), &serde_json::json!([]))
    );
    let done = server.submit(&["echo", "1"]);
    server.until(&done, "succeeded");
    let refused = server.run(&["job", "patch", &done, "--priority", "1"]);
    assert_eq!(refused.code, 7, "{refused:?}");
    server.stop();
}

#[test]
fn all_jobs_that_a_filter_matches_are_acted_on_once_somebody_said_yes() {
    let server = Server::start(&["--queue", "idle", "--queue", "other"]);
    for queue in ["idle", "idle", "idle", "other"] {
        assert_eq!(server.run(&["submit", queue, "a=1", "-q"]).code, 0);
    }
    let looked = server.run(&["job", "cancel", "--queue", "idle", "--dry-run"]);
    assert_eq!((looked.code, looked.text()), (0, "would_cancel\t3\n"));
    let asked = server.run(&["job", "cancel", "--queue", "idle"]);
    assert_eq!(asked.code, 2, "nobody is there to be asked");
    assert_eq!(
        server
            .run(&["job", "list", "--state", "queued", "-q"])
            .text()
            .lines()
            .count(),
        4
    );
    let done = server.run(&["job", "cancel", "--queue", "idle", "--yes"]);
    assert_eq!((done.code, done.text()), (0, "cancelled\t3\n"));
    let retried = server.run(&["job", "retry", "--state", "cancelled", "--yes", "--json"]);
    assert_eq!(retried.json(), serde_json::json!({"retried": 3}));
    let deleted = server.run(&[
        "job",
        "delete",
        "--state",
        "cancelled",
        "--before",
        "0s",
        "--yes",
        "-q",
    ]);
    assert_eq!(deleted.text(), "3\n");
    assert_eq!(server.run(&["job", "list", "-q"]).text().lines().count(), 4);
    assert_eq!(
        server.run(&["job", "cancel", "--state", "failed", "--yes"]).code,
        2
    );
    assert_eq!(
        server.run(&["job", "cancel"]).code,
        2,
        "neither a job nor a filter"
    );
    server.stop();
}
