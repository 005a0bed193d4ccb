//! Push: the input is sent to a URL, and the answer decides (API.md section 6).
//!
//! Invariants: the bytes sent are the bytes that came, and are signed; no redirect is followed, nothing is decompressed, no proxy is
//! asked; every answer is bounded in size by the queue and in time by the attempt. Stopping closes the connection, but for
//! an endpoint that has settled the job over its lease, which may finish its answer.

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
use raincheck_core::job::{Failure, Job};
use raincheck_core::lease::WorkerKind;
use raincheck_core::secret::SigningSecrets;
use tracing::warn;

use super::{AttemptEnd, Ctx, Runner, StopReason};
use crate::webhooks::secrets::Secrets;
use crate::webhooks::sign::sign;

/// How long a connection may take to come about: another attempt is better than waiting for a host that is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept. Shorter than the 5 s after which common servers (uvicorn, Node.js) close theirs,
/// for a request that meets a closing connection fails and costs the job an attempt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How soon the store is asked again for what a request is signed with; longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How much of an answer's head is read.
const HEAD_MAX: usize = 64 << 10;
/// Why an answer that the endpoint settles later cannot be taken.
const NO_LEASE_URL: &str = "the handler answered that it settles later, but this server has no public URL and gave it no \
                            Raincheck-Lease";

/// What push connections are made and kept by; one for the whole node. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Pusher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// What the URLs of leases begin with.
    public_url: Option<Arc<str>>,
    secrets: Secrets,
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pusher")
    }
}

impl Pusher {
    /// For a server that endpoints reach at `public_url`, and that signs with these secrets.
    pub(crate) fn new(public_url: Option<&str>, secrets: Secrets) -> Self {
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
        let public_url = public_url.map(|url| url.trim_end_matches('/').into());
        Self {
            client,
            public_url,
            secrets,
        }
    }

    /// Where an endpoint settles this attempt later.
    fn lease_url(&self, job: &Job) -> Option<String> {
        let (url, lease) = (self.public_url.as_ref()?, job.lease_id()?);
        Some(format!("{url}/v1/leases/{lease}"))
    }
}

/// The URL as a request's target.
///
/// # Errors
/// What is taken instead.
pub(super) fn target(url: &str) -> Result<Uri, &'static str> {
    let absolute = "takes absolute URLs such as http://localhost:8000/jobs";
    let uri: Uri = url.parse().map_err(|_| absolute)?;
    let authority = uri.authority().ok_or(absolute)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
        return Err("takes http:// and https:// URLs only");
    }
    if authority.as_str().contains('@') {
        return Err("takes URLs without user and password");
    }
    Ok(uri)
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
            targets: urls.iter().map(|url| target(url).ok()).collect(),
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

    /// What the request is signed with. Nothing is sent unsigned: where the store cannot be asked, the attempt waits for
    /// it until its time is over.
    async fn secrets(&self, ctx: &Ctx) -> Arc<SigningSecrets> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.pusher.secrets.get(&ctx.job.namespace).await {
                Ok(secrets) => return secrets,
                Err(error) => warn!(%error, "a push waits for what it is signed with"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(CONNECT_TIMEOUT);
        }
    }

    async fn exchange(&self, ctx: &Ctx) -> AttemptEnd {
        let Some(target) = self.target() else {
            let detail = "the queue's URL cannot be asked";
            return AttemptEnd::retry(Failure::new("handler-unreachable", detail));
        };
        let lease_url = self.pusher.lease_url(&ctx.job);
        let mut request = request::request(target, ctx, lease_url.as_deref());
        let secrets = self.secrets(ctx).await;
        let id = request::message_id(ctx);
        sign(
            request.headers_mut(),
            &secrets,
            &id,
            &ctx.input.body,
            ctx.store.now(),
        );
        match self.pusher.client.request(request).await {
            Ok(response) if answer::deferred(&response) => match lease_url {
                Some(_) => AttemptEnd::Deferred,
                None => AttemptEnd::for_good(Failure::new("handler-failed", NO_LEASE_URL)),
            },
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
            let mut settled = ctx.stops.clone();
            let stop = async {
                if stops.told().await.reason == StopReason::Settled {
                    // An endpoint that has settled the job is let answer, and what it answers counts for nothing.
                    settled.out_of_patience().await;
                }
            };
            tokio::select! {
                biased;
                end = self.exchange(&ctx) => end,
                // Dropping the exchange closes its connection, which is how the handler is told.
                () = stop => AttemptEnd::Stopped,
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
