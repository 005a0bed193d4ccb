//! The leases in our hands: renewed together, and heard of.
//!
//! Invariants: as long as [`Held::renew`] runs, every lease is renewed at a third of its term, and at the latest after
//! [`RENEW_MAX`], so that nobody hears of a cancel request later than that; while the server is away leases are kept, for
//! a lease is over only when the server says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::HeaderValue;
use raincheck::backoff::Backoff;
use raincheck::core::time::parse_duration;
use raincheck::random::Randomness;
use raincheck::workers::StopReason;
use raincheck::workers::stop::{OVER_GRACE, Stop, TIMED_OUT_GRACE};
use raincheck::workers::supervise::Holding;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::report::Contact;
use super::wire::{EntryDocument, Leased};
use crate::client::Request;

/// How long at most between two renewals.
const RENEW_MAX: Duration = Duration::from_secs(5);
/// Leases that are due within this time are renewed with those that are due now.
const TOGETHER: Duration = Duration::from_millis(500);
/// So many leases one request renews.
const BATCH: usize = 500;

/// What was heard of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Nothing,
    /// Its job is to be cancelled; patience ends then.
    Cancel(Instant),
    /// It is over.
    Over,
}

#[derive(Debug)]
struct Entry {
    every: Duration,
    renew_at: Instant,
    tell: watch::Sender<News>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<HashMap<String, Entry>>,
    more: Notify,
}

/// The leases. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Inner>);

/// A lease that is renewed until this is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    held: Held,
    lease: String,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.held.entries().remove(&self.lease);
    }
}

/// What holds one job while its attempt runs.
#[derive(Debug)]
pub(super) struct Hold {
    news: watch::Receiver<News>,
    cancel_told: bool,
    over: bool,
    /// When the attempt's time is over; `None` once that was told.
    deadline: Option<Instant>,
    closing: watch::Receiver<Option<Instant>>,
    closing_told: bool,
}

impl Held {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Nothing under this lock can panic half way.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a lease. `closing` says until when attempts may wind down, once they are to.
    pub(super) fn enter(
        &self,
        leased: &Leased,
        closing: watch::Receiver<Option<Instant>>,
    ) -> (Entered, Hold) {
        let every = (leased.term / 3).min(RENEW_MAX);
        let first = if leased.document.cancel_requested {
            News::Cancel(leased.asked + grace(leased.term))
        } else {
            News::Nothing
        };
        let (tell, news) = watch::channel(first);
        let lease = leased.document.lease.clone();
        let entry = Entry {
            every,
            renew_at: leased.asked + every,
            tell,
        };
        self.entries().insert(lease.clone(), entry);
        self.0.more.notify_one();
        let entered = Entered {
            held: self.clone(),
            lease,
        };
        let hold = Hold {
            news,
            cancel_told: false,
            over: false,
            deadline: Some(leased.deadline),
            closing,
            closing_told: false,
        };
        (entered, hold)
    }

    /// Renews until it is cut.
    pub(super) async fn renew(self, contact: Contact, random: Randomness) {
        let mut backoff = Backoff::new(random);
        loop {
            let next = self.entries().values().map(|entry| entry.renew_at).min();
            tokio::select! {
                () = at(next) => {}
                () = self.0.more.notified() => continue,
            }
            let asked = Instant::now();
            let due = self.due(asked + TOGETHER);
            if due.is_empty() {
                continue;
            }
            if self.ask(&contact, &due, asked).await {
                backoff.reset();
            } else {
                sleep(backoff.next()).await;
            }
        }
    }

    fn due(&self, by: Instant) -> Vec<String> {
        let entries = self.entries();
        let due = entries.iter().filter(|(_, entry)| entry.renew_at <= by);
        due.map(|(lease, _)| lease.clone()).take(BATCH).collect()
    }

    /// Renews these; whether the server did.
    async fn ask(&self, contact: &Contact, leases: &[String], asked: Instant) -> bool {
        let entries = leases
            .iter()
            .map(|lease| serde_json::json!({"lease": lease, "action": "renew"}));
        let body = serde_json::Value::Array(entries.collect()).to_string();
        let json = Some(HeaderValue::from_static("application/json"));
        let request = Request::post("/v1/leases").body(json, body.into());
        let Some(answer) = contact.send(request).await else {
            return false;
        };
        let Ok(documents) = answer.json::<Vec<EntryDocument>>() else {
            return false;
        };
        for document in documents {
            self.heard(&document, asked);
        }
        true
    }

    fn heard(&self, document: &EntryDocument, asked: Instant) {
        let mut entries = self.entries();
        let entry = document.lease.as_ref().and_then(|lease| entries.get_mut(lease));
        let Some(entry) = entry else { return };
        entry.renew_at = asked + entry.every;
        match document.status {
            200 if document.cancel_requested => {
                let left = document
                    .expires_in
                    .as_deref()
                    .and_then(|left| parse_duration(left).ok());
                let by = asked + grace(left.unwrap_or_default());
                entry.tell.send_if_modified(|news| {
                    let is_news = *news == News::Nothing;
                    if is_news {
                        *news = News::Cancel(by);
                    }
                    is_news
                });
            }
            404 | 409 | 410 => {
                entry.tell.send_replace(News::Over);
            }
            _ => {}
        }
    }
}

/// How long a program may wind down that has to be settled within `left`, which the server rounds up to a second.
fn grace(left: Duration) -> Duration {
    left.saturating_sub(Duration::from_millis(1500)).max(left / 2)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Waits for news of the lease; after a cancel request only its end is news.
async fn news(news: &mut watch::Receiver<News>, cancel_told: bool) -> News {
    let is_news = |news: &News| match news {
        News::Nothing => false,
        News::Cancel(_) => !cancel_told,
        News::Over => true,
    };
    let heard = news.wait_for(is_news).await.ok().map(|news| *news);
    match heard {
        Some(news) => news,
        // Whoever tells is gone: nothing will be heard any more.
        None => std::future::pending().await,
    }
}

async fn closing(closing: &mut watch::Receiver<Option<Instant>>) -> Option<Instant> {
    let told = closing.wait_for(Option::is_some).await.ok().map(|by| *by);
    match told {
        Some(by) => by,
        None => std::future::pending().await,
    }
}

impl Holding for Hold {
    async fn next(&mut self) -> Stop {
        loop {
            tokio::select! {
                biased;
                news = news(&mut self.news, self.cancel_told), if !self.over => match news {
                    News::Nothing => {}
                    News::Cancel(by) => {
                        self.cancel_told = true;
                        return Stop { reason: StopReason::Cancelled, by };
                    }
                    News::Over => {
                        self.over = true;
                        return Stop::within(StopReason::LeaseOver, OVER_GRACE);
                    }
                },
                by = closing(&mut self.closing), if !self.closing_told => {
                    self.closing_told = true;
                    if let Some(by) = by {
                        return Stop { reason: StopReason::Draining, by };
                    }
                }
                () = at(self.deadline) => {
                    self.deadline = None;
                    return Stop::within(StopReason::TimedOut, TIMED_OUT_GRACE);
                }
            }
        }
    }
}
