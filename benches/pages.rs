//! A web server that only answers: what `benches/fetch` fetches from.
//!
//! ```text
//!   GET /N/anything   N bytes
//!   GET /asked        how many of those there were
//! ```
//!
//! Invariant: it costs as little as a web server can, so that what is measured is who fetches.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The largest body.
const LARGEST: usize = 1 << 20;

fn answer(request: &Request<Incoming>, page: &Bytes, asked: &AtomicU64) -> Response<Full<Bytes>> {
    let mut parts = request.uri().path().split('/').skip(1);
    match parts.next().and_then(|size| size.parse::<usize>().ok()) {
        Some(size) => {
            asked.fetch_add(1, Ordering::Relaxed);
            let mut response = Response::new(Full::new(page.slice(..size.min(LARGEST))));
            let kind = hyper::header::HeaderValue::from_static("text/plain");
            response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
            response
        }
        None => Response::new(Full::new(asked.load(Ordering::Relaxed).to_string().into())),
    }
}

async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let (page, asked) = (Bytes::from(vec![b'x'; LARGEST]), Arc::new(AtomicU64::new(0)));
    let mut lines = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (page, asked) = (page.clone(), asked.clone());
        let service = service_fn(move |request| {
            let response = answer(&request, &page, &asked);
            async move { Ok::<_, Infallible>(response) }
        });
        lines.spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
        while lines.try_join_next().is_some() {}
    }
}

/// `pages --port N`, on one thread.
fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let port = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--port", port] => port.parse().map_err(std::io::Error::other)?,
        _ => return Err(std::io::Error::other("usage: pages --port N")),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(port))
}
