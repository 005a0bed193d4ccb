//! One attempt's hold on its job: renews the lease and hears of everything that ends it.
//!
//! Invariant: as long as [`Holding::next`] is polled, the lease is renewed at a third of its term, and nothing that is to
//! stop the attempt goes unheard for longer than until the next renewal.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::decide::Renewed;
use raincheck_core::id::LeaseId;
use raincheck_core::lease::Lease;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Answer, Renew, StoreError};
use raincheck_core::time::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{debug, info, warn};

use super::running::{Entered, Heard};
use super::stop::{OVER_GRACE, TIMED_OUT_GRACE};
use super::supervise::Holding;
use super::word::Word;
use super::{Mark, Shop, Stop, StopReason};
use crate::backoff::Backoff;

/// How long an endpoint that has settled the job over its lease may take to answer the push.
const SETTLED_GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Hold {
    shop: Arc<Shop>,
    ns: Namespace,
    lease: LeaseId,
    term: Duration,
    /// When the lease lapses, as last granted.
    expires_at: Timestamp,
    /// When the last grant was asked for: the term counts from no earlier than that.
    granted: Instant,
    renew_at: Instant,
    renewal: Option<(Instant, Answer<Vec<Option<Renewed>>>)>,
    backoff: Backoff,
    unrenewed: Option<Mark>,
    timing_out: Option<Mark>,
    /// When the attempt's time is over; `None` once that was told.
    deadline: Option<Instant>,
    /// Goes off when the next of these is due: one timer for all of them, made once somebody waits, for most attempts end
    /// before that.
    alarm: Option<Pin<Box<Sleep>>>,
    heard: Word<Heard>,
    cancel_told: bool,
    /// Whether the lease is over, as far as is known: nothing is renewed then.
    over: bool,
    closing: watch::Receiver<Option<Instant>>,
    closing_told: bool,
    _entered: Entered,
}

enum Event {
    Renewed(Result<Vec<Option<Renewed>>, StoreError>),
    Heard,
    Closing,
    /// Something is, by the time that it is.
    Due,
}

impl Hold {
    /// A hold on a job claimed at `asked` or later.
    pub(crate) fn new(shop: &Arc<Shop>, ns: &Namespace, id: LeaseId, lease: &Lease, asked: Instant) -> Self {
        let (entered, heard) = shop.running.enter(&id);
        let deadline = Instant::now() + lease.attempt_deadline.since(shop.store.now());
        let renew_at = asked + lease.term / 3;
        Self {
            shop: shop.clone(),
            ns: ns.clone(),
            lease: id,
            term: lease.term,
            expires_at: lease.expires_at,
            granted: asked,
            renew_at,
            renewal: None,
            backoff: Backoff::new(shop.random.clone()),
            unrenewed: None,
            timing_out: None,
            deadline: Some(deadline),
            alarm: None,
            heard,
            cancel_told: false,
            over: false,
            closing: shop.closing.subscribe(),
            closing_told: false,
            _entered: entered,
        }
    }

    /// Lets go of the job, which is about to be settled: from here on the lease's end is our own doing. Gives back when
    /// the lease lapses, as last granted, and the mark of an attempt whose time is over, to be kept until it is settled.
    pub(crate) fn leave(self) -> (Timestamp, Option<Mark>) {
        (self.expires_at, self.timing_out)
    }

    /// When the lease is to be renewed, where that was not asked for yet.
    fn renewal_due(&self) -> Option<Instant> {
        (self.renewal.is_none() && !self.over).then_some(self.renew_at)
    }

    /// When it is said that the lease could not be renewed in time.
    fn renewal_late(&self) -> Option<Instant> {
        let late_at = self.granted + self.term.mul_f32(0.8);
        (self.unrenewed.is_none() && !self.over).then_some(late_at)
    }

    async fn event(&mut self) -> Event {
        let due = [self.deadline, self.renewal_due(), self.renewal_late()];
        let due = due.into_iter().flatten().min();
        let at = due.unwrap_or(self.granted);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if let Some(due) = due.filter(|due| *due != alarm.deadline()) {
            alarm.as_mut().reset(due);
        }
        tokio::select! {
            biased;
            () = news(&self.heard, self.cancel_told), if !self.over => Event::Heard,
            () = closing(&mut self.closing), if !self.closing_told => Event::Closing,
            answer = answered(&mut self.renewal) => Event::Renewed(answer),
            () = alarm, if due.is_some() => Event::Due,
        }
    }

    fn handle(&mut self, event: Event) -> Option<Stop> {
        match event {
            Event::Renewed(answer) => self.renewed(answer),
            Event::Due => self.due(),
            Event::Heard => match self.heard.now() {
                Heard::Nothing => None,
                Heard::Cancel(by) => self.cancel(by),
                Heard::Settled => self.settled(),
                Heard::Over => self.lost(),
            },
            Event::Closing => {
                self.closing_told = true;
                let by = (*self.closing.borrow_and_update())?;
                Some(Stop {
                    reason: StopReason::Draining,
                    by,
                })
            }
        }
    }

    fn due(&mut self) -> Option<Stop> {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.deadline) {
            self.deadline = None;
            self.timing_out = Some(self.shop.timing_out.mark());
            return Some(Stop::within(StopReason::TimedOut, TIMED_OUT_GRACE));
        }
        if is_due(self.renewal_due()) {
            let renew = Renew {
                lease: self.lease,
                term: self.term,
                progress: None,
                defer: false,
            };
            let answer = self.shop.store.renew(&self.ns, vec![renew]);
            self.renewal = Some((now, answer));
        } else if is_due(self.renewal_late()) {
            warn!(job.id = %self.lease.job, "a lease could not be renewed in time; nothing new is started");
            self.unrenewed = Some(self.shop.unrenewed.mark());
        }
        None
    }

    fn cancel(&mut self, by: Timestamp) -> Option<Stop> {
        if self.cancel_told {
            return None;
        }
        self.cancel_told = true;
        let grace = by.since(self.shop.store.now());
        Some(Stop::within(StopReason::Cancelled, grace))
    }

    fn settled(&mut self) -> Option<Stop> {
        if self.over {
            return None;
        }
        debug!(job.id = %self.lease.job, "a job was settled over its lease");
        self.over = true;
        self.unrenewed = None;
        Some(Stop::within(StopReason::Settled, SETTLED_GRACE))
    }

    fn lost(&mut self) -> Option<Stop> {
        if self.over {
            return None;
        }
        info!(job.id = %self.lease.job, "an attempt lost its lease");
        self.over = true;
        self.unrenewed = None;
        Some(Stop::within(StopReason::LeaseOver, OVER_GRACE))
    }

    fn renewed(&mut self, answer: Result<Vec<Option<Renewed>>, StoreError>) -> Option<Stop> {
        let asked = self.renewal.take().map_or_else(Instant::now, |(asked, _)| asked);
        match answer.map(|mut answers| answers.pop().flatten()) {
            Ok(Some(renewed)) => {
                self.backoff.reset();
                self.unrenewed = None;
                self.granted = asked;
                self.expires_at = renewed.lease.expires_at;
                self.renew_at = asked + self.term / 3;
                if renewed.cancel_requested {
                    return self.cancel(renewed.lease.cancel_by.unwrap_or(self.expires_at));
                }
                None
            }
            Ok(None) => self.lost(),
            Err(error) => {
                let pause = self.backoff.next();
                warn!(job.id = %self.lease.job, %error, ?pause, "a lease could not be renewed yet");
                self.renew_at = Instant::now() + pause;
                None
            }
        }
    }
}

impl Holding for Hold {
    async fn next(&mut self) -> Stop {
        loop {
            let event = self.event().await;
            if let Some(stop) = self.handle(event) {
                return stop;
            }
        }
    }

    fn may_stop_already(&self) -> bool {
        let now = Instant::now();
        let heard = self.heard.now() != Heard::Nothing || self.closing.borrow().is_some();
        heard || now >= self.renew_at || self.deadline.is_none_or(|deadline| now >= deadline)
    }
}

async fn answered(
    renewal: &mut Option<(Instant, Answer<Vec<Option<Renewed>>>)>,
) -> Result<Vec<Option<Renewed>>, StoreError> {
    match renewal {
        Some((_, answer)) => answer.await,
        None => std::future::pending().await,
    }
}

/// Waits for news about the attempt; after a cancel request only the lease's end is news.
async fn news(heard: &Word<Heard>, cancel_told: bool) {
    let is_news = |heard: Heard| match heard {
        Heard::Nothing => false,
        Heard::Cancel(_) => !cancel_told,
        Heard::Settled | Heard::Over => true,
    };
    heard.until(is_news).await;
}

async fn closing(closing: &mut watch::Receiver<Option<Instant>>) {
    if closing.wait_for(Option::is_some).await.is_err() {
        std::future::pending().await
    }
}
