//! Bad input: what is sent, byte by byte, and what each gets.
//!
//! Every case ends in the same questions, asked by [`Bed::sound`]: does the server still answer, is stored what was
//! acknowledged and nothing else, was no request of a caller's making answered with a 5xx, is the connection in the state
//! that it must be in.

mod bodies;
mod coded;
mod framing;
mod json;
mod shown;
mod slow;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::{Answer, Line};
use crate::harness::Server;

/// A request that only a connection in good order answers.
const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: next\r\n\r\n";

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The next request is answered.
    Open,
    /// Nothing more is read.
    Closed,
}

/// A server, and what it has promised.
struct Bed {
    server: Server,
    taken: BTreeSet<String>,
}

impl Bed {
    async fn start() -> Self {
        Self::of(Server::start().await)
    }

    fn of(server: Server) -> Self {
        let taken = BTreeSet::new();
        Self { server, taken }
    }

    /// Takes note of what an answer promises, and refuses what no caller may be answered.
    fn note(&mut self, answer: &Answer, what: &str) {
        assert!(answer.status < 500, "{what}: {answer:?}");
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            return;
        };
        let list = body.as_array().cloned().unwrap_or_default();
        let accepted = (answer.status == 202).then_some(body);
        for entry in list.into_iter().chain(accepted) {
            if let Some(id) = entry["id"].as_str() {
                self.taken.insert(id.to_owned());
            }
        }
    }

    /// Sends the bytes and another request after them; the statuses until the connection ends or that one is answered.
    async fn send(&mut self, bytes: &[u8], what: &str) -> (Vec<u16>, After) {
        let mut line = Line::open(self.server.addr).await;
        line.send(bytes).await;
        line.send(NEXT.as_bytes()).await;
        line.finish().await;
        let (mut statuses, mut after) = (Vec::new(), After::Closed);
        while let Some(answer) = line.answer().await {
            self.note(&answer, what);
            if answer.header("x-request-id") == Some("next") {
                after = After::Open;
            } else {
                statuses.push(answer.status);
            }
        }
        (statuses, after)
    }

    /// Sends one request with this body to a path, and gives back the answer to it.
    async fn ask(&mut self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let shown = &body[..body.len().min(200)];
        let what = format!("{method} {path}\n{head}{}", String::from_utf8_lossy(shown));
        let mut line = Line::open(self.server.addr).await;
        let length = body.len();
        let text =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {length}\r\n\r\n");
        line.send(&[text.as_bytes(), body].concat()).await;
        let answer = line.answer().await.unwrap_or_else(|| panic!("no answer: {what}"));
        self.note(&answer, &what);
        let open = answer.header("connection") != Some("close");
        line.send(NEXT.as_bytes()).await;
        let next = line.answer().await.map(|answer| answer.status);
        assert_eq!(
            next,
            open.then_some(200),
            "what it says of the connection: {what}"
        );
        answer
    }

    /// The server answers, and has what it promised and nothing else.
    async fn sound(&self, what: &str) {
        assert_eq!(
            self.server.get("/healthz").send().await.status,
            200,
            "alive after {what}"
        );
        let (mut stored, mut cursor) = (BTreeSet::new(), String::new());
        loop {
            let page = self
                .server
                .get(&format!("/v1/jobs?limit=200{cursor}"))
                .send()
                .await;
            let page = page.json();
            for job in page["jobs"].as_array().unwrap() {
                stored.insert(job["id"].as_str().unwrap().to_owned());
            }
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(
            stored, self.taken,
            "stored is what was acknowledged, after {what}"
        );
    }
}
