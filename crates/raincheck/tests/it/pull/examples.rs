//! The workers in `examples/workers`, run as they are. Where Python or curl is missing they are skipped, and say so.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{claim, document, path, settings, stands};
use crate::events::Stream;
use crate::harness::Server;

/// A worker's process with all that it started.
struct Worker {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts a worker, where what it needs is there.
    fn start(server: &Server, needs: &str, file: &str, args: &[&str], env: &[(&str, &str)]) -> Option<Self> {
        let version = std::process::Command::new(needs)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !version.is_ok_and(|status| status.success()) {
            skipped(file, needs);
            return None;
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/workers/");
        let mut process = Command::new(format!("{folder}{file}"))
            .args(args)
            .env("RAINCHECK_URL", format!("http://{}", server.addr))
            .env("NO_PROXY", "*")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        Some(Self { process, says })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id().unwrap()).unwrap()).unwrap()
    }

    /// Waits for a line that starts so.
    async fn says(&mut self, start: &str) -> String {
        loop {
            let line = self.says.next_line().await.unwrap().expect("another line");
            if line.starts_with(start) {
                return line;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.process.id().is_some() {
            // It may have ended just now.
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests shall know")]
fn skipped(file: &str, needs: &str) {
    eprintln!("skipped: examples/workers/{file} is not tested, {needs} is missing");
}

/// Submits, and waits for the result.
async fn result(server: &Server, kind: &str, body: &[u8]) -> (String, String) {
    let ask = server.post("/v1/queues/thumbs/jobs").header("content-type", kind);
    let answer = ask
        .header("raincheck-max-attempts", "1")
        .header("prefer", "wait=60")
        .body(body);
    let answer = answer.send().await;
    (answer.job(), answer.text().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_worker_works() {
    let server = Server::start().await;
    let Some(_worker) = Worker::start(&server, "python3", "worker.py", &["thumbs"], &[]) else {
        return;
    };
    let large = format!("cats {} dogs", "a".repeat(70_000));
    for (kind, body) in [
        ("text/plain", &b"cats and dogs"[..]),
        ("application/json", br#"["cats", "and dogs"]"#),
        ("image/png", b"\xff \xfe \xfd"),
        ("text/plain", large.as_bytes()),
    ] {
        assert_eq!(result(&server, kind, body).await.1, r#"{"words": 3}"#, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shell_worker_works() {
    let server = Server::start().await;
    let command = r#"read -r line; [ "$line" != boom ] || exit 3; printf %s "$line" | tr a-z A-Z"#;
    let args = ["thumbs", "sh", "-c", command];
    let Some(_worker) = Worker::start(&server, "curl", "worker.sh", &args, &[]) else {
        return;
    };
    assert_eq!(
        result(&server, "text/plain", b"cats \"lease\":\"l_1\" and dogs")
            .await
            .1,
        "CATS \"LEASE\":\"L_1\" AND DOGS"
    );
    let (id, _) = result(&server, "text/plain", b"boom").await;
    let job = document(&server, &id).await;
    assert_eq!(
        (&job["state"], &job["error"]["code"]),
        (&"failed".into(), &"exit-3".into())
    );
    assert_eq!(result(&server, "text/plain", b"again").await.1, "AGAIN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_stopped_past_its_lease_and_woken_again_changes_nothing_but_a_409() {
    let server = Server::start().await;
    settings(&server, |spec| spec.backoff = "constant;base=1ms".parse().ok()).await;
    // Long enough that even a busy machine stops it before it is through.
    let env = [("LEASE", "1"), ("SLOWLY", "5")];
    let Some(mut stopped) = Worker::start(&server, "python3", "worker.py", &["thumbs"], &env) else {
        return;
    };
    let id = server.submit("x").await;
    stands(&server, &id, "running").await;
    kill_process(stopped.pid(), Signal::STOP).unwrap();
    let taken = async {
        loop {
            if let Some(lease) = claim(&server, "second", 1).await.pop() {
                break lease;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(60), taken)
        .await
        .expect("the lease lapses");
    assert_eq!(
        (&taken["fence"], &taken["job"]["attempts"][0]["outcome"]),
        (&2.into(), &"lease_lost".into())
    );
    let answer = server
        .post(&format!("{}/succeed", path(&taken)))
        .body("right")
        .send()
        .await;
    assert_eq!(answer.outcome(), Some("succeeded"));
    let before = document(&server, &id).await;
    kill_process(stopped.pid(), Signal::CONT).unwrap();
    let said = stopped.says("409").await;
    assert!(said.contains("over and nothing has changed"), "{said}");
    assert_eq!(document(&server, &id).await, before);
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(result.text(), "right");
}

#[tokio::test]
async fn words_come_one_by_one_and_are_the_result_as_well() {
    let server = Server::start().await;
    let pace = [("PACE", "0.001")];
    let Some(_worker) = Worker::start(&server, "python3", "../tokens/teller.py", &["thumbs"], &pace) else {
        return;
    };
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("content-type", "text/plain");
    let id = ask.body("hello").send().await.job();
    let mut reader = Stream::open(server.addr, &format!("/v1/jobs/{id}/events")).await;
    let events = reader.rest().await;
    let words = events.iter().filter(|event| event.name == "output");
    let words: String = words.filter_map(|event| event.data["text"].as_str()).collect();
    assert_eq!(words, "You said hello and I say it is raining cats and dogs. ");
    assert!(
        events
            .iter()
            .any(|event| event.told() == "log 1.0 thinking about 5 characters\n")
    );
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(result.text(), words);
}
