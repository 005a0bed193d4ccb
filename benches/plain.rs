//! What the programs share that others are measured against: one port of this machine, one thread, hyper on each connection.
//!
//! Invariant: nothing is in here that a server could do without.

use std::error::Error;
use std::net::Ipv4Addr;

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};

use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Failed = Box<dyn Error + Send + Sync>;

/// Runs a program until it is ended: the words of which `service` makes what answers, and `--port N`; where it makes none
/// of them, `usage` says how they are written.
///
/// # Errors
/// When the words are others, or the port is taken.
pub(crate) fn run<S, B>(usage: &str, service: impl FnOnce(&[&str]) -> Option<S>) -> std::io::Result<()>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Failed>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Failed>,
{
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let read = match &words[..] {
        [rest @ .., "--port", port] => port.parse().ok().zip(service(rest)),
        _ => None,
    };
    let (port, service) = read.ok_or_else(|| std::io::Error::other(format!("usage: {usage}")))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(port, service))
}

async fn serve<S, B>(port: u16, service: S) -> std::io::Result<()>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Failed>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Failed>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut lines = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let builder = hyper::server::conn::http1::Builder::new();
        lines.spawn(builder.serve_connection(TokioIo::new(stream), service.clone()));
        while lines.try_join_next().is_some() {}
    }
}
