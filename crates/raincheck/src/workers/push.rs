//! Push: the input is sent to a URL, and the answer decides (API.md section 6).
//!
//! Invariants: the bytes sent are the bytes that came, and are signed; a redirect is a failure; where a URL may lead is `outward`.
//! Every answer is bounded in size by the queue and in time by the attempt. Stopping closes the connection, but for
//! an endpoint that has settled the job over its lease, which may finish its answer.

mod answer;
mod request;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use raincheck_core::job::{Failure, Job};
use raincheck_core::lease::WorkerKind;
use raincheck_core::queue::Queue;
use raincheck_core::secret::SigningSecrets;
use tokio::time::Instant;
use tracing::warn;

use super::emit::alongside;
use super::{AttemptEnd, Ctx, Runner, StopReason};
use crate::outward::target::Targets;
use crate::outward::{Client, root_cause, target};
use crate::telemetry::Outward;
use crate::webhooks::secrets::Secrets;
use crate::webhooks::sign::sign;

/// How soon the store is asked again for what a request is signed with; longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How long that pause becomes.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// Why an answer that the endpoint settles later cannot be taken.
const NO_LEASE_URL: &str = "the handler answered that it settles later, but this server has no public URL and gave it no \
                            Raincheck-Lease";

/// What the push queues of a node share. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Pusher {
    /// For the URLs of queues that the server's configuration defines.
    open: Client,
    /// For the URLs of queues that were made over the API.
    guarded: Client,
    /// What the URLs of leases begin with.
    public_url: Option<Arc<str>>,
    secrets: Secrets,
    metrics: Outward,
}

impl Pusher {
    /// For a server that endpoints reach at `public_url`, that signs with these secrets, and whose callers may name these
    /// targets.
    pub(crate) fn new(
        public_url: Option<&str>,
        secrets: Secrets,
        targets: &Arc<Targets>,
        metrics: Outward,
    ) -> Self {
        Self {
            open: Client::open(),
            guarded: Client::guarded(targets),
            public_url: public_url.map(|url| url.trim_end_matches('/').into()),
            secrets,
            metrics,
        }
    }

    /// Where an endpoint settles this attempt later.
    fn lease_url(&self, job: &Job) -> Option<String> {
        let (url, lease) = (self.public_url.as_ref()?, job.lease_id()?);
        Some(format!("{url}/v1/leases/{lease}"))
    }
}

/// The runner of one push queue.
#[derive(Debug)]
pub(crate) struct Push {
    pusher: Pusher,
    client: Client,
    targets: Vec<Option<Uri>>,
    next: AtomicUsize,
}

impl Push {
    /// Pushes the jobs of this queue to these URLs in turn.
    pub(super) fn new(pusher: Pusher, queue: &Queue, urls: &[String]) -> Self {
        let client = if queue.managed {
            &pusher.open
        } else {
            &pusher.guarded
        };
        Self {
            client: client.clone(),
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
            pause = (pause * 2).min(LAST_PAUSE);
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
        let asked = Instant::now();
        let answered = self.client.send(request).await;
        let status = answered.as_ref().ok().map(http::Response::status);
        self.pusher.metrics.pushed(&ctx.queue, status, asked.elapsed());
        match answered {
            Ok(response) if answer::deferred(&response) => match lease_url {
                Some(_) => AttemptEnd::Deferred,
                None => AttemptEnd::for_good(Failure::new("handler-failed", NO_LEASE_URL)),
            },
            Ok(response) => {
                let (emitter, pump) = ctx.emission().unzip();
                let read = answer::read(response, ctx.queue.result_max(), ctx.store.now(), emitter);
                alongside(read, pump).await
            }
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

#[cfg(test)]
mod tests;
