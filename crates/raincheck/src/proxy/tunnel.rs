//! What comes after a 101: bytes both ways, until both sides have said their last.
//!
//! Invariants: a side that ends is told to the other one, which may go on; a tunnel on which nothing moves for long is
//! closed, and so are all of them when the server leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::tasks::{Group, TaskKind};

/// The most tunnels at once.
const TUNNELS_MAX: usize = 10_000;
/// How long a tunnel may be silent in both directions.
const SILENCE: Duration = Duration::from_secs(3600);

/// The tunnels of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels(Group);

impl Tunnels {
    pub(crate) fn new() -> Self {
        Self(Group::new("tunnels"))
    }

    /// Whether there is room for one more.
    pub(crate) fn room(&self) -> bool {
        self.0.running() < TUNNELS_MAX && !self.0.stopping().is_cancelled()
    }

    /// Joins both sides, once both have changed the protocol.
    pub(crate) fn join(&self, client: OnUpgrade, upstream: OnUpgrade) {
        let stopping = self.0.stopping().clone();
        self.0.spawn(TaskKind::Connection, async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = joined(client, upstream) => {}
            }
        });
    }

    /// For whatever else belongs to a call.
    pub(crate) const fn group(&self) -> &Group {
        &self.0
    }

    /// Closes all of them.
    pub(crate) fn close(&self) {
        self.0.stop();
    }
}

async fn joined(client: OnUpgrade, upstream: OnUpgrade) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(sides) => sides,
        Err(error) => return debug!(%error, "a connection did not change its protocol"),
    };
    let moved = Moved::default();
    let mut client = Watched(TokioIo::new(client), moved.clone());
    let mut upstream = Watched(TokioIo::new(upstream), moved.clone());
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut upstream) => if let Err(error) = copied {
            debug!(%error, "a tunnel broke");
        },
        () = moved.silent() => debug!("a tunnel was silent for too long and is closed"),
    }
}

/// How often something moved.
#[derive(Clone, Debug, Default)]
struct Moved(Arc<AtomicU64>);

impl Moved {
    /// Waits until nothing moved for [`SILENCE`].
    async fn silent(&self) {
        let mut before = self.0.load(Ordering::Relaxed);
        let mut until = Instant::now() + SILENCE;
        loop {
            sleep(until.saturating_duration_since(Instant::now())).await;
            let now = self.0.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            (before, until) = (now, Instant::now() + SILENCE);
        }
    }
}

/// One side, whose reads are counted.
struct Watched<S>(S, Moved);

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        if read.is_ready() {
            self.1.0.fetch_add(1, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
