//! Push: the input is sent to a URL, and the answer decides (API.md section 6).
//!
//! Invariants: the bytes sent are the bytes that came; no redirect is followed, nothing is decompressed, no proxy is
//! asked; every answer is bounded in size by the queue and in time by the attempt. Stopping closes the connection.

mod answer;
mod request;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use raincheck_core::job::Failure;
use raincheck_core::lease::WorkerKind;
use raincheck_core::queue::SettingError;

use super::{AttemptEnd, Ctx, Runner};

/// How long a connection may take to come about: another attempt is better than waiting for a host that is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept. Shorter than the 5 s after which common servers (uvicorn, Node.js) close theirs,
/// for a request that meets a closing connection fails and costs the job an attempt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How much of an answer's head is read.
const HEAD_MAX: usize = 64 << 10;

/// What push connections are made and kept by; one for the whole node. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Pusher(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pusher")
    }
}

impl Pusher {
    pub(crate) fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("ring has the protocol versions that are asked for")
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(HEAD_MAX)
            .build(tls);
        Self(client)
    }
}

/// Checks a queue's push URLs.
pub(super) fn check(urls: &[String]) -> Result<(), SettingError> {
    if urls.iter().all(|url| target(url).is_some()) {
        return Ok(());
    }
    Err(SettingError {
        field: "worker",
        rule: "push takes http:// or https:// URLs with a host and without user name or password",
    })
}

/// The URL as a request's target; `None` where it cannot be one.
fn target(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority()?;
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    (scheme && plain).then_some(uri)
}

/// The runner of one push queue.
#[derive(Debug)]
pub(crate) struct Push {
    pusher: Pusher,
    targets: Vec<Option<Uri>>,
    next: AtomicUsize,
}

impl Push {
    /// Pushes to these URLs in turn.
    pub(super) fn new(pusher: Pusher, urls: &[String]) -> Self {
        Self {
            pusher,
            targets: urls.iter().map(|url| target(url)).collect(),
            next: AtomicUsize::new(0),
        }
    }

    fn target(&self) -> Option<Uri> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.targets
            .get(turn % self.targets.len().max(1))
            .cloned()
            .flatten()
    }

    async fn exchange(&self, ctx: &Ctx) -> AttemptEnd {
        let Some(target) = self.target() else {
            let detail = "the queue's URL cannot be asked";
            return AttemptEnd::retry(Failure::new("handler-unreachable", detail));
        };
        let request = request::request(target, ctx);
        match self.pusher.0.request(request).await {
            Ok(response) => answer::read(response, ctx.queue.result_max(), ctx.store.now()).await,
            Err(error) => {
                let detail = format!("the handler could not be reached: {}", root_cause(&error));
                AttemptEnd::retry(Failure::new("handler-unreachable", detail))
            }
        }
    }
}

impl Runner for Push {
    fn kind(&self) -> WorkerKind {
        WorkerKind::Push
    }

    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        Box::pin(async move {
            let mut stops = ctx.stops.clone();
            tokio::select! {
                biased;
                end = self.exchange(&ctx) => end,
                // Dropping the exchange closes its connection, which is how the handler is told.
                _ = stops.told() => AttemptEnd::Stopped,
            }
        })
    }
}

/// The innermost reason, which says most: outer ones say "client error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        cause = inner.to_string();
        source = inner.source();
    }
    cause
}

#[cfg(test)]
mod tests;
