//! `key …`, and how the other commands open a server that has keys.

use serde_json::Value as Json;

use crate::rig::{Ran, Server, locked, locked_in, raincheck};

#[test]
fn an_address_of_others_is_served_where_there_is_a_key_and_asks_for_it() {
    let (server, key) = locked(&["--queue", "q", "--listen", "0.0.0.0:0", "--insecure-http"]);
    assert_eq!(server.run(&["submit", "q", "-q"]).code, 4);
    assert!(server.by(&key, &["submit", "q", "-q"]).ok().starts_with("job_"));
    let keyless = raincheck()
        .args(["serve", "--listen", "0.0.0.0:0", "--insecure-http", "--store"])
        .arg(server.folder().join("fresh"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&keyless.stderr).into_owned();
    assert_eq!(keyless.status.code(), Some(2), "{said}");
    assert!(
        said.contains("raincheck key create ops --scope admin --store"),
        "{said}"
    );
    server.stop();
}

#[test]
fn the_first_key_is_made_before_the_server_runs_and_opens_it() {
    let (server, key) = locked(&["--queue", "q"]);
    assert!(key.starts_with("rck_") && key.len() == 62, "{key}");
    let shut_out = server.run(&["queue", "list"]);
    assert_eq!((shut_out.code, shut_out.text()), (4, ""), "{shut_out:?}");
    assert!(shut_out.stderr.contains("RAINCHECK_API_KEY"), "{shut_out:?}");
    assert!(server.by(&key, &["queue", "list"]).ok().starts_with("q\t"));
    assert!(
        server
            .run(&["queue", "list", "--api-key", &key])
            .ok()
            .starts_with("q\t")
    );
    let file = server.folder().join("key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let mut from_file = server.command(&["queue", "list"]);
    assert!(
        Ran::of(from_file.env("RAINCHECK_API_KEY_FILE", &file))
            .ok()
            .starts_with("q\t")
    );
    let mistyped = server.by(&key[..61], &["queue", "list"]);
    assert_eq!(mistyped.code, 2, "{mistyped:?}");
    assert!(
        !mistyped.stderr.contains(&key[13..61]),
        "no message holds a key: {mistyped:?}"
    );
    server.stop();
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let (server, key) = locked(&["--queue", "q"]);
    let made = server
        .by(
            &key,
            &[
                "key",
                "create",
                "ci",
                "--scope",
                "submit",
                "--queue",
                "q*",
                "--expires-in",
                "90d",
                "--json",
            ],
        )
        .json();
    let (id, ci) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let submitted = server.by(ci, &["submit", "q", "x=1"]);
    assert_eq!(submitted.code, 0, "{submitted:?}");
    let refused = server.by(ci, &["job", "list"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let listed = server.by(&key, &["key", "list"]).ok();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[1][..5], [id, "ci", "default", "submit", "q*"]);
    assert!(!listed.contains(&ci[13..]));
    let revoked = server.by(&key, &["key", "revoke", id, "--yes"]).ok();
    assert_eq!(revoked, format!("{id}\trevoked"));
    assert_eq!(server.by(ci, &["submit", "q", "x=1"]).code, 4);
    assert_eq!(server.by(&key, &["key", "revoke", id, "--yes"]).code, 5);
    assert_eq!(server.by(&key, &["key", "revoke", &key[4..12], "--yes"]).code, 7);
    server.stop();
}

#[test]
fn a_server_that_runs_for_a_moment_keeps_when_its_keys_were_used() {
    let (server, key) = locked(&["--queue", "q"]);
    let used = |server: &Server| {
        let listed = server.by(&key, &["key", "list", "--json"]).json();
        listed[0]["last_used_at"].clone()
    };
    assert_eq!(used(&server), Json::Null, "it is told a minute later");
    let server = Server::start_in(server.stop(), &["--queue", "q"]);
    assert!(used(&server).is_string(), "or when the server stops");
    server.stop();
}

#[test]
fn a_store_that_is_in_use_or_a_first_key_that_is_none_makes_no_key() {
    let server = Server::start(&[]);
    let store = server.store();
    let create = |scope: &str, store: &std::path::Path| {
        let mut create = raincheck();
        create
            .args(["key", "create", "x", "--scope", scope, "--store"])
            .arg(store);
        Ran::of(&mut create)
    };
    let in_use = create("admin", &store);
    assert_eq!((in_use.code, in_use.text()), (1, ""), "{in_use:?}");
    let elsewhere = server.folder().join("elsewhere");
    let refused = create("submit", &elsewhere);
    assert_eq!((refused.code, refused.text()), (7, ""), "{refused:?}");
    assert_eq!(create("admin", &elsewhere).code, 0);
    server.stop();
}

#[test]
fn programs_that_the_server_keeps_alive_work_on_a_server_with_keys() {
    let script = "while :; do curl -s -m 40 -H \"Authorization: Bearer $RAINCHECK_API_KEY\" -H 'Prefer: wait=5' \
                  --json '{\"worker\":\"w\"}' \"$RAINCHECK_URL/v1/queues/$RAINCHECK_QUEUE/claim\" | \
                  grep -o 'l_[0-9a-z]*' | while read lease; do curl -s -d done -H \"Authorization: Bearer \
                  $RAINCHECK_API_KEY\" \"$RAINCHECK_URL/v1/leases/$lease/succeed\"; done; done";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("worker.sh"), script).unwrap();
    let (server, key) = locked_in(folder, &["--queue", "q=keep-alive:sh worker.sh"]);
    let done = server.by(&key, &["submit", "q", "x=1", "--wait=50s"]);
    assert_eq!((done.code, done.text()), (0, "done"), "{done:?}");
    server.stop();
}

#[test]
fn what_administrators_did_is_listed() {
    let (server, key) = locked(&["--queue", "q"]);
    server.by(&key, &["queue", "pause", "q"]).ok();
    let read = server.by(&key, &["key", "create", "r", "--scope", "read"]).ok();
    let refused = server.by(&read, &["queue", "resume", "q"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let listed = server.by(&key, &["audit", "list"]).ok();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    let told: Vec<_> = rows.iter().map(|row| (row[1], row[2], row[4], row[6])).collect();
    let (root, reader) = (&key[4..12], &read[4..12]);
    let here = "127.0.0.1";
    assert_eq!(
        told,
        [
            (reader, here, "resumeQueue", "forbidden"),
            (root, here, "createKey", "done"),
            (root, here, "pauseQueue", "done"),
            ("local", "-", "createKey", "done"),
        ]
    );
    assert_eq!(rows[1][5], format!("/v1/keys/{reader}"));
    assert!(!listed.contains(&read[13..]) && !listed.contains(&key[13..]));
    let of_reader = server
        .by(
            &key,
            &["audit", "list", "--key", reader, "--since", "1h", "--json"],
        )
        .json();
    assert_eq!(of_reader[0]["action"], "resumeQueue");
    assert_eq!(of_reader[0]["outcome"], "refused");
    assert_eq!(of_reader.as_array().unwrap().len(), 1);
    let none = server
        .by(&key, &["audit", "list", "--action", "deleteQueue", "--json"])
        .ok();
    assert_eq!(none, "[]");
    assert_eq!(server.by(&read, &["audit", "list"]).code, 4);
    // The same in the log, as it happens.
    server.logged("administrative act", 3);
    server.signal("TERM");
    let (_, log, _) = server.ended();
    let lines = log.lines().filter(|line| line.contains("administrative act"));
    let lines: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (&line["actor"], &line["action"], line["status"].as_u64().unwrap()))
        .map(|(who, what, status)| (who.as_str().unwrap(), what.as_str().unwrap(), status))
        .collect();
    assert_eq!(
        told,
        [
            (root, "pauseQueue", 200),
            (root, "createKey", 201),
            (reader, "resumeQueue", 403)
        ]
    );
    assert!(!log.contains(&read[13..]) && !log.contains(&key[13..]), "{log}");
}
