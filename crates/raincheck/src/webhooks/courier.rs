//! Sends the webhooks that finished jobs and batches have made.
//!
//! ```text
//! Observer::changed ─► bell ─► Store::claim_deliveries ─► one errand each: sign, POST ─► Store::end_tries
//! ```
//!
//! Invariants: a webhook is sent at least once and never forgotten: what a crash leaves open is due again; no answer is
//! read but its head; every URL came over the API and leads only where the guard lets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use raincheck_core::batch::Batch;
use raincheck_core::decide::TryEnd;
use raincheck_core::queue::Queue;
use raincheck_core::store::{About, Change, EndTry, Outgoing, Store, StoreError};
use raincheck_core::time::Timestamp;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::secrets::Secrets;
use super::sign::sign;
use crate::backoff::Backoff;
use crate::outward::{Client, retry_after, root_cause, target};
use crate::queues::Queues;
use crate::random::Randomness;
use crate::tasks::{Group, TaskKind};
use crate::telemetry::Outward;
use crate::telemetry::traces::Traces;

/// How long a receiver may take. Shorter than the term of a try, so that none overtakes another.
const TIME: Duration = Duration::from_secs(15);
/// So many are sent at once.
const AT_ONCE: usize = 64;
/// So many are begun in one step.
const BATCH: usize = 32;
/// How long between two looks at most: hints may be lost.
const POLL: Duration = Duration::from_secs(30);

/// Makes a webhook's body: the only thing about it that is HTTP's.
pub(crate) type Render = fn(&Outgoing, Option<&Queue>, Option<&str>, Timestamp) -> Vec<u8>;

/// Rings when there may be webhooks to send. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(Arc<Rung>);

#[derive(Debug, Default)]
struct Rung {
    wake: Notify,
    /// Whether any queue has a callback, so that every end of a job may have made a webhook.
    queues: AtomicBool,
}

impl Bell {
    /// Takes note of a queue's settings.
    pub(crate) fn take_in(&self, queue: &Queue) {
        if queue.callback().is_some() {
            self.0.queues.store(true, Ordering::SeqCst);
        }
    }

    /// Hears of commits.
    pub(crate) fn heard(&self, changes: &[Change]) {
        let any = self.0.queues.load(Ordering::SeqCst);
        let made = |change: &Change| change.job.done() && (any || change.job.options.callback.is_some());
        if changes.iter().any(made) {
            self.ring();
        }
    }

    /// Hears of batches.
    pub(crate) fn heard_of_batches(&self, batches: &[Arc<Batch>]) {
        if batches
            .iter()
            .any(|batch| batch.done() && batch.callback.is_some())
        {
            self.ring();
        }
    }

    /// Has the courier look.
    pub(crate) fn ring(&self) {
        self.0.wake.notify_one();
    }
}

/// What sending takes.
#[derive(Debug)]
pub(crate) struct Courier {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) secrets: Secrets,
    pub(crate) client: Client,
    pub(crate) public_url: Option<String>,
    pub(crate) random: Randomness,
    pub(crate) bell: Bell,
    pub(crate) tasks: Group,
    pub(crate) render: Render,
    pub(crate) metrics: Outward,
    pub(crate) traces: Traces,
}

impl Courier {
    /// Sends until the store takes nothing any more.
    pub(crate) async fn run(self) {
        let courier = Arc::new(self);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut backoff = Backoff::new(courier.random.clone());
        loop {
            // Nothing is begun that could not be sent at once.
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            drop(place);
            // Ends are kept many in one step, whose senders are all about to make room: that shall be one claim as well.
            tokio::task::yield_now().await;
            let free = places.available_permits().clamp(1, BATCH);
            let claimed = courier
                .store
                .claim_deliveries(u32::try_from(free).unwrap_or(1))
                .await;
            match claimed {
                Ok(claimed) => {
                    backoff.reset();
                    let full = claimed.due.len() >= free;
                    for outgoing in claimed.due {
                        let Ok(place) = places.clone().acquire_owned().await else {
                            return;
                        };
                        let courier = courier.clone();
                        courier.tasks.clone().spawn(TaskKind::Errand, async move {
                            courier.send(outgoing).await;
                            drop(place);
                        });
                    }
                    if !full {
                        courier.wait(claimed.next_at).await;
                    }
                }
                Err(StoreError::Failed(_) | StoreError::Closed) => return,
                Err(error) => {
                    warn!(%error, "webhooks could not be looked for");
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn wait(&self, next_at: Option<Timestamp>) {
        let due = next_at.map_or(POLL, |next_at| next_at.since(self.store.now()));
        tokio::select! {
            biased;
            () = self.bell.0.wake.notified() => {}
            () = sleep(due.min(POLL)) => {}
        }
    }

    /// One try, from its body to its end in the store.
    async fn send(&self, outgoing: Outgoing) {
        let delivery = &outgoing.delivery;
        let begun = self.store.now();
        let end = match timeout(TIME, self.attempt(&outgoing)).await {
            Ok(end) => end,
            Err(_) => failed("the receiver did not answer in time".to_owned()),
        };
        self.metrics.tried(&end);
        self.traces.tried(&outgoing, &end, begun, self.store.now());
        debug!(id = %delivery.id, n = delivery.tries, ?end, "a webhook was tried");
        let ended = EndTry {
            id: delivery.id,
            n: delivery.tries,
            end,
            seed: self.random.bits(),
        };
        if let Err(error) = self.store.end_tries(vec![ended]).await {
            // It is due again when the try's term is over.
            warn!(id = %delivery.id, %error, "a webhook's end could not be kept; it will be sent again");
        }
        // What was not taken is due sooner than was known.
        self.bell.ring();
    }

    async fn attempt(&self, outgoing: &Outgoing) -> TryEnd {
        let (delivery, ns) = (&outgoing.delivery, outgoing.about.namespace());
        let Ok(uri) = target(&delivery.url) else {
            return failed("the URL cannot be asked".to_owned());
        };
        let secrets = match self.secrets.get(ns).await {
            Ok(secrets) => secrets,
            Err(error) => return failed(format!("nothing to sign with: {error}")),
        };
        let queue = match &outgoing.about {
            About::Job { job, .. } => self.queues.get(ns, &job.queue).await.ok().flatten(),
            About::Batch(_) => None,
        };
        let now = self.store.now();
        let body = (self.render)(outgoing, queue.as_deref(), self.public_url.as_deref(), now);
        let body = Bytes::from(body);
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("raincheck/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(parent) = self
            .traces
            .traceparent_of(outgoing)
            .and_then(|parent| parent.parse().ok())
        {
            headers.insert("traceparent", parent);
        }
        sign(headers, &secrets, &delivery.id.to_string(), &body, now);
        match self.client.send(request).await {
            Ok(answer) if answer.status().is_success() => TryEnd::Taken {
                status: answer.status().as_u16(),
            },
            Ok(answer) if answer.status() == http::StatusCode::GONE => TryEnd::Gone,
            Ok(answer) => TryEnd::Failed {
                status: Some(answer.status().as_u16()),
                error: format!("the receiver answered {}", answer.status()),
                retry_after: Some(retry_after(answer.headers(), now)),
            },
            Err(error) => failed(format!(
                "the receiver could not be reached: {}",
                root_cause(&error)
            )),
        }
    }
}

const fn failed(error: String) -> TryEnd {
    TryEnd::Failed {
        status: None,
        error,
        retry_after: None,
    }
}
