//! The least that a reverse proxy can do: hyper on both sides, the head passed on without what concerns one hop, bodies as they
//! come, connections used again. What the pass-through of `raincheck proxy` is told against.
//!
//! Invariant: it does nothing for a request that it could leave out, and is no proxy to be used.

mod plain;

use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Uri, Version};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;

/// What concerns one hop only, as far as clients of a measurement say it.
fn strip(headers: &mut HeaderMap) {
    for name in ["connection", "keep-alive", "te", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
}

/// The same target at the upstream.
fn absolute(target: &Uri, upstream: &Authority) -> Uri {
    let mut parts = target.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.clone());
    Uri::from_parts(parts).unwrap_or_default()
}

async fn answer(
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Error> {
    *request.uri_mut() = absolute(request.uri(), &upstream);
    *request.version_mut() = Version::HTTP_11;
    strip(request.headers_mut());
    let mut response = client.request(request).await?;
    strip(response.headers_mut());
    Ok(response)
}

fn main() -> std::io::Result<()> {
    plain::run("reverse --upstream HOST:PORT --port N", |words| {
        let ["--upstream", upstream] = words else {
            return None;
        };
        let upstream: Authority = upstream.parse().ok()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Some(service_fn(move |request| {
            answer(client.clone(), upstream.clone(), request)
        }))
    })
}
