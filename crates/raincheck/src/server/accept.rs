//! Accepting connections.
//!
//! Invariant: no error of accepting ends the loop, and none makes it spin.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tower::Service;
use tracing::{debug, warn};

use crate::api::code::Code;
use crate::tasks::{Group, TaskKind};

use super::ServerOptions;
use super::caps::Caps;
use super::connection::drive;
use super::line::bare_answer;

/// How long to leave a listener alone that has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

/// One listener's loop.
pub(super) struct Acceptor<S> {
    pub(super) listener: TcpListener,
    pub(super) service: S,
    pub(super) options: Arc<ServerOptions>,
    pub(super) caps: Arc<Caps>,
    pub(super) group: Group,
}

impl<S, B> Acceptor<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Accepts until the group stops.
    pub(super) async fn run(self) {
        let stopping = self.group.stopping().clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer.ip()),
                Err(error) if of_the_peer(&error) => {
                    debug!(%error, "a connection was gone before it was accepted")
                }
                Err(error) => {
                    // Most likely no file can be opened: those who are here must leave first.
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, address: std::net::IpAddr) {
        let Some(admission) = self.caps.admit(address) else {
            debug!(%address, "a connection was refused: too many are open");
            let answer = bare_answer(
                Code::TooManyConnections,
                "too many connections are open; try again",
            );
            // Best effort: the client is told, or sees the connection close.
            let _ = stream.try_write(&answer);
            return;
        };
        // Answers are small and written whole; waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let (service, options) = (self.service.clone(), self.options.clone());
        let stopping = self.group.stopping().clone();
        self.group.spawn(TaskKind::Connection, async move {
            drive(stream, service, options, stopping).await;
            drop(admission);
        });
    }
}

/// Whether only this one connection is concerned.
fn of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
