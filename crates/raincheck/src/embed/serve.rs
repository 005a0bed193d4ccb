//! Serving an application: its routes and its jobs, from the first request to the last.
//!
//! Invariant: on SIGTERM or SIGINT the jobs drain while the door still answers; then the door closes, then the store. A
//! second signal leaves at once, which is as safe as a crash.

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::raincheck::Raincheck;
use super::unopened::OpenFailed;
use crate::server::{Listener, ServerOptions, serve};
use crate::tasks::{Group, TaskKind};

/// Why serving ended otherwise than by a signal.
///
/// ```
/// use raincheck::embed::ServeFailed;
///
/// fn exit_code(served: &Result<(), ServeFailed>) -> u8 {
///     match served {
///         Ok(()) => 0,
///         Err(ServeFailed::Store(_)) => 70, // start again: it recovers by opening the store
///         Err(_) => 1,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ServeFailed {
    /// Signals cannot be heard.
    #[error("signals cannot be heard")]
    Signals(#[from] std::io::Error),
    /// The queues of [`Raincheck::respond_async`] cannot be made.
    #[error(transparent)]
    Respond(#[from] OpenFailed),
    /// Nothing can be promised any more: what was accepted is safe, and goes on when the store is opened again.
    #[error("the store has failed: {0}")]
    Store(String),
}

impl Raincheck {
    /// Serves an application until this process is told to stop (SIGTERM, Ctrl-C), then drains its jobs and closes the
    /// store; told a second time, it leaves at once. Connections are bounded in number and in time as those of `raincheck
    /// serve` are.
    ///
    /// ```
    /// # async fn main_() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    /// use raincheck::Raincheck;
    ///
    /// let rc = Raincheck::builder().open("./jobs").await?;
    /// let app = Router::new().route("/", get(async || "mine")).merge(rc.router());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// rc.serve(listener, app).await?; // until SIGTERM or Ctrl-C
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When signals cannot be heard, or the store has failed.
    pub async fn serve(&self, listener: TcpListener, app: Router) -> Result<(), ServeFailed> {
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let (first, second) = (stop.clone(), hurry.clone());
        let listening = Group::new("signals");
        listening.spawn(TaskKind::Service, async move {
            told(&mut signals).await;
            first.cancel();
            told(&mut signals).await;
            second.cancel();
        });
        let served = self.run(listener, app, stop.cancelled(), hurry.cancelled()).await;
        listening.abort();
        served
    }

    /// The same until `stop` is over.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = raincheck::Raincheck::builder().open_for_test().await?;
    /// # let (tell, told) = tokio::sync::oneshot::channel::<()>();
    /// # tell.send(()).unwrap();
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let app = axum::Router::new().merge(test.router());
    /// test.serve_until(listener, app, async { drop(told.await) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store has failed.
    pub async fn serve_until(
        &self,
        listener: TcpListener,
        app: Router,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeFailed> {
        self.run(listener, app, stop, std::future::pending()).await
    }

    async fn run(
        &self,
        listener: TcpListener,
        app: Router,
        stop: impl Future<Output = ()> + Send,
        hurry: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeFailed> {
        let app = self.respond_with(app).await?;
        let (door, closing) = (Group::new("door"), CancellationToken::new());
        let listeners = vec![Listener::from(listener)];
        let options = ServerOptions {
            mount: self.node().options().mount.clone(),
            connect_info: true,
            ..ServerOptions::default()
        };
        let serving = serve(listeners, app, options, closing.clone());
        door.spawn(TaskKind::Service, async move {
            serving.await;
        });
        let node = self.node();
        let leave = async {
            stop.await;
            node.drain().await;
            closing.cancel();
            door.idle().await;
            node.close().await;
        };
        let served = tokio::select! {
            () = leave => Ok(()),
            () = hurry => {
                node.abort();
                Ok(())
            }
            why = node.failure() => {
                node.abort();
                // Those who wait for an answer still get one, a refusal.
                closing.cancel();
                door.idle().await;
                Err(ServeFailed::Store(why))
            }
        };
        self.application().leave();
        served
    }
}

async fn told((term, int): &mut (Signal, Signal)) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
