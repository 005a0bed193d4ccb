//! Following jobs: streams of events over a socket.

mod all;
mod ends;
mod follow;
mod resume;
pub(crate) mod stream;
mod streamed;

use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::Server;
use crate::pull::say;
pub(crate) use stream::{Event, Stream};

/// A job that somebody works on by hand.
pub(crate) struct Worked {
    pub(crate) id: String,
    lease: String,
    seq: u32,
}

impl Worked {
    /// A new job, claimed.
    pub(crate) async fn start(server: &Server) -> Self {
        let id = server.submit("x").await;
        let mut worked = Self {
            id,
            lease: String::new(),
            seq: 0,
        };
        worked.claim(server).await;
        worked
    }

    /// Claims the job, or claims it again.
    pub(crate) async fn claim(&mut self, server: &Server) {
        self.lease = loop {
            if let Some(lease) = crate::pull::claim(server, "w", 1).await.pop() {
                assert_eq!(lease["job"]["id"], *self.id);
                break crate::pull::path(&lease);
            }
        };
        self.seq = 0;
    }

    pub(crate) async fn emit(&mut self, server: &Server, body: Value) {
        let mut body = body;
        body["seq"] = self.seq.into();
        let answer = say(server, &format!("{}/emit", self.lease), &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.seq += 1;
    }

    pub(crate) async fn output(&mut self, server: &Server, text: &str) {
        self.emit(server, json!({ "output": text })).await;
    }

    pub(crate) async fn act(&self, server: &Server, verb: &str, body: Value) -> Answer {
        let answer = say(server, &format!("{}/{verb}", self.lease), &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// The attempt fails and may be repeated at once.
    pub(crate) async fn fail(&self, server: &Server) {
        self.act(server, "fail", json!({})).await;
    }

    pub(crate) async fn succeed(&self, server: &Server, result: &str) {
        let answer = server
            .post(&format!("{}/succeed", self.lease))
            .body(result)
            .send()
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub(crate) fn path(&self) -> String {
        format!("/v1/jobs/{}/events", self.id)
    }
}

/// Events in few words: names, with what is essential of their data.
pub(crate) fn told(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::told).collect()
}

/// A queue whose failed attempts are repeated at once.
pub(crate) async fn at_once(server: &Server) {
    crate::pull::settings(server, |spec| {
        spec.backoff = Some("constant;base=0s".parse().unwrap());
    })
    .await;
}
