//! Accepting connections.
//!
//! Invariant: no error of accepting ends the loop, and none makes it spin.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{debug, warn};

use crate::api::code::Code;
use crate::tasks::{Group, TaskKind};

use super::bare::bare_answer;
use super::caps::{Admission, Caps};
use super::connection::{Peer, drive};
use super::upload::Upload;
use super::wire::{Kept, Wire};
use super::{ServerOptions, Tls, multiplex};

/// How long to leave a listener alone that has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections come in by.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    tls: Option<Tls>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Local(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self {
            socket: Socket::Tcp(listener),
            tls: None,
        }
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self {
            socket: Socket::Local(listener),
            tls: None,
        }
    }
}

impl Listener {
    /// The same, speaking TLS; a local socket never does.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = matches!(self.socket, Socket::Tcp(_)).then_some(tls);
        self
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, peer))
            }
            Socket::Local(listener) => listener.accept().await.map(|(stream, _)| Accepted::Local(stream)),
        }
    }
}

/// A connection that nobody has counted yet.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Local(UnixStream),
}

/// One listener's loop.
pub(super) struct Acceptor<S> {
    pub(super) listener: Listener,
    pub(super) hall: Hall<S>,
}

/// What every connection is served with. It does not hold the listener, which closes when its loop ends.
#[derive(Clone)]
pub(super) struct Hall<S> {
    pub(super) service: S,
    pub(super) options: Arc<ServerOptions>,
    pub(super) caps: Arc<Caps>,
    pub(super) group: Group,
}

impl<S, B> Acceptor<S>
where
    S: Service<Request<Upload>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Accepts until the group stops.
    pub(super) async fn run(self) {
        let stopping = self.hall.group.stopping().clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => self.admit(accepted),
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

    /// Counts the connection in, before anything is read from it, and serves it.
    fn admit(&self, accepted: Accepted) {
        let address = match &accepted {
            Accepted::Tcp(_, address) => *address,
            Accepted::Local(_) => (Ipv4Addr::LOCALHOST, 0).into(),
        };
        let Some(admission) = self.hall.caps.admit(address.ip()) else {
            debug!(%address, "a connection was refused: too many are open");
            self.refuse(&accepted);
            return;
        };
        let (hall, tls) = (self.hall.clone(), self.listener.tls.clone());
        self.hall.group.spawn(TaskKind::Connection, async move {
            hall.serve(accepted, address, tls, admission).await;
        });
    }

    /// Best effort: the client is told, or sees the connection close. In the middle of a handshake nothing can be told.
    fn refuse(&self, accepted: &Accepted) {
        let answer = bare_answer(
            &self.hall.options.mount,
            Code::TooManyConnections,
            "too many connections are open; try again",
        );
        let _ = match accepted {
            Accepted::Tcp(stream, _) if self.listener.tls.is_none() => stream.try_write(&answer),
            Accepted::Tcp(..) => return,
            Accepted::Local(stream) => stream.try_write(&answer),
        };
    }
}

impl<S, B> Hall<S>
where
    S: Service<Request<Upload>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn serve(self, accepted: Accepted, address: SocketAddr, tls: Option<Tls>, admission: Admission) {
        let peer = Peer {
            address,
            tls: tls.is_some(),
        };
        let stopping = self.group.stopping().clone();
        let stream = match accepted {
            Accepted::Local(stream) => {
                let wire: Box<dyn Wire> = Box::new(Kept::new(stream));
                return Box::pin(drive(wire, peer, self.service, self.options, stopping, admission)).await;
            }
            Accepted::Tcp(stream, _) => stream,
        };
        // Answers are small and written whole; waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        match tls {
            None => drive(stream, peer, self.service, self.options, stopping, admission).await,
            // Boxed, as above: else each plain connection took the room of the largest kind.
            Some(tls) => Box::pin(self.serve_tls(stream, peer, &tls, stopping, admission)).await,
        }
    }

    async fn serve_tls(
        self,
        stream: TcpStream,
        peer: Peer,
        tls: &Tls,
        stopping: CancellationToken,
        admission: Admission,
    ) {
        let address = peer.address;
        let shaking = TlsAcceptor::from(tls.config()).accept(stream);
        let stream = tokio::select! {
            () = stopping.cancelled() => return,
            shaken = tokio::time::timeout(self.options.handshake_time, shaking) => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return debug!(%address, %error, "a TLS handshake failed"),
                Err(_) => return debug!(%address, "a TLS handshake took too long"),
            },
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let group = self.group.clone();
            multiplex::drive(stream, peer, self.service, self.options, group, stopping).await;
            return drop(admission);
        }
        let wire: Box<dyn Wire> = Box::new(Kept::new(stream));
        drive(wire, peer, self.service, self.options, stopping, admission).await;
    }
}

/// Whether only this one connection is concerned.
fn of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
