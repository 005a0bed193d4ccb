//! The door: accepts connections and serves any tower service on them: HTTP/1.1, and HTTP/2 where TLS agreed on it.
//!
//! ```text
//! accept ─► caps ─┬───────► connection { hyper ── Line ── TCP, local socket or TLS }
//!                 └─► TLS ┤     └── Pulse: what the connection is doing, and since when
//!                         └► multiplex { hyper ── TLS }
//!                               └── Streams: the same for many requests at once
//! ```
//!
//! Invariants: every state of a connection has an end that the client cannot put off: a head, a body, an idle
//! keep-alive, a stalled answer, a silent socket. Connections are counted before anything is read from them. A stop
//! finishes what is being answered, in bounded time.

mod accept;
mod bare;
mod body;
mod caps;
mod client;
mod connection;
pub(crate) mod framing;
mod interim;
mod line;
mod lines;
mod listen;
mod multiplex;
mod pulse;
mod streams;
mod tls;
mod unread;
mod upload;
mod wire;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::links::Mount;
use crate::tasks::{Group, TaskKind};

pub(crate) use connection::Unasked;
pub(crate) use framing::LengthTwice;
pub(crate) use interim::Interim;

pub use accept::Listener;
pub use body::{BodyError, BodyPace, read_body};
pub use client::{Client, Exposed};
pub use lines::{Lines, Piece};
pub use listen::{ListenRefused, Protection, check_listen};
pub use tls::{Tls, TlsError};
pub use upload::Upload;

/// In the extensions of an answer whose body must know whether the connection took it. Set by a connection that takes a body's
/// bytes before there is room for them, and asks for more only once they are on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskedAgain(Arc<AtomicBool>);

impl AskedAgain {
    /// The connection is one of those.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// In an answer's extensions: it hands something out that is lost with it, so a client that has closed its side does not
/// get it. The answer is dropped instead, and the connection ends after [`ServerOptions::gone_time`].
#[derive(Clone, Copy, Debug)]
pub struct OnlyToThePresent;

/// In the extensions of a request that may be waited for (it has a `Prefer` header or a query): whether its client is still
/// there. A client that closed only its sending side looks the same as one that is gone.
#[derive(Clone, Debug)]
pub struct Presence(Arc<pulse::Pulse>);

impl Presence {
    /// Whether the client has closed its side.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.0.closed()
    }

    /// Waits until it has.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn left(&self) {
        self.0.left().await;
    }
}

/// How the door behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long a TLS handshake may take.
    pub handshake_time: Duration,
    /// How long a request's head may take, from its first byte; and how long a new connection may be silent.
    pub head_time: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_time: Duration,
    /// How long the client may take nothing of an answer that is being sent.
    pub write_time: Duration,
    /// How long a request is still worked on after its client has closed its side. A client that closed only its
    /// sending side looks the same as one that is gone.
    pub gone_time: Duration,
    /// How long answers may take after a stop.
    pub stop_time: Duration,
    /// Connections from one address, loopback excepted.
    pub per_address_max: u32,
    /// Connections in all; `None`: as many files as the process may open, less a reserve, and half as many where requests may be
    /// passed on ([`Self::interim`]).
    pub connections_max: Option<u32>,
    /// Where others than this machine are served: has every request told who asks ([`Client`] in its extensions).
    pub exposed: Option<Exposed>,
    /// Whether requests may be answered more than once: by answers that come before the last (1xx), such as those that a
    /// proxy passes on.
    pub interim: bool,
    /// Whether requests tell the address of their connection as axum's servers do
    /// ([`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo)): port 0 for one of a local socket.
    pub connect_info: bool,
    /// Below which path the API stands, for the URLs in answers to what is no request.
    pub mount: Mount,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            handshake_time: Duration::from_secs(10),
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            write_time: Duration::from_secs(30),
            gone_time: Duration::from_secs(5),
            stop_time: Duration::from_secs(5),
            per_address_max: 256,
            connections_max: None,
            exposed: None,
            interim: false,
            connect_info: false,
            mount: Mount::default(),
        }
    }
}

/// Serves `service` on the listeners until `stop` is cancelled, then stops accepting, finishes the answers under way
/// within [`ServerOptions::stop_time`] and returns how many connections it had to cut.
pub async fn serve<S, B>(
    listeners: Vec<Listener>,
    service: S,
    options: ServerOptions,
    stop: CancellationToken,
) -> usize
where
    S: Service<Request<Upload>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let group = Group::new("server");
    let caps = Arc::new(caps::Caps::new(&options));
    let stop_time = options.stop_time;
    let options = Arc::new(options);
    for listener in listeners {
        let hall = accept::Hall {
            service: service.clone(),
            options: options.clone(),
            caps: caps.clone(),
            group: group.clone(),
        };
        let acceptor = accept::Acceptor { listener, hall };
        group.spawn(TaskKind::Service, acceptor.run());
    }
    stop.cancelled().await;
    group.shutdown(stop_time).await
}
