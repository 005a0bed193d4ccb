//! Where a URL becomes a connection: the name is resolved once, every address that it has is checked, and the
//! connection goes to one of those very addresses. Again for each connection that is made.
//!
//! Invariants: behind a guarded connector no connection exists to an address that [`Targets`] refuses, however the URL was
//! written: an address in it goes the same way as a name. A connection is there in time or not at all, and one over TLS is there once
//! that is agreed on.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tower::{BoxError, Service};

use super::stream::Stream;
use super::target::{Refused, Targets};
use super::trust::Trust;

/// How long a connection may take to come about: another attempt is better than waiting for a host that is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Makes connections that speak TLS where a URL says so.
#[derive(Clone, Debug)]
pub(super) struct Connector(HttpsConnector<Plain>);

impl Connector {
    /// One that reaches only these, or everything where a URL is the operator's own.
    pub(super) fn new(targets: Option<Arc<Targets>>, trust: &Trust) -> Self {
        let encrypting = HttpsConnectorBuilder::new()
            .with_tls_config(trust.config())
            .https_or_http()
            .enable_http1()
            .wrap_connector(Plain { targets });
        Self(encrypting)
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<Stream>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // The handshake too: who takes a connection and says nothing on it is not there either.
        let connecting = timeout(CONNECT_TIMEOUT, self.0.call(uri));
        Box::pin(async move { connecting.await.unwrap_or_else(|_| Err(late().into())) })
    }
}

/// Makes connections as they are.
#[derive(Clone, Debug)]
struct Plain {
    targets: Option<Arc<Targets>>,
}

impl Service<Uri> for Plain {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Connecting<Self::Response, io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let targets = self.targets.clone();
        Box::pin(async move { connect(&uri, targets.as_deref()).await })
    }
}

async fn connect(uri: &Uri, targets: Option<&Targets>) -> io::Result<TokioIo<Stream>> {
    let tls = uri.scheme() == Some(&Scheme::HTTPS);
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    if let Some(targets) = targets {
        for address in &addresses {
            targets.check(address.ip(), port, tls).map_err(refused)?;
        }
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    // An address that does not answer leaves the others their share of the time.
    let share = CONNECT_TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(TokioIo::new(Stream::new(stream)));
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = late(),
        }
    }
    Err(last)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no connection came about in time")
}

fn refused(why: Refused) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
