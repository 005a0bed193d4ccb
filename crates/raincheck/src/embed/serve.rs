//! Serving an application: its routes and its jobs, from the first request to the last.
//!
//! Invariant: on SIGTERM or SIGINT the jobs drain while the door still answers; then the door closes, then the store.

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::raincheck::Raincheck;
use crate::server::{Listener, ServerOptions, serve};
use crate::tasks::{Group, TaskKind};

/// Why serving ended otherwise than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum ServeFailed {
    /// Signals cannot be heard.
    #[error("signals cannot be heard")]
    Signals(#[from] std::io::Error),
    /// Nothing can be promised any more: what was accepted is safe, and goes on when the store is opened again.
    #[error("the store has failed: {0}")]
    Store(String),
}

impl Raincheck {
    /// Serves an application until this process is told to stop, then drains its jobs and closes the store. Connections are
    /// bounded in number and in time as those of `raincheck serve` are.
    ///
    /// # Errors
    /// When the store has failed.
    pub async fn serve(&self, listener: TcpListener, app: Router) -> Result<(), ServeFailed> {
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        self.serve_until(listener, app, async move { told(&mut signals).await })
            .await
    }

    /// The same until `stop` is over.
    ///
    /// # Errors
    /// When the store has failed.
    pub async fn serve_until(
        &self,
        listener: TcpListener,
        app: Router,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeFailed> {
        let (group, closing) = (Group::new("door"), CancellationToken::new());
        let serving = serve(
            vec![Listener::from(listener)],
            app,
            ServerOptions::default(),
            closing.clone(),
        );
        group.spawn(TaskKind::Service, async move {
            serving.await;
        });
        let node = self.node();
        let failed = tokio::select! {
            () = stop => None,
            why = node.failure() => Some(why),
        };
        if failed.is_none() {
            node.drain().await;
        }
        closing.cancel();
        group.idle().await;
        match failed {
            None => {
                node.close().await;
                Ok(())
            }
            Some(why) => {
                node.abort();
                Err(ServeFailed::Store(why))
            }
        }
    }
}

async fn told((term, int): &mut (Signal, Signal)) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
