//! `raincheck batch` against a real server: uploads that are waited for, broken off, redeemed and cancelled.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::rig::{Ran, Server, raincheck, until};

/// So many lines, in a file of the server's folder.
fn file(server: &Server, count: usize) -> String {
    let lines: String = (0..count)
        .map(|n| format!("{{\"input\":{{\"n\":{n}}}}}\n"))
        .collect();
    let path = server.folder().join("jobs.ndjson");
    std::fs::write(&path, lines).expect("the folder takes a file");
    "jobs.ndjson".to_owned()
}

fn submit(server: &Server, rest: &[&str]) -> Ran {
    server.run(&[&["batch", "submit"][..], rest].concat())
}

#[test]
fn a_file_is_submitted_waited_for_and_redeemed() {
    let server = Server::start(&["--queue", "cat=cmd:cat"]);
    let file = file(&server, 30);
    let ran = submit(&server, &[&file, "--queue", "cat", "--wait"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let fields: Vec<&str> = ran.text().trim_end().split('\t').collect();
    assert_eq!(fields[1..], ["done", "30", "0", "30"]);
    let id = fields[0];
    let results = server.run(&["batch", "results", id]).ok();
    let mut indexes: Vec<u64> = results
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"))
        .map(|line| {
            assert_eq!(line["json"]["n"], line["index"], "each line has its own result");
            line["index"].as_u64().expect("an index is a number")
        })
        .collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..30).collect::<Vec<_>>());
    let rest = server
        .run(&["batch", "results", id, "--after", "28", "--no-follow"])
        .ok();
    assert_eq!(rest.lines().count(), 2);
    let shown = server.run(&["batch", "get", id, "--json"]).json();
    assert_eq!(
        (&shown["done"], &shown["counts"]["succeeded"]),
        (&json!(true), &json!(30))
    );
    assert!(server.run(&["batch", "get", id]).ok().contains("succeeded\t30"));
    let jobs = server.run(&["job", "list", "--batch", id, "-q", "--all"]).ok();
    assert_eq!(jobs.lines().count(), 30);
    server.stop();
}

#[test]
fn lines_may_come_from_a_pipe_and_bad_ones_are_told() {
    let server = Server::start(&["--queue", "idle"]);
    let lines = "{\"input\":1}\n{\n\n{\"queue\":\"nowhere\"}\n";
    let ran = Ran::fed(
        &mut server.command(&["batch", "submit", "-", "--queue", "idle", "--json"]),
        lines.as_bytes(),
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let batch = ran.json();
    assert_eq!((&batch["total"], &batch["rejected"]), (&json!(3), &json!(2)));
    assert!(
        ran.stderr.contains("line 1 was rejected (bad-request)")
            && ran.stderr.contains("line 2 was rejected (unknown-queue)"),
        "{ran:?}"
    );
    server.stop();
}

#[test]
fn waiting_for_a_batch_that_does_not_succeed_ends_with_three() {
    let server = Server::start(&["--queue", "no=cmd:sh -c 'exit 65'"]);
    let file = file(&server, 2);
    let ran = submit(&server, &[&file, "--queue", "no", "--wait"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.text().ends_with("\tdone\t2\t0\t2\n"), "{ran:?}");
    server.stop();
}

#[test]
fn a_batch_is_cancelled_once_somebody_says_yes() {
    let server = Server::start(&["--queue", "idle"]);
    let file = file(&server, 5);
    let id = submit(&server, &[&file, "--queue", "idle", "-q"]).ok();
    let asked = server.run(&["batch", "cancel", &id]);
    assert_eq!(asked.code, 2, "{asked:?}");
    let dry = server.run(&["batch", "cancel", &id, "--dry-run"]);
    assert!(dry.stderr.contains("5 jobs would be cancelled"), "{dry:?}");
    let done = server.run(&["batch", "cancel", &id, "--yes"]).ok();
    assert_eq!(done, format!("{id}\tcancelled\t5\t0\t5"));
    let unknown = server.run(&["batch", "get", "batch_01h455vb4pex5vsknk084sn02q"]);
    assert_eq!(unknown.code, 5, "{unknown:?}");
    server.stop();
}

/// Passes bytes on to the server; the first connection that sends is cut after so many of them.
fn cutting_proxy(server: &Server, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let there = server
        .url
        .strip_prefix("http://")
        .expect("an http URL")
        .to_owned();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut client) = stream else { return };
            let mut upstream = TcpStream::connect(&there).expect("the server is there");
            let mut answers = upstream.try_clone().expect("a socket can be cloned");
            let mut back = client.try_clone().expect("a socket can be cloned");
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let (mut buffer, mut sent) = ([0; 4096], 0);
            std::thread::spawn(move || {
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    sent += read;
                    if n == 0 && sent > after {
                        break;
                    }
                    if upstream.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                // Either end may be gone already.
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = upstream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    url
}

#[test]
fn an_upload_whose_connection_breaks_is_taken_up_again_by_itself() {
    let server = Server::start(&["--queue", "idle"]);
    let count = 20_000;
    let lines = std::fs::read(server.folder().join(file(&server, count))).expect("it was written");
    for (words, input) in [("jobs.ndjson", &[][..]), ("-", &lines)] {
        let url = cutting_proxy(&server, 200_000);
        let arguments = [
            "batch", "submit", "--queue", "idle", "--json", "--url", &url, words,
        ];
        let ran = Ran::fed(&mut server.command(&arguments), input);
        assert!(ran.stderr.contains("the upload broke off"), "{ran:?}");
        assert_eq!(ran.code, 0, "{ran:?}");
        let batch = ran.json();
        assert_eq!((&batch["total"], &batch["rejected"]), (&json!(count), &json!(0)));
    }
    let counts = server.run(&["queue", "get", "idle", "--json"]).json();
    assert_eq!(
        counts["counts"]["queued"],
        2 * count,
        "no line is lost, none is there twice"
    );
    server.stop();
}

#[test]
fn results_go_on_after_the_server_was_killed() {
    let server = Server::start(&["--queue", "cat=cmd:cat", "--listen", "127.0.0.1:0"]);
    let file = file(&server, 10);
    let id = submit(&server, &[&file, "--queue", "cat", "--wait", "-q"]).ok();
    let folder = server.kill();
    let server = Server::start_in(folder, &["--queue", "cat=cmd:cat"]);
    let results = server.run(&["batch", "results", &id, "--after", "4", "-q"]).ok();
    assert_eq!(results.lines().count(), 6);
    server.stop();
}

/// The most memory that the process has held, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("Linux tells it")
}

#[test]
fn an_upload_is_not_held_in_memory() {
    let server = Server::start(&["--queue", "idle"]);
    let pid = server.pid();
    let before = peak(pid);
    let mut child = server
        .command(&["batch", "submit", "-", "--queue", "idle", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let client = child.id();
    let mut stdin = child.stdin.take().expect("it is piped");
    // 160 MB in all.
    let line = format!("{{\"input_text\":\"{}\"}}\n", "x".repeat(8_000));
    let count = 20_000;
    for _ in 0..count {
        stdin.write_all(line.as_bytes()).expect("the client reads");
    }
    let held = peak(client);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let batch: Value = serde_json::from_slice(&output.stdout).expect("it prints the batch");
    assert_eq!((&batch["total"], &batch["rejected"]), (&json!(count), &json!(0)));
    let grown = peak(pid).saturating_sub(before);
    assert!(grown < 70 << 10, "the server grew by {grown} KiB");
    assert!(held < 40 << 10, "the client held {held} KiB");
    server.stop();
}

#[test]
fn an_interrupted_upload_says_how_to_go_on() {
    let server = Server::start(&["--queue", "idle"]);
    let mut child = server
        .command(&[
            "batch",
            "submit",
            "-",
            "--queue",
            "idle",
            "--idempotency-key",
            "k",
        ])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"{\"input\":1}\n").expect("the client reads");
    until("the line is taken", || {
        server.run(&["queue", "get", "idle", "--json"]).json()["counts"]["queued"] == 1
    });
    crate::rig::signal(child.id(), "INT");
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("it is piped");
    stderr.read_to_string(&mut said).expect("messages are text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(
        said.contains("raincheck batch submit - --queue idle --idempotency-key k"),
        "{said}"
    );
    drop(stdin);
    let whole = Ran::fed(
        &mut server.command(&[
            "batch",
            "submit",
            "-",
            "--queue",
            "idle",
            "--idempotency-key",
            "k",
            "--json",
        ]),
        b"{\"input\":1}\n{\"input\":2}\n",
    );
    assert_eq!(whole.json()["total"], 2, "{whole:?}");
    server.stop();
}

#[test]
fn without_a_server_nothing_is_tried_for_long() {
    let mut command = raincheck();
    command.args(["batch", "submit", "-", "--url", "http://127.0.0.1:9"]);
    let ran = Ran::fed(&mut command, b"{}\n");
    assert_eq!(ran.code, 69, "{ran:?}");
}
