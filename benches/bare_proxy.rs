//! The least that a reverse proxy can do: hyper on both sides, the head passed on, bodies as they come. What the proxy's
//! pass-through is told against. And the least that a service can do, for both of them to stand in front of.
//!
//! ```text
//!   bare_proxy --port N --upstream HOST:PORT    passes everything on
//!   bare_proxy --port N                         answers everything: 200, with as many bytes as its path says (/1024)
//! ```
//!
//! Invariant: it does nothing for the request that it could leave out, and is no proxy to be used.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// What is passed on to whom.
#[derive(Clone)]
struct Way {
    client: Client<HttpConnector, Incoming>,
    upstream: Option<String>,
}

async fn answer(way: Way, mut request: Request<Incoming>) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let Some(upstream) = &way.upstream else {
        let bytes: usize = path.trim_start_matches('/').parse().unwrap_or(2);
        let _ = request.into_body().collect().await?;
        return Ok(Response::new(Either::Right(Full::new(Bytes::from(vec![b'x'; bytes])))));
    };
    let target: Uri = format!("http://{upstream}{path}").parse()?;
    *request.uri_mut() = target;
    for name in ["connection", "te", "transfer-encoding", "upgrade"] {
        request.headers_mut().remove(name);
    }
    Ok(way.client.request(request).await?.map(Either::Left))
}

async fn serve(port: u16, upstream: Option<String>) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let way = Way {
        client: Client::builder(TokioExecutor::new()).build(connector),
        upstream,
    };
    let mut lines = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let way = way.clone();
        let service = service_fn(move |request| answer(way.clone(), request));
        lines.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while lines.try_join_next().is_some() {}
    }
}

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let usage = || std::io::Error::other("usage: bare_proxy --port N [--upstream HOST:PORT]");
    let (port, upstream) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--port", port] => (port, None),
        ["--port", port, "--upstream", upstream] => (port, Some(upstream.to_owned())),
        _ => return Err(usage()),
    };
    let port = port.parse().map_err(|_| usage())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(port, upstream))
}
