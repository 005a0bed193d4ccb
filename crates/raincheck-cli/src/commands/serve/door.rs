//! The address that the API is served on: taken before the store is opened, answering once the node runs.
//!
//! Invariant: a port is held from the moment it is announced until the last answer is given, so that nobody else
//! takes it in between.

use std::io::ErrorKind;
use std::net::SocketAddr;

use raincheck::Node;
use raincheck::server::{ServerOptions, check_listen, serve};
use raincheck::tasks::{Group, TaskKind};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failed};

/// Reads the address to listen on; anything but this machine is refused (there are no keys yet).
pub(crate) fn address(text: &str) -> Result<SocketAddr, Failed> {
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = numeric.as_deref().unwrap_or(text).parse().map_err(|_| {
        Failed::usage(format!("--listen {text:?} is not an address with a port"))
            .next("Write one such as 127.0.0.1:7246")
    })?;
    check_listen(address).map_err(|refused| Failed::usage(refused.to_string()))?;
    Ok(address)
}

/// An address that is taken but does not answer yet: who connects has to wait.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    /// The address, with the port that it really is.
    pub(crate) address: SocketAddr,
}

/// A door that is open.
#[derive(Debug)]
pub(crate) struct Door {
    group: Group,
    stop: CancellationToken,
}

/// Takes the address.
pub(crate) async fn bind(address: SocketAddr) -> Result<Bound, Failed> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == ErrorKind::AddrInUse {
            Failed::new(
                Exit::Conflict,
                format!("{address} is in use, perhaps by another raincheck serve"),
            )
            .next("Choose another address with --listen; --listen 127.0.0.1:0 takes a free port")
        } else {
            Failed::new(Exit::Failure, format!("cannot listen on {address}: {error}"))
                .next("Choose another address with --listen")
        }
    })?;
    let address = listener.local_addr()?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// Begins to answer.
    pub(crate) fn open(self, node: &Node) -> Door {
        let (group, stop) = (Group::new("door"), CancellationToken::new());
        let api = raincheck::api::service(node.clone());
        let serving = serve(vec![self.listener], api, ServerOptions::default(), stop.clone());
        group.spawn(TaskKind::Service, async move {
            serving.await;
        });
        Door { group, stop }
    }
}

impl Door {
    /// Takes no new connections, finishes the answers under way and returns; in bounded time.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.group.idle().await;
    }
}
