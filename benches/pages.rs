//! A web server that only answers: what `benches/fetch` fetches from, and what stands behind the proxies of
//! `benches/proxy`.
//!
//! ```text
//!   GET /N/anything   N bytes
//!   GET /asked        how many of those there were
//! ```
//!
//! Invariant: it costs as little as a web server can, so that what is measured is who fetches.

mod plain;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

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

fn main() -> std::io::Result<()> {
    let (page, asked) = (Bytes::from(vec![b'x'; LARGEST]), Arc::new(AtomicU64::new(0)));
    let service = service_fn(move |request| {
        let response = answer(&request, &page, &asked);
        async move { Ok::<_, Infallible>(response) }
    });
    plain::run("pages --port N", |words| words.is_empty().then_some(service))
}
