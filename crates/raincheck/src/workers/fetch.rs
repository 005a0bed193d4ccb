//! Fetch: the URL in a job's input is asked, and the answer is kept (see `raincheck_core::decide`, fetch).
//!
//! Invariants: no more ask at once than the node lets; each request, also that after a redirect, has a place at its host and a connection that `outward` allows; an
//! attempt that the host has no room for, or that it asked to come later, is given back uncharged; no more of a body is held than may
//! be kept.

mod answer;
mod body;
mod request;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raincheck_core::content::JobResult;
use raincheck_core::decide::{FetchAnswer, FetchMethod, REDIRECTS_DEFAULT, fetch_answer, redirect};
use raincheck_core::host::{HostAnswer, HostHeld, HostHeldBy};
use raincheck_core::job::Failure;
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::GroupName;
use raincheck_core::time::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use self::body::Bodies;
use super::{AttemptEnd, Ctx, Runner, StopReason};
use crate::fetch::url::{normalised, resolved};
use crate::fetch::{Checked, Origin, Told, Wanted};
use crate::outward::hosts::{HostName, Hosts, Permit};
use crate::outward::places::Places;
use crate::outward::{refused_here, root_cause};
use crate::telemetry::Outward;

/// How long an attempt waits for its host before it is given back. Giving back costs two commits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of an attempt's time no more than one part of so many goes by before it asks.
const WAITED_SHARE: u32 = 20;
/// The least time after which it comes back where nobody knows when there is room.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// What the fetching queues of a node share. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    places: Places,
    hosts: Hosts,
    metrics: Outward,
    /// Where bodies go, where that is not with their results.
    bodies: Option<Bodies>,
    /// Room for those that ask, where more may begin than ask at once.
    room: Option<Arc<Semaphore>>,
    /// What is known of the origin that was asked for last.
    origin: Arc<Mutex<Origin>>,
}

impl Fetcher {
    /// One that asks on these connections, so many URLs at once where that is said.
    pub(crate) fn new(
        places: Places,
        hosts: Hosts,
        metrics: Outward,
        bodies: Option<PathBuf>,
        most: Option<u32>,
    ) -> Self {
        Self {
            places,
            hosts,
            metrics,
            bodies: bodies.map(Bodies::new),
            room: most.map(|most| Arc::new(Semaphore::new(most as usize))),
            origin: Arc::default(),
        }
    }

    /// What this input is to bring.
    fn wanted(&self, input: &[u8]) -> Result<Checked, String> {
        let wanted = Wanted::read(input)?;
        // Nothing under this lock can panic half way.
        let mut origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.checked_of(&mut origin)
    }

    /// Waits until it may ask. Where that took too much of the attempt's time, or all of it, the attempt is given back unbegun, and what
    /// it was to ask for comes again with all its time.
    async fn may_ask(&self, ctx: &Ctx) -> Result<Option<SemaphorePermit<'_>>, AttemptEnd> {
        let Some(room) = &self.room else { return Ok(None) };
        if let Ok(room) = room.try_acquire() {
            return Ok(Some(room));
        }
        let (since, left) = (Instant::now(), ctx.deadline.since(ctx.store.now()));
        let unbegun = AttemptEnd::Released {
            delay: Duration::ZERO,
            why: None,
        };
        let stops = ctx.stops.clone();
        tokio::select! {
            biased;
            // Nobody closes it.
            room = room.acquire() => match room.ok() {
                Some(room) if since.elapsed() < left / WAITED_SHARE => Ok(Some(room)),
                Some(_) | None => Err(unbegun),
            },
            stop = stops.told() => Err(match stop.reason {
                StopReason::TimedOut => unbegun,
                StopReason::Cancelled | StopReason::Draining | StopReason::Settled | StopReason::LeaseOver => {
                    AttemptEnd::Stopped
                }
            }),
        }
    }
}

/// The runner of one fetching queue.
#[derive(Debug)]
pub(crate) struct Fetch {
    fetcher: Fetcher,
}

/// An earlier answer that may still hold.
struct Earlier {
    result: Arc<JobResult>,
    told: Told,
}

/// The request that is under way.
struct Under {
    permit: Permit,
    sent: Instant,
}

impl Fetch {
    pub(super) const fn new(fetcher: Fetcher) -> Self {
        Self { fetcher }
    }

    /// Asks, and follows where it is led.
    async fn fetch(&self, ctx: &Ctx, under: &mut Option<Under>) -> AttemptEnd {
        let checked = match self.fetcher.wanted(&ctx.input.body) {
            Ok(checked) => checked,
            Err(why) => return AttemptEnd::for_good(Failure::new("bad-request", why)),
        };
        let earlier = self.earlier(ctx, &checked).await;
        let Checked {
            wanted,
            mut uri,
            host,
        } = checked;
        let mut host = HostName::named(host.as_str());
        let first = uri.clone();
        let mut seen = vec![wanted.url.clone()];
        loop {
            let url = seen.last().map_or("", String::as_str);
            let holds = earlier.as_ref().filter(|earlier| earlier.told.last_url() == url);
            let own = seen.len() == 1 || request::same_origin(&first, &uri);
            let request = || request::request(&wanted, &uri, own, holds.map(|e| &e.told));
            let place = self
                .fetcher
                .hosts
                .wait_fetch(&host, ctx.queue.per_host(), PATIENCE, || ctx.store.now());
            let permit = match place.await {
                Ok(permit) => permit,
                Err(held) => {
                    let own = ctx.job.group.as_ref().map(GroupName::as_str) == Some(host.as_str());
                    let now = ctx.store.now();
                    let passed_over = own && self.fetcher.hosts.passes_over(&host, now);
                    return later(&host, held, passed_over, now);
                }
            };
            let sent = Instant::now();
            *under = Some(Under { permit, sent });
            let answered = self.fetcher.places.ask(request).await;
            self.fetcher
                .metrics
                .fetched(answered.as_ref().ok().map(http::Response::status));
            let response = match answered {
                Ok(response) => response,
                Err(error) => return unanswered(under, &error, ctx),
            };
            let location = response.headers().get(http::header::LOCATION);
            let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let means = fetch_answer(response.status().as_u16(), location.is_some(), holds.is_some());
            match (means, location, holds) {
                (FetchAnswer::Elsewhere, Some(location), _) => {
                    let retry_after = crate::outward::retry_after(response.headers(), ctx.store.now());
                    let told = HostAnswer::of(response.status().as_u16(), retry_after);
                    body::discarded(response).await;
                    over(under, told, ctx);
                    let next = resolved(&uri, &location);
                    let follow = wanted.follow.unwrap_or(REDIRECTS_DEFAULT);
                    let allowed = normalised(&next)
                        .map_err(|_| format!("a redirect leads to {}, which cannot be asked", short(&next)));
                    let allowed = allowed.and_then(|(next, uri)| {
                        redirect(&seen, &next, follow)
                            .map_err(|why| format!("{why}, the last one to {next}"))?;
                        Ok((next, uri))
                    });
                    match allowed {
                        Ok((next, there)) => {
                            seen.push(next);
                            uri = there;
                            host = HostName::of(&uri);
                        }
                        Err(why) => return AttemptEnd::for_good(Failure::new("handler-redirected", why)),
                    }
                }
                (FetchAnswer::Unchanged, _, Some(holds)) => {
                    over(under, HostAnswer::Answered { retry_after: None }, ctx);
                    return AttemptEnd::Succeeded(answer::unchanged(
                        &response,
                        ctx,
                        &holds.result,
                        &holds.told,
                    ));
                }
                _ => {
                    let told = Told {
                        final_url: (seen.len() > 1).then(|| seen.last().cloned().unwrap_or_default()),
                        headers: Told::shown(response.headers()),
                        attempts: ctx.job.attempt,
                        url: wanted.url.clone(),
                        ..Told::default()
                    };
                    let max = wanted.max_body.map(|size| size.0);
                    let reading = answer::read(response, ctx, told, max, self.fetcher.bodies.as_ref());
                    let (end, told, bytes) = reading.await;
                    self.fetcher.metrics.fetched_bytes(bytes);
                    over(under, told, ctx);
                    return end;
                }
            }
        }
    }

    /// The earlier answer that the job names, where it can be asked whether it still holds.
    async fn earlier(&self, ctx: &Ctx, checked: &Checked) -> Option<Earlier> {
        let wanted = &checked.wanted;
        let id = wanted.since.filter(|_| wanted.method == FetchMethod::Get)?;
        let change = ctx.store.result(&ctx.job.namespace, id).await.ok()?.ok()?;
        let result = change.result.filter(|result| result.status == 200)?;
        let told = Told::of(&result)?;
        let bodies = self.fetcher.bodies.as_ref();
        let whole = match &told.file {
            Some(file) => bodies.is_some_and(|bodies| bodies.has(file, told.bytes)),
            None => bodies.is_none(),
        };
        let holds = told.url == wanted.url && whole && told.validators().is_some();
        holds.then_some(Earlier { result, told })
    }
}

/// The beginning of a text of unknown length.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// The request is over, and its place is free.
fn over(under: &mut Option<Under>, told: HostAnswer, ctx: &Ctx) {
    if let Some(Under { permit, sent }) = under.take() {
        permit.ended(told, sent.elapsed(), ctx.store.now());
    }
}

/// The host has no room. A pause that it asked for costs no attempt; that it is down does. Where claims pass over the job meanwhile it
/// waits with the others of its host, and says for what.
fn later(host: &HostName, held: HostHeld, passed_over: bool, now: Timestamp) -> AttemptEnd {
    let delay = held
        .until
        .map_or(BACK_AFTER, |until| until.since(now).max(BACK_AFTER));
    match held.by {
        HostHeldBy::Pause if passed_over => AttemptEnd::Released {
            delay: Duration::ZERO,
            why: None,
        },
        HostHeldBy::Pause | HostHeldBy::Concurrency => AttemptEnd::Released { delay, why: None },
        HostHeldBy::Circuit => AttemptEnd::Failed {
            failure: Failure::new(
                "handler-unreachable",
                format!(
                    "{} did not answer other requests and is left alone for now",
                    host.as_str()
                ),
            ),
            retry: Some(delay),
            result: None,
        },
    }
}

/// There was no answer: refused by this server for good, else to be tried again.
fn unanswered(under: &mut Option<Under>, error: &(dyn std::error::Error + 'static), ctx: &Ctx) -> AttemptEnd {
    let why = root_cause(error);
    if refused_here(error) {
        over(under, HostAnswer::Nothing, ctx);
        return AttemptEnd::for_good(Failure::new("handler-unreachable", why));
    }
    over(under, HostAnswer::BROKEN, ctx);
    AttemptEnd::retry(Failure::new("handler-unreachable", format!("no answer: {why}")))
}

impl Runner for Fetch {
    fn kind(&self) -> WorkerKind {
        WorkerKind::Fetch
    }

    fn waits(&self) -> bool {
        // Which hosts have room changes while a claim waits; claims that stand are asked anew then.
        false
    }

    fn leaves_early(&self) -> bool {
        true
    }

    fn passing_over(&self, now: Timestamp) -> Vec<(GroupName, Timestamp)> {
        let paused = self.fetcher.hosts.paused(now).into_iter();
        paused
            .filter_map(|(host, until)| Some((GroupName::new(host.as_str()).ok()?, until)))
            .collect()
    }

    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        Box::pin(async move {
            let _room = match self.fetcher.may_ask(&ctx).await {
                Ok(room) => room,
                Err(unbegun) => return unbegun,
            };
            let stops = ctx.stops.clone();
            let mut under = None;
            let stopped = {
                let fetching = self.fetch(&ctx, &mut under);
                tokio::select! {
                    biased;
                    end = fetching => return end,
                    // Dropping the exchange closes its connection.
                    stop = stops.told() => stop,
                }
            };
            if let Some(Under { permit, sent }) = under {
                let told = if stopped.reason == StopReason::TimedOut {
                    HostAnswer::none_within(sent.elapsed())
                } else {
                    HostAnswer::Nothing
                };
                permit.ended(told, sent.elapsed(), ctx.store.now());
            }
            AttemptEnd::Stopped
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_that_is_down_costs_an_attempt() {
        for (by, costs) in [
            (HostHeldBy::Pause, false),
            (HostHeldBy::Concurrency, false),
            (HostHeldBy::Circuit, true),
        ] {
            let uri: http::Uri = "http://a/".parse().unwrap();
            let end = later(
                &HostName::of(&uri),
                HostHeld { by, until: None },
                false,
                Timestamp::default(),
            );
            assert_eq!(matches!(end, AttemptEnd::Failed { .. }), costs, "{end:?}");
        }
    }
}
