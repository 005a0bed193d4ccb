//! How a server starts: what it prints, what it refuses, and what becomes of the queues of its flags.

use crate::rig::{Ran, Server, raincheck};

#[test]
fn a_free_port_is_told_in_the_shape_that_is_asked_for() {
    let server = Server::start(&[]);
    assert!(
        server.url.starts_with("http://127.0.0.1:") && !server.url.ends_with(":0"),
        "{}",
        server.url
    );
    server.run(&["queue", "list"]).ok();
    server.stop();
}

#[test]
fn a_second_server_on_one_store_is_refused() {
    let server = Server::start(&[]);
    let mut second = raincheck();
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(server.store());
    let ran = Ran::of(&mut second);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(
        ran.stderr.contains("is in use already, by another process"),
        "{ran:?}"
    );
    server.run(&["queue", "list"]).ok();
    server.stop();
}

#[test]
fn a_port_that_is_taken_is_told_with_the_way_out() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let address = server.url.strip_prefix("http://").unwrap();
    let ran = Ran::of(
        raincheck()
            .args(["serve", "--listen", address])
            .current_dir(folder.path()),
    );
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.stderr.contains("--listen 127.0.0.1:0"), "{ran:?}");
    server.stop();
}

#[test]
fn a_store_that_is_damaged_ends_the_start_with_70_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("raincheck.db");
    std::fs::write(&file, "this is no database, and must not become one").unwrap();
    let ran = Ran::of(
        raincheck()
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(folder.path()),
    );
    assert_eq!(ran.code, 70, "{ran:?}");
    assert!(ran.stderr.contains("raincheck.db"), "{ran:?}");
    assert_eq!(
        std::fs::read(&file).unwrap(),
        b"this is no database, and must not become one"
    );
}

#[test]
fn a_program_that_is_not_there_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tool"), "").unwrap();
    let run = |queue: &str| {
        Ran::of(
            raincheck()
                .args(["serve", "--queue", queue])
                .current_dir(folder.path()),
        )
    };
    let ran = run("q=cmd:tool");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("write cmd:./tool"), "{ran:?}");
    assert!(run("q=cmd:./tool").stderr.contains("chmod +x ./tool"));
    assert!(
        run("q=cmd:./nothing")
            .stderr
            .contains("there is no program \"./nothing\"")
    );
    assert!(!folder.path().join("raincheck-data").exists(), "nothing was made");
}

#[test]
fn a_queue_that_no_flag_names_any_more_becomes_ordinary_and_its_command_goes() {
    let server = Server::start(&["--queue", "run=cmd:cat", "--queue", "push=http://127.0.0.1:9/x"]);
    server.run(&["queue", "pause", "run"]).ok();
    let server = Server::start_in(server.stop(), &[]);
    let queues = server.run(&["queue", "list", "--json"]).json();
    assert_eq!(
        (&queues[0]["name"], &queues[0]["managed"]),
        (&"push".into(), &false.into())
    );
    assert_eq!(queues[0]["worker"]["push"][0], "http://127.0.0.1:9/x");
    assert_eq!(
        (&queues[1]["name"], &queues[1]["worker"]),
        (&"run".into(), &"pull".into())
    );
    assert!(queues[1]["paused"].is_string(), "the pause is durable");
    server.run(&["queue", "set", "run", "timeout=1s"]).ok();
    let server = Server::start_in(server.stop(), &["--queue", "run=cmd:cat"]);
    let queue = server.run(&["queue", "get", "run", "--json"]).json();
    assert_eq!(
        (&queue["managed"], &queue["timeout"]),
        (&true.into(), &"1s".into())
    );
    assert_eq!(queue["worker"]["process"].as_array().map(Vec::len), Some(1));
    server.stop();
}

#[test]
fn dev_creates_queues_as_they_are_named() {
    let server = Server::start(&["--dev"]);
    server.submit(&["fresh"]);
    assert_eq!(server.run(&["queue", "list", "-q"]).ok(), "fresh");
    server.stop();
}

#[test]
fn the_log_is_json_lines_where_nobody_looks_and_names_the_url() {
    let server = Server::start(&[]);
    server.signal("TERM");
    let url = server.url.clone();
    let (status, log, _folder) = server.ended();
    assert!(status.success());
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let listening = lines
        .iter()
        .find(|line| line["msg"] == "listening")
        .expect("it says where it listens");
    assert_eq!(listening["url"], url);
    assert_eq!(listening["level"], "info");
    assert!(listening["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')));
    assert!(
        lines
            .iter()
            .any(|line| line["msg"] == "told to stop" && line["signal"] == "SIGTERM"),
        "{log}"
    );
}

#[test]
fn a_line_of_the_log_tells_how_an_attempt_ended_and_nothing_of_what_was_in_it() {
    let server = Server::start(&["--queue", "shout=cmd:tr a-z A-Z"]);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sf", "-H", &format!("traceparent: {parent}"), "-d", "hush"])
        .arg(format!("{}/v1/queues/shout/jobs?wait=30", server.url));
    assert_eq!(curl.output().unwrap().stdout, b"HUSH");
    server.logged("attempt settled", 1);
    server.signal("TERM");
    let (_, log, _folder) = server.ended();
    let line = log.lines().find(|line| line.contains("attempt settled")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["queue"], "shout");
    assert_eq!(line["attempt"], 1);
    assert_eq!(line["outcome"], "succeeded");
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert!(
        line["run_ms"].is_u64() && line["job_id"].as_str().unwrap().starts_with("job_"),
        "{line}"
    );
    assert!(!log.to_lowercase().contains("hush"), "{log}");
}
