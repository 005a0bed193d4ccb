//! `raincheck doctor`: it finds what is wrong, and says what to do.

use serde_json::Value as Json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::door::{TLS, certify};
use crate::rig::{Ran, Server, raincheck};

/// What it found about this, on a machine or of a server that may be at fault.
fn found<'a>(findings: &'a Json, about: &str) -> &'a Json {
    let mut all = findings.as_array().expect("a list").iter();
    all.find(|finding| finding["about"] == about)
        .unwrap_or_else(|| panic!("{about}: {findings}"))
}

/// No server listens there.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn a_server_that_works_is_found_well() {
    let server = Server::start(&["--queue", "words"]);
    let ran = server.run(&["doctor", "--json", "--store", "store"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let findings = ran.json();
    for about in [
        "configuration",
        "store",
        "space",
        "sync",
        "server",
        "clock",
        "access",
        "queues",
    ] {
        let finding = found(&findings, about);
        assert_ne!(finding["state"], "fault", "{finding}");
    }
    assert_eq!(found(&findings, "store")["state"], "ok", "{findings}");
    let plain = server.run(&["doctor", "--store", "store"]);
    assert!(
        plain
            .text()
            .contains(&format!("ok\tserver\ttakes work at {}", server.url))
    );
    server.stop();
}

#[test]
fn a_server_that_is_not_there_is_a_fault_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = raincheck();
    command
        .args(["doctor", "--json", "--url", NOBODY])
        .current_dir(folder.path());
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, 69, "{ran:?}");
    let findings = ran.json();
    let finding = found(&findings, "server");
    assert_eq!(finding["state"], "fault", "{finding}");
    assert!(finding["next"].as_str().unwrap().contains("raincheck serve"));
    assert!(
        found(&findings, "store")["found"]
            .as_str()
            .unwrap()
            .contains("made at the first start")
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is made"
    );
}

#[test]
fn ready_asks_only_whether_the_server_takes_work() {
    let server = Server::start(&[]);
    assert_eq!(server.run(&["doctor", "--ready"]).ok(), "ready");
    let ran = server.run(&["doctor", "--ready", "--url", NOBODY]);
    assert_eq!((ran.code, ran.text()), (69, ""), "{ran:?}");
    let address = server.url.trim_start_matches("http://");
    let configured = Ran::of(
        raincheck()
            .args(["doctor", "--ready"])
            .env("RAINCHECK_LISTEN", address),
    );
    assert_eq!(configured.ok(), "ready", "where it is said to listen");
    server.stop();
}

#[test]
fn a_server_that_speaks_tls_under_another_name_is_ready_by_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let server = Server::start_in(folder, &TLS);
    let address = server.url.trim_start_matches("https://").to_owned();
    let ready = |certificate: &Path, url: Option<&str>| {
        let mut doctor = raincheck();
        doctor
            .args(["doctor", "--ready"])
            .args(url.map(|url| format!("--url={url}")))
            .env("RAINCHECK_LISTEN", &address)
            .env("RAINCHECK_TLS_CERT", certificate.join("cert.pem"))
            .env("RAINCHECK_TLS_KEY", certificate.join("key.pem"));
        Ran::of(&mut doctor)
    };
    assert_eq!(ready(server.folder(), None).ok(), "ready");
    let other = tempfile::tempdir().unwrap();
    certify(other.path());
    let another = ready(other.path(), None);
    assert_eq!(another.code, 69, "whoever has taken the port: {another:?}");
    assert!(another.stderr.contains("another certificate than"), "{another:?}");
    let by_name = server.url.replace("127.0.0.1", "localhost");
    let named = ready(server.folder(), Some(&by_name));
    assert_eq!(
        named.code, 69,
        "nobody vouches for a server that is named: {named:?}"
    );
    server.stop();
}

/// Answers everything with this document.
fn says(document: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().expect("a socket can be cloned")).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}",
                document.len()
            );
            // A client that has gone needs none.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn damaged_jobs_are_a_fault_and_are_named() {
    let damaged = says(
        r#"{"ready":true,"checks":{"store":"ok","intake":"ok"},"damaged":{"count":2,"jobs":["job_1","job_2"]}}"#,
    );
    let ran = Ran::of(raincheck().args(["doctor", "--json", "--url", &damaged]));
    assert_ne!(ran.code, 0, "{ran:?}");
    let findings = ran.json();
    let finding = found(&findings, "damage");
    assert_eq!(finding["state"], "fault", "{finding}");
    let text = finding["found"].as_str().unwrap();
    assert!(text.contains("2 (job_1, job_2)"), "{finding}");
    let ready = Ran::of(raincheck().args(["doctor", "--ready", "--url", &damaged]));
    assert_eq!(ready.ok(), "ready", "the others go on");
}

#[test]
fn jobs_that_nobody_works_are_told_of() {
    let server = Server::start(&["--queue", "words"]);
    let warned = |part: &str| {
        let findings = server.run(&["doctor", "--json"]).json();
        let finding = found(&findings, "queues");
        assert_eq!(finding["state"], "warning", "{finding}");
        assert!(finding["found"].as_str().unwrap().contains(part), "{finding}");
        finding["next"].as_str().unwrap().to_owned()
    };
    server.submit(&["words"]);
    assert!(warned("words has no worker (jobs waiting: 1)").contains("raincheck work words"));
    server.run(&["queue", "pause", "words"]).ok();
    assert!(warned("words is paused").contains("queue resume words"));
    server.stop();
}

#[test]
fn a_wrong_key_is_a_fault_and_a_good_one_is_told_so() {
    let server = Server::start(&[]);
    let key = server
        .run(&["key", "create", "ops", "--scope", "admin", "-q"])
        .ok();
    let with = |key: &str| server.run(&["doctor", "--json", "--api-key", key]);
    let ran = with(&key);
    assert_eq!(found(&ran.json(), "access")["found"], "the key is good");
    let ran = server.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(found(&ran.json(), "access")["state"], "fault");
    server.stop();
}

#[test]
fn a_configuration_with_a_mistake_and_an_open_store_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raincheck.toml"), "drian = \"1s\"\n").unwrap();
    let doctor = || {
        let mut command = raincheck();
        command
            .args(["doctor", "--json", "--store", "open", "--url", NOBODY])
            .current_dir(folder.path());
        Ran::of(&mut command)
    };
    let findings = doctor().json();
    let finding = found(&findings, "configuration");
    assert_eq!(finding["state"], "fault");
    assert!(finding["found"].as_str().unwrap().contains("drain"), "{finding}");
    std::fs::remove_file(folder.path().join("raincheck.toml")).unwrap();
    let store = folder.path().join("open");
    std::fs::create_dir(&store).unwrap();
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o755)).unwrap();
    let findings = doctor().json();
    let finding = found(&findings, "store");
    assert_eq!(finding["state"], "warning");
    assert!(
        finding["next"].as_str().unwrap().contains("chmod 700"),
        "{finding}"
    );
}
