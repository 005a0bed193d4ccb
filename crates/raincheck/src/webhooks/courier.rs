//! Sends the webhooks that finished jobs and batches have made.
//!
//! ```text
//! Observer::changed ─► bell ─► Store::claim_deliveries ─► one errand each: sign, POST ─► Store::end_tries
//! ```
//!
//! One receiver does not hold the others up: each host has its share of those who send ([`Hosts`]), and what finds no room
//! there soon is put back, its try not counted, for a while that grows with each time.
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
use raincheck_core::host::{HostAnswer, HostHeld};
use raincheck_core::queue::Queue;
use raincheck_core::retry::mix;
use raincheck_core::store::{About, Change, EndTry, Outgoing, Store, StoreError};
use raincheck_core::time::Timestamp;
use tokio::sync::{AcquireError, Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::secrets::Secrets;
use super::sign::sign;
use crate::backoff::Backoff;
use crate::outward::hosts::{HostName, Hosts, Permit};
use crate::outward::{Client, refused_here, retry_after, root_cause, target};
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
/// How long a webhook waits for others to the same host before it is put back, and its place given to another.
const PATIENCE: Duration = Duration::from_millis(250);
/// For how long a webhook is put back at first, where nobody knows when there will be room; longer each time.
const PUT_BACK_FIRST: Duration = Duration::from_secs(1);
/// How often that doubles.
const PUT_BACK_DOUBLED: u32 = 6;
/// How long between two looks at most: hints may be lost.
const POLL: Duration = Duration::from_secs(30);

/// Makes a webhook's body: the only thing about it that is HTTP's.
pub(crate) type Render = fn(&Outgoing, Option<&Queue>, &str, Timestamp) -> Vec<u8>;

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
    pub(crate) hosts: Hosts,
    /// What the URLs in webhooks begin with.
    pub(crate) outside: String,
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
                    let Ok(put_back) = courier.hand_out(claimed.due, &places).await else {
                        return;
                    };
                    if !full {
                        courier
                            .wait(claimed.next_at.into_iter().chain(put_back).min())
                            .await;
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

    /// Has these sent, each by a task of its own, but for those whose host must be left alone now: they are put back. Gives
    /// back when the first of them is due again.
    async fn hand_out(
        self: &Arc<Self>,
        due: Vec<Outgoing>,
        places: &Arc<Semaphore>,
    ) -> Result<Option<Timestamp>, AcquireError> {
        let hosts: Vec<_> = due.iter().map(host_of).collect();
        let known: Vec<_> = hosts.iter().flatten().cloned().collect();
        let mut taken = self.hosts.take_webhooks(&known, self.store.now()).into_iter();
        let mut held_back = Vec::new();
        for (outgoing, host) in due.into_iter().zip(hosts) {
            let permit = match host.as_ref().and_then(|_| taken.next()).transpose() {
                Ok(permit) => permit,
                Err(held) if held.until.is_some() || self.hosts.slow(host.as_ref()) => {
                    held_back.push((outgoing, held));
                    continue;
                }
                Err(_) => None,
            };
            let place = places.clone().acquire_owned().await?;
            let courier = self.clone();
            self.tasks.clone().spawn(TaskKind::Errand, async move {
                courier.send(outgoing, host, permit).await;
                drop(place);
            });
        }
        Ok(self.put_back(held_back).await)
    }

    /// Puts back webhooks whose host has no room. Gives back when the first of them is due again.
    async fn put_back(&self, held_back: Vec<(Outgoing, HostHeld)>) -> Option<Timestamp> {
        let now = self.store.now();
        let ends: Vec<_> = held_back
            .iter()
            .map(|(outgoing, held)| {
                let delivery = &outgoing.delivery;
                let seed = self.random.bits();
                let pause = for_how_long(delivery.held, seed);
                let until = held.until.unwrap_or(now).plus(pause);
                debug!(id = %delivery.id, %until, by = held.by.as_str(), "a webhook is put back");
                EndTry {
                    id: delivery.id,
                    n: delivery.tries,
                    end: TryEnd::Held { until },
                    seed,
                }
            })
            .collect();
        let first = ends.iter().filter_map(|ended| match ended.end {
            TryEnd::Held { until } => Some(until),
            TryEnd::Taken { .. } | TryEnd::Failed { .. } | TryEnd::Gone => None,
        });
        let first = first.min()?;
        if let Err(error) = self.store.end_tries(ends).await {
            // They are due again when the tries' terms are over.
            warn!(%error, "webhooks could not be put back; they will be sent later");
        }
        Some(first)
    }

    async fn wait(&self, next_at: Option<Timestamp>) {
        let due = next_at.map_or(POLL, |next_at| next_at.since(self.store.now()));
        tokio::select! {
            biased;
            () = self.bell.0.wake.notified() => {}
            () = sleep(due.min(POLL)) => {}
        }
    }

    /// One try, from the room for it to its end in the store.
    async fn send(&self, outgoing: Outgoing, host: Option<HostName>, permit: Option<Permit>) {
        let permit = match (permit, &host) {
            (None, Some(host)) => {
                let now = || self.store.now();
                match self.hosts.wait_webhook(host, PATIENCE, now).await {
                    Ok(permit) => Some(permit),
                    Err(held) => {
                        self.put_back(vec![(outgoing, held)]).await;
                        self.bell.ring();
                        return;
                    }
                }
            }
            (permit, _) => permit,
        };
        let delivery = &outgoing.delivery;
        let (begun, asked) = (self.store.now(), Instant::now());
        let (end, told) = match timeout(TIME, self.attempt(&outgoing)).await {
            Ok(ended) => ended,
            Err(_) => (
                failed("the receiver did not answer in time".to_owned()),
                HostAnswer::none_within(TIME),
            ),
        };
        if let Some(permit) = permit {
            permit.ended(told, asked.elapsed(), self.store.now());
        }
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

    /// What came of it, and what that tells of the receiver's host.
    async fn attempt(&self, outgoing: &Outgoing) -> (TryEnd, HostAnswer) {
        let (delivery, ns) = (&outgoing.delivery, outgoing.about.namespace());
        let Ok(uri) = target(&delivery.url) else {
            return (failed("the URL cannot be asked".to_owned()), HostAnswer::Nothing);
        };
        let secrets = match self.secrets.get(ns).await {
            Ok(secrets) => secrets,
            Err(error) => {
                let why = format!("nothing to sign with: {error}");
                return (failed(why), HostAnswer::Nothing);
            }
        };
        let queue = match &outgoing.about {
            About::Job { job, .. } => self.queues.get(ns, &job.queue).await.ok().flatten(),
            About::Batch(_) => None,
        };
        let now = self.store.now();
        let body = (self.render)(outgoing, queue.as_deref(), &self.outside, now);
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
        let parent = self.traces.traceparent_of(outgoing);
        let parent = parent.and_then(|parent| parent.parse().ok());
        if let (Some(parent), About::Job { job, .. }) = (parent, &outgoing.about) {
            headers.insert("traceparent", parent);
            // The rest of the context means nothing without it (W3C Trace Context, section 3.3).
            let state = job.options.tracestate.as_deref();
            if let Some(state) = state.and_then(|state| state.parse().ok()) {
                headers.insert("tracestate", state);
            }
        }
        sign(headers, &secrets, &delivery.id.to_string(), &body, now);
        let answer = match self.client.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let why = format!("the receiver could not be reached: {}", root_cause(&error));
                let told = if refused_here(&error) {
                    HostAnswer::Nothing
                } else {
                    HostAnswer::BROKEN
                };
                return (failed(why), told);
            }
        };
        let (status, asked) = (answer.status(), retry_after(answer.headers(), now));
        let end = if status.is_success() {
            TryEnd::Taken {
                status: status.as_u16(),
            }
        } else if status == http::StatusCode::GONE {
            TryEnd::Gone
        } else {
            TryEnd::Failed {
                status: Some(status.as_u16()),
                error: format!("the receiver answered {status}"),
                retry_after: Some(asked),
            }
        };
        (end, HostAnswer::of(status.as_u16(), asked))
    }
}

/// Where a webhook goes, where its URL can be asked.
fn host_of(outgoing: &Outgoing) -> Option<HostName> {
    let uri = target(&outgoing.delivery.url).ok()?;
    Some(HostName::of(&uri))
}

/// For how long a webhook is put back that was put back so often before: those of one host come back one after the other.
fn for_how_long(before: u32, seed: u64) -> Duration {
    let ceiling = PUT_BACK_FIRST * (1 << before.min(PUT_BACK_DOUBLED));
    let half = u64::try_from(ceiling.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half + mix(seed) % (half + 1))
}

const fn failed(error: String) -> TryEnd {
    TryEnd::Failed {
        status: None,
        error,
        retry_after: None,
    }
}
