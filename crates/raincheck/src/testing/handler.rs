//! Handlers that tests push to: real servers on a port of their own.

use std::net::SocketAddr;

use axum::Router;
use raincheck_core::queue::Worker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::tasks::{Group, TaskKind};

/// A server that ends with the test.
pub(crate) struct Handler {
    pub(crate) addr: SocketAddr,
    tasks: Group,
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

impl Handler {
    /// Serves these routes.
    pub(crate) async fn serve(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tasks = Group::new("handler");
        tasks.spawn(TaskKind::Connection, async move {
            axum::serve(listener, routes).await.unwrap()
        });
        Self { addr, tasks }
    }

    /// Answers every request with these bytes, whatever they are, and closes the connection.
    pub(crate) async fn raw(answer: &'static [u8]) -> Self {
        let (handler, mut connections) = Self::connections().await;
        handler.tasks.spawn(TaskKind::Connection, async move {
            while let Some(mut connection) = connections.recv().await {
                let mut request = [0; 4096];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(answer).await;
                let _ = connection.shutdown().await;
            }
        });
        handler
    }

    /// Accepts connections and hands them out.
    pub(crate) async fn connections() -> (Self, mpsc::Receiver<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tasks = Group::new("handler");
        let (tell, connections) = mpsc::channel(16);
        tasks.spawn(TaskKind::Connection, async move {
            while let Ok((connection, _)) = listener.accept().await {
                if tell.send(connection).await.is_err() {
                    return;
                }
            }
        });
        (Self { addr, tasks }, connections)
    }

    /// This handler as a queue's worker.
    pub(crate) fn at(&self, path: &str) -> Worker {
        Worker::Push(vec![format!("http://{}{path}", self.addr)])
    }
}
