//! A web server for tests that counts: how many requests each path got, and how many were under way at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use raincheck::tasks::{Group, TaskKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What it has seen.
#[derive(Default)]
pub(crate) struct Seen {
    asked: HashMap<String, u32>,
    now: usize,
    most: usize,
    began: Vec<tokio::time::Instant>,
}

/// See the module.
pub(crate) struct Pages {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    /// Lets requests to `/held/…` answer, so many.
    pub(crate) gate: Arc<Semaphore>,
    tasks: Group,
}

impl Pages {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, gate, tasks) = (
            Arc::<Mutex<Seen>>::default(),
            Arc::new(Semaphore::new(0)),
            Group::new("pages"),
        );
        let (counted, held) = (seen.clone(), gate.clone());
        let routes = Router::new().fallback(move |request: Request| {
            let (request, _) = request.into_parts();
            let (seen, gate) = (counted.clone(), held.clone());
            async move {
                let nth = {
                    let mut seen = seen.lock().unwrap();
                    seen.now += 1;
                    seen.most = seen.most.max(seen.now);
                    seen.began.push(tokio::time::Instant::now());
                    let asked = seen.asked.entry(request.uri.path().to_owned()).or_default();
                    *asked += 1;
                    *asked
                };
                let answer = answer(&request, nth, &gate).await;
                seen.lock().unwrap().now -= 1;
                answer
            }
        });
        tasks.spawn(TaskKind::Connection, async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Self {
            addr,
            seen,
            gate,
            tasks,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How often this path was asked for.
    pub(crate) fn asked(&self, path: &str) -> u32 {
        self.seen.lock().unwrap().asked.get(path).copied().unwrap_or(0)
    }

    /// How many requests there were.
    pub(crate) fn all(&self) -> u32 {
        self.seen.lock().unwrap().asked.values().sum()
    }

    /// How many were under way at once, at most.
    pub(crate) fn most(&self) -> usize {
        self.seen.lock().unwrap().most
    }

    /// How many are under way now.
    pub(crate) fn now(&self) -> usize {
        self.seen.lock().unwrap().now
    }

    /// How long from the first request to the last.
    pub(crate) fn took(&self) -> Duration {
        let seen = self.seen.lock().unwrap();
        let (first, last) = (seen.began.first().unwrap(), seen.began.last().unwrap());
        *last - *first
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

async fn answer(request: &Parts, nth: u32, gate: &Semaphore) -> Response {
    let path = request.uri.path();
    let to = |status: u16, to: &str| {
        (
            StatusCode::from_u16(status).unwrap(),
            [("location", to.to_owned())],
        )
            .into_response()
    };
    let query = request.uri.query().unwrap_or_default();
    match path.split('/').nth(1).unwrap_or_default() {
        "held" => {
            gate.acquire().await.unwrap().forget();
            path.to_owned().into_response()
        }
        "to" => to(302, query),
        "permanent" if path.ends_with("/x") => to(308, "page"),
        "loop" => to(307, "/pool"),
        "pool" => to(307, "/loop"),
        "far" => {
            let n: u32 = query.parse().unwrap();
            if n == 0 {
                "there".into_response()
            } else {
                to(301, &format!("/far?{}", n - 1))
            }
        }
        "busy" if nth == 1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
        "patience" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "60")]).into_response(),
        "broken" => (StatusCode::INTERNAL_SERVER_ERROR, "sorry").into_response(),
        "once" if nth == 1 => StatusCode::BAD_GATEWAY.into_response(),
        "gone" => (StatusCode::NOT_FOUND, "no such page").into_response(),
        "large" => Body::from(vec![b'x'; query.parse().unwrap()]).into_response(),
        "tagged" => {
            let tag = request.headers.get("if-none-match");
            if tag.is_some_and(|tag| tag == "\"v1\"") {
                return (StatusCode::NOT_MODIFIED, [("etag", "\"v1\"")]).into_response();
            }
            ([("etag", "\"v1\"")], format!("version {nth}")).into_response()
        }
        "json" => ([("content-type", "application/json")], "{\"a\":\n1}").into_response(),
        "echo" => {
            let header = |name: &str| {
                request
                    .headers
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            let names = ["authorization", "accept-encoding", "x-a", "user-agent"];
            let line = |name: &&str| format!("{name}: {}\n", header(name).unwrap_or_default());
            names.iter().map(line).collect::<String>().into_response()
        }
        _ => path.to_owned().into_response(),
    }
}

/// A server whose first so many answers break off half way.
pub(crate) async fn torn(times: u32) -> (SocketAddr, Group) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, tasks) = (listener.local_addr().unwrap(), Group::new("torn"));
    tasks.spawn(TaskKind::Connection, async move {
        let mut nth = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            nth += 1;
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let body = if nth > times { "0123456789" } else { "01234" };
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    (addr, tasks)
}
