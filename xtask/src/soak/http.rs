//! One client's connection, which says of every request whether it was sent, lost or answered.
//!
//! Invariant: a request is sent at most once. A pool that repeats requests by itself would hide what is tested here.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a client waits for an answer beyond what it asked to wait: far more than a healthy server needs.
const PATIENCE: Duration = Duration::from_secs(20);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Not a byte of it was sent.
    Unsent,
    /// It was sent, and the connection died before an answer's head was there.
    Lost,
    /// The same, but the connection still lives: the server does not answer.
    Silent,
    /// It was answered.
    Answered {
        /// The status.
        status: u16,
        /// The headers.
        headers: HeaderMap,
        /// The body, where it arrived whole.
        body: Option<Bytes>,
    },
}

/// One client with at most one connection.
#[derive(Debug, Default)]
pub(crate) struct Client {
    connection: Option<(SocketAddr, SendRequest<Full<Bytes>>)>,
    drivers: JoinSet<()>,
}

impl Client {
    /// Sends a request, once, over the connection that is open or over a new one.
    pub(crate) async fn send(
        &mut self,
        to: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Sent {
        let Some(mut sender) = self.connect(to).await else {
            return Sent::Unsent;
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", to.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let Ok(request) = request.body(Full::new(body)) else {
            return Sent::Unsent;
        };
        let head = match timeout(PATIENCE, sender.try_send_request(request)).await {
            Ok(Ok(head)) => head,
            // The request comes back when nothing of it was written.
            Ok(Err(mut error)) => {
                let untouched = error.take_message().is_some();
                return if untouched { Sent::Unsent } else { Sent::Lost };
            }
            Err(_) => return Sent::Silent,
        };
        let (head, body) = head.into_parts();
        let body = match timeout(PATIENCE, body.collect()).await {
            Ok(Ok(body)) => Some(body.to_bytes()),
            Ok(Err(_)) | Err(_) => None,
        };
        if body.is_some() {
            self.connection = Some((to, sender));
        }
        Sent::Answered {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    async fn connect(&mut self, to: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
        if let Some((open_to, mut sender)) = self.connection.take()
            && open_to == to
            && let Ok(Ok(())) = timeout(CONNECT_PATIENCE, sender.ready()).await
        {
            return Some(sender);
        }
        while self.drivers.try_join_next().is_some() {}
        let stream = timeout(CONNECT_PATIENCE, TcpStream::connect(to))
            .await
            .ok()?
            .ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        self.drivers.spawn(async move {
            // Its error is also that of the request in flight.
            let _ = connection.await;
        });
        Some(sender)
    }
}
