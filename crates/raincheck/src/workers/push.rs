//! Push: the input is sent to a URL, and the answer decides (API.md section 6).
//!
//! Invariants: the bytes sent are the bytes that came, and are signed; a redirect is a failure; where a URL may lead, and whether its
//! host has room, is `outward`'s to say.
//! Every answer is bounded in size by the queue and in time by the attempt. Stopping closes the connection, but for
//! an endpoint that has settled the job over its lease, which may finish its answer.

mod answer;
mod request;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use raincheck_core::host::HostAnswer;
use raincheck_core::job::{Failure, Job};
use raincheck_core::lease::WorkerKind;
use raincheck_core::queue::Queue;
use raincheck_core::secret::SigningSecrets;
use raincheck_core::time::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use super::emit::alongside;
use super::{AttemptEnd, Ctx, Place, Reserved, Runner, StopReason};
use crate::outward::hosts::{Destinations, HostName, Hosts};
use crate::outward::target::Targets;
use crate::outward::trust::Trust;
use crate::outward::{Client, refused_here, root_cause, target};
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
    outside: Option<Arc<str>>,
    secrets: Secrets,
    hosts: Hosts,
    metrics: Outward,
}

impl Pusher {
    /// For a server whose API endpoints reach at `outside`, that signs with these secrets, and whose callers may name these
    /// targets.
    pub(crate) fn new(
        outside: Option<&str>,
        secrets: Secrets,
        (targets, trust): (&Arc<Targets>, &Trust),
        hosts: Hosts,
        metrics: Outward,
    ) -> Self {
        Self {
            open: Client::open(trust),
            guarded: Client::guarded(targets, trust),
            outside: outside.map(Into::into),
            secrets,
            hosts,
            metrics,
        }
    }

    /// Where an endpoint settles this attempt later.
    fn lease_url(&self, job: &Job) -> Option<String> {
        let (url, lease) = (self.outside.as_ref()?, job.lease_id()?);
        Some(format!("{url}/v1/leases/{lease}"))
    }
}

/// The runner of one push queue.
#[derive(Debug)]
pub(crate) struct Push {
    pusher: Pusher,
    client: Client,
    targets: Vec<Uri>,
    destinations: Destinations,
}

impl Push {
    /// Pushes the jobs of this queue to these URLs in turn.
    pub(super) fn new(pusher: Pusher, queue: &Queue, urls: &[String]) -> Self {
        let client = if queue.managed {
            &pusher.open
        } else {
            &pusher.guarded
        };
        let targets: Vec<_> = urls.iter().filter_map(|url| target(url).ok()).collect();
        let names = targets.iter().map(HostName::of).collect();
        Self {
            client: client.clone(),
            destinations: pusher.hosts.destinations(names),
            pusher,
            targets,
        }
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

    /// Sends the request and reads what comes back; notes in `sent` when it was sent.
    async fn exchange(&self, ctx: &Ctx, target: Uri, sent: &OnceLock<Instant>) -> (AttemptEnd, HostAnswer) {
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
        let asked = *sent.get_or_init(Instant::now);
        let answered = self.client.send(request).await;
        let status = answered.as_ref().ok().map(http::Response::status);
        self.pusher.metrics.pushed(&ctx.queue, status, asked.elapsed());
        match answered {
            Ok(response) if answer::deferred(&response) => {
                let end = match lease_url {
                    Some(_) => AttemptEnd::Deferred,
                    None => AttemptEnd::for_good(Failure::new("handler-failed", NO_LEASE_URL)),
                };
                (end, HostAnswer::Answered { retry_after: None })
            }
            Ok(response) => {
                let (emitter, pump) = ctx.emission().unzip();
                let read = answer::read(
                    response,
                    ctx.queue.result_max(),
                    &ctx.room,
                    ctx.store.now(),
                    emitter,
                );
                alongside(read, pump).await
            }
            Err(error) => {
                let told = if refused_here(&error) {
                    HostAnswer::Nothing
                } else {
                    HostAnswer::BROKEN
                };
                let detail = format!("the handler could not be reached: {}", root_cause(&error));
                (
                    AttemptEnd::retry(Failure::new("handler-unreachable", detail)),
                    told,
                )
            }
        }
    }
}

impl Runner for Push {
    fn kind(&self) -> WorkerKind {
        WorkerKind::Push
    }

    fn waits(&self) -> bool {
        // Which hosts have room changes while a claim waits.
        false
    }

    fn reserve(&self, queue: &Queue, wanted: usize, line: &Arc<Notify>, now: Timestamp) -> Reserved {
        if self.targets.is_empty() {
            return Reserved::Free;
        }
        let reserved = self
            .destinations
            .reserve(wanted, queue.spec.concurrency, line, now);
        match reserved {
            Ok(places) => {
                let places = places.into_iter();
                Reserved::At(places.map(|(url, permit)| Place { url, permit }).collect())
            }
            Err(held) => {
                self.pusher.metrics.held(queue, held.by);
                Reserved::Held(held)
            }
        }
    }

    fn begun(&self, place: &Place) {
        self.destinations.begun(place.url);
    }

    fn run(self: Arc<Self>, mut ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        Box::pin(async move {
            let place = ctx.place.take();
            let url = place.as_ref().map_or(0, |place| place.url);
            let Some(target) = self.targets.get(url).cloned() else {
                let detail = "the queue's URL cannot be asked";
                return AttemptEnd::retry(Failure::new("handler-unreachable", detail));
            };
            let stops = ctx.stops.clone();
            let settled = ctx.stops.clone();
            let stop = async {
                let reason = stops.told().await.reason;
                if reason == StopReason::Settled {
                    // An endpoint that has settled the job is let answer, and what it answers counts for nothing.
                    settled.out_of_patience().await;
                }
                reason
            };
            let sent = OnceLock::new();
            let (end, told) = tokio::select! {
                biased;
                ended = self.exchange(&ctx, target, &sent) => ended,
                // Dropping the exchange closes its connection, which is how the handler is told.
                reason = stop => {
                    let timed_out = sent.get().filter(|_| reason == StopReason::TimedOut);
                    let told = timed_out.map(|sent| HostAnswer::none_within(sent.elapsed()));
                    (AttemptEnd::Stopped, told.unwrap_or(HostAnswer::Nothing))
                }
            };
            if let Some(place) = place {
                let took = sent.get().map_or(Duration::ZERO, Instant::elapsed);
                place.permit.ended(told, took, ctx.store.now());
            }
            end
        })
    }
}

#[cfg(test)]
mod tests;
