//! `webhook …` against a real server: what it sends is received, verified, looked at and sent again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::rig::{Server, signal, until};

/// A secret that no server has.
const STRANGE: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// `raincheck webhook listen` at work.
struct Listener {
    child: Child,
    lines: BufReader<ChildStdout>,
    url: String,
}

impl Listener {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut command = server.command(&["webhook", "listen"]);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut messages = BufReader::new(child.stderr.take().expect("its messages are piped"));
        let mut said = String::new();
        messages.read_line(&mut said).expect("its messages can be read");
        let url = said.trim_end().strip_prefix("listening on ");
        let url = url
            .unwrap_or_else(|| panic!("it does not listen: {said}"))
            .to_owned();
        let lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        Self { child, lines, url }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("its output can be read");
        line.trim_end().to_owned()
    }

    fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn ended(mut self) -> i32 {
        let status = self.child.wait().expect("it can be waited for");
        status.code().expect("no signal ended it")
    }

    fn stop(self) {
        signal(self.child.id(), "INT");
        assert_eq!(self.ended(), 0);
    }

    /// Sends these bytes and gives back the status of the answer.
    fn answers(&self, request: &[u8]) -> String {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request).expect("it reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer[9..]).into_owned()
    }
}

fn deliveries(server: &Server, filter: &[&str]) -> Value {
    let words = [&["webhook", "deliveries", "--json"][..], filter].concat();
    server.run(&words).json()
}

#[test]
fn a_webhook_is_received_verified_listed_and_sent_again() {
    let server = Server::start(&["--queue", "echo=cmd:cat"]);
    assert_eq!(deliveries(&server, &[]), serde_json::json!([]));
    let mut listener = Listener::start(&server, &["--json", "--count", "1"]);
    let url = listener.url.clone();
    let events = ["--callback-events", "succeeded,failed"];
    let id = server.submit(&[&["echo", "a=1", "--callback", &url][..], &events].concat());
    let told = listener.json();
    assert_eq!(
        (&told["verified"], &told["status"], &told["webhook"]["type"]),
        (&true.into(), &204.into(), &"job.succeeded".into())
    );
    assert_eq!(told["webhook"]["data"]["job"]["id"], *id);
    assert_eq!(told["webhook"]["data"]["result"]["json"]["a"], "1");
    assert_eq!(listener.ended(), 0, "one was wanted");
    until("delivered", || {
        deliveries(&server, &["--state", "delivered"])[0]["job"] == *id
    });
    let message = told["id"].as_str().unwrap();
    let line = server.run(&["webhook", "deliveries", "--job", &id]).ok();
    let fields: Vec<&str> = line.split('\t').collect();
    assert_eq!(fields[..4], [message, "job.succeeded", "delivered", "1"]);
    assert_eq!(fields[5..], ["204", &*url]);

    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut listener = Listener::start(&server, &["--listen", address]);
    let again = server.run(&["webhook", "redeliver", message]).ok();
    assert_eq!(again, format!("{message}\tpending"));
    assert_eq!(
        listener.line(),
        format!("{message}\tverified\tjob.succeeded\t{id}\techo\t204\t")
            .trim_end()
            .to_owned()
    );
    listener.stop();
    assert_eq!(server.run(&["webhook", "redeliver", "msg_1"]).code, 5);
    assert_eq!(server.run(&["webhook", "deliveries", "--state", "lost"]).code, 2);
    server.stop();
}

#[test]
fn what_is_not_signed_with_the_secret_is_refused_and_said_to_be() {
    let server = Server::start(&["--queue", "echo=cmd:cat"]);
    let mut listener = Listener::start(&server, &["--secret", STRANGE]);
    let id = server.submit(&["echo", "a=1", "--callback", &listener.url]);
    let line = listener.line();
    assert!(
        line.starts_with("-\trefused\t-\t-\t-\t401\tno signature in it"),
        "{line}"
    );
    until("tried", || {
        deliveries(&server, &["--job", &id])[0]["last"]["status"] == 401
    });
    listener.stop();
    server.stop();
}

#[test]
fn a_receiver_may_answer_otherwise_and_learns_a_new_secret_by_itself() {
    let server = Server::start(&["--queue", "echo=cmd:cat"]);
    let mut listener = Listener::start(&server, &["--status", "503"]);
    // After so many rotations the secret that the listener knows signs no more.
    for _ in 0..4 {
        server.run(&["webhook", "rotate", "--yes"]).ok();
    }
    let id = server.submit(&["echo", "a=1", "--callback", &listener.url]);
    let line = listener.line();
    assert!(line.contains("\tverified\tjob.succeeded\t"), "{line}");
    until("tried", || {
        deliveries(&server, &["--job", &id])[0]["last"]["status"] == 503
    });
    listener.stop();
    server.stop();
}

#[test]
fn a_receiver_bounds_what_it_takes() {
    let server = Server::start(&[]);
    let listener = Listener::start(&server, &[]);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "405"),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1048577\r\n\r\n",
            "413",
        ),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}", "401"),
    ] {
        assert_eq!(listener.answers(request.as_bytes()), status, "{request}");
    }
    let address = listener.url.trim_start_matches("http://").trim_end_matches('/');
    let taken = server.run(&["webhook", "listen", "--listen", address]);
    assert_eq!(taken.code, 7, "{taken:?}");
    listener.stop();
    server.stop();
}

#[test]
fn the_secret_is_shown_and_replaced_once_somebody_said_yes() {
    let server = Server::start(&[]);
    let secret = server.run(&["webhook", "secret"]).ok();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!(server.run(&["webhook", "secret", "-q"]).ok(), secret);
    let unasked = server.run(&["webhook", "rotate"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert_eq!(server.run(&["webhook", "secret"]).ok(), secret);
    let rotated = server.run(&["webhook", "rotate", "--yes", "--json"]).json();
    assert!(rotated["former_until"].is_string(), "{rotated}");
    assert_ne!(rotated["secret"], *secret);
    assert_eq!(
        server.run(&["webhook", "secret"]).ok(),
        rotated["secret"].as_str().unwrap()
    );
    server.stop();
}
