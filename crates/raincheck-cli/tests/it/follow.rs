//! Following jobs from the command line: `submit --follow`, `job events`, `job logs`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::rig::Server;

/// The teller of `examples/tokens`; `None` where there is no Python.
fn teller(server: &Server) -> Option<Running> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/tokens/teller.py");
    let python = Command::new("python3")
        .args([file, "tell"])
        .env("RAINCHECK_URL", &server.url)
        .env("NO_PROXY", "*")
        .env("PACE", "0.01")
        .stdout(Stdio::null())
        .spawn();
    python.ok().map(Running)
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SAID: &str = "You said hello and I say it is raining cats and dogs. ";
const SUBMIT: [&str; 5] = ["submit", "tell", "@hello.txt", "--content-type", "text/plain"];

fn start() -> Server {
    let server = Server::start(&[
        "--queue",
        "tell",
        "--queue",
        "echo=cmd:cat",
        "--queue",
        "fail=cmd:false",
    ]);
    std::fs::write(server.folder().join("hello.txt"), "hello").expect("the folder is there");
    server
}

#[test]
fn a_submit_that_follows_prints_what_its_worker_emits() {
    let server = start();
    let Some(_teller) = teller(&server) else { return };
    let ran = server.run(&[&SUBMIT[..], &["--follow"]].concat());
    assert_eq!((ran.code, ran.text()), (0, SAID));
    assert_eq!(ran.stderr, "thinking about 5 characters\n");
    server.stop();
}

#[test]
fn where_nothing_is_emitted_the_result_is_printed() {
    let server = start();
    let ran = server.run(&["submit", "echo", "{}", "--follow"]);
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (0, "{}", ""));
    let ran = server.run(&["submit", "fail", "{}", "--follow", "--max-attempts", "1"]);
    assert_eq!((ran.code, ran.text()), (3, ""));
    assert!(ran.stderr.contains("failed"), "{ran:?}");
    server.stop();
}

#[test]
fn events_and_logs_are_shown_so_far_or_to_the_end() {
    let server = start();
    let id = server.submit(&SUBMIT[1..]);
    let ran = server.run(&["job", "events", &id]);
    assert_eq!((ran.code, ran.text()), (0, "state\tqueued, attempt 0\n"));
    let Some(_teller) = teller(&server) else { return };
    let ran = server.run(&["job", "events", &id, "--follow"]);
    let lines: Vec<_> = ran.text().lines().collect();
    assert_eq!(lines.last(), Some(&"done\tsucceeded"), "{ran:?}");
    assert!(lines.contains(&"output\tcats "), "{ran:?}");
    let ran = server.run(&["job", "logs", &id, "--follow"]);
    assert_eq!((ran.code, ran.text()), (0, "thinking about 5 characters\n"));
    let ran = server.run(&["job", "events", &id, "--json"]);
    let events: Vec<serde_json::Value> = ran
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "state");
    assert_eq!(events[0]["data"]["outcome"], "succeeded");
    let ran = server.run(&["job", "events", "job_01jd8zq3k5e7rv2m4n6p8s0t1w"]);
    assert_eq!(ran.code, 5);
    server.stop();
}

#[test]
fn a_follower_goes_on_when_the_server_is_back() {
    let server = start();
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let id = server.submit(&SUBMIT[1..]);
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let mut follower = server.command(&["job", "events", &id, "--follow"]);
    let follower = follower.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut follower = Running(follower.unwrap());
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap());
    let mut text = String::new();
    lines.read_line(&mut text).unwrap();
    assert_eq!(text, "state\tqueued, attempt 0\n");
    let folder = server.stop();
    let listen = format!("127.0.0.1:{port}");
    let server = Server::start_in(folder, &["--queue", "tell", "--listen", &listen]);
    assert!(server.url.ends_with(&port));
    let _teller = teller(&server);
    lines.read_to_string(&mut text).unwrap();
    assert!(follower.0.wait().unwrap().success(), "{text}");
    assert!(text.ends_with("done\tsucceeded\n"), "{text}");
    assert_eq!(text.matches("output\tcats ").count(), 1);
    server.stop();
}
