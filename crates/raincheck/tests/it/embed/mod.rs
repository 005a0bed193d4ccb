//! Raincheck within an axum application: its own functions work the jobs, its own routes submit them.

mod beside;
mod handlers;
mod leaving;
mod mounted;
mod respond;
mod submits;
mod testing;
mod upgrade;

use std::net::SocketAddr;

use axum::Router;
use raincheck::Raincheck;
use raincheck::embed::{Builder, ServeFailed};
use raincheck::tasks::{Group, TaskKind};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::client::Ask;

/// Opens a store of its own.
async fn opened<S: Clone + Send + Sync + 'static>(builder: Builder<S>) -> (Raincheck, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let rc = builder.open(folder.path().join("jobs")).await.unwrap();
    (rc, folder)
}

/// An application that is served.
struct App {
    addr: SocketAddr,
    stop: CancellationToken,
    ended: oneshot::Receiver<Result<(), ServeFailed>>,
}

impl App {
    async fn serve(rc: &Raincheck, app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, (tell, ended)) = (CancellationToken::new(), oneshot::channel());
        let (rc, told) = (rc.clone(), stop.clone());
        Group::new("app").spawn(TaskKind::Errand, async move {
            let served = rc.serve_until(listener, app, told.cancelled()).await;
            // A test that does not ask has dropped the other end.
            let _ = tell.send(served);
        });
        Self { addr, stop, ended }
    }

    fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.addr, method, path)
    }
}
