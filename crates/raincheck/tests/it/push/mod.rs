//! Push: what an endpoint gets, and how it may answer later.

mod later;
pub(crate) mod signed;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use raincheck::tasks::{Group, TaskKind};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::harness::Server;

/// An endpoint that the test plays by hand.
pub(crate) struct Endpoint {
    pub(crate) addr: SocketAddr,
    requests: mpsc::UnboundedReceiver<Received>,
    tasks: Group,
}

/// A request that waits for its answer.
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    reply: oneshot::Sender<Response>,
}

impl Endpoint {
    pub(crate) async fn start() -> Self {
        let (tell, requests) = mpsc::unbounded_channel();
        let receive = async move |headers: HeaderMap, body: Bytes| {
            let (reply, answer) = oneshot::channel();
            let received = Received { headers, body, reply };
            // A test that is over has dropped the other end.
            let _ = tell.send(received);
            answer
                .await
                .unwrap_or_else(|_| StatusCode::IM_A_TEAPOT.into_response())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let routes = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let receive = receive.clone();
            async move { receive(headers, body).await }
        });
        let tasks = Group::new("endpoint");
        tasks.spawn(TaskKind::Connection, async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Self {
            addr,
            requests,
            tasks,
        }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Received {
        self.requests.recv().await.expect("the endpoint lives")
    }

    /// Whether another request has come.
    pub(crate) fn more(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }

    /// Makes the queue `pushed`, whose jobs come here.
    pub(crate) async fn works(&self, server: &Server) {
        let settings = json!({"worker": {"push": [format!("http://{}/", self.addr)]}}).to_string();
        let put = server
            .ask("PUT", "/v1/queues/pushed")
            .json(&settings)
            .send()
            .await;
        assert_eq!(put.status, 200, "{put:?}");
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

impl Received {
    /// The header's value, which must be there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let (value, None) = (values.next(), values.next()) else {
            panic!("{name} is there twice");
        };
        value
            .unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
            .to_str()
            .unwrap()
    }

    /// The path at which the job is settled later.
    pub(crate) fn lease(&self, server: &Server) -> String {
        let url = self.header("raincheck-lease");
        let path = url.strip_prefix(&format!("http://{}", server.addr));
        path.unwrap_or_else(|| panic!("{url} is not on the server"))
            .to_owned()
    }

    /// Answers; gives back whether the server still listened.
    pub(crate) fn answer(self, response: Response) -> bool {
        self.reply.send(response).is_ok()
    }

    /// Answers that the job is settled later.
    pub(crate) fn later(self) -> bool {
        self.answer((StatusCode::ACCEPTED, [("raincheck-complete", "later")]).into_response())
    }
}

/// Submits `body` to the queue `pushed`.
pub(crate) async fn submit(server: &Server, body: &str) -> String {
    let answer = server.post("/v1/queues/pushed/jobs").body(body).send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.job()
}
