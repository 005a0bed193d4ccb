//! The hosts that this node sends requests to: how many are under way at each, and which are left alone for now.
//!
//! One bounded table for pushes, webhooks and fetches, keyed by host and port; what it makes of an answer is decided in
//! `raincheck_core::decide`. A [`Permit`] is the right to send one request, and is given back when it is dropped.
//!
//! Circuit and `Retry-After` are shared by all that goes to a host. How many go at once is counted for pushes, webhooks and
//! fetches apart: a handler that works on as many jobs as it may must still hear of those that have ended, or one that waits for
//! such a webhook would wait for ever.
//!
//! Invariants: no more permits of a kind are out for a host than it may have; a host that nothing is known of and nobody uses is
//! forgotten.

mod destinations;
mod fetches;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use raincheck_core::decide::{all_held, begin_probe, forgettable, host_answered, host_room, webhook_share};
use raincheck_core::host::{Circuit, HostAnswer, HostHeld, HostState, Pace};
use raincheck_core::time::Timestamp;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{info, warn};

pub(crate) use self::destinations::Destinations;
use crate::random::Randomness;

/// From so many hosts on, those that can be are forgotten.
const SWEEP_MIN: usize = 1024;
/// So many hosts are known at most, beside those at which requests are under way or to which queues push.
const HOSTS_MAX: usize = 16 << 10;
/// So many hosts are passed over at once because they asked for it; what goes to others finds out when it is about to be sent.
const PAUSED_MAX: usize = 256;
/// So many webhooks wait for room at one host at most: with its share, as many as there are couriers.
const WAITING_MAX: u32 = 56;

/// A host and its port, as one is told from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostName(Arc<str>);

impl HostName {
    /// Where this URL leads.
    pub(crate) fn of(uri: &Uri) -> Self {
        Self(host_and_port(uri).into())
    }

    /// The host of this name, as [`HostName::as_str`] told it.
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of the host that this URL leads to, in one spelling.
pub(crate) fn host_and_port(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", Authority::as_str);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    let (host, port) = match authority.rsplit_once(':') {
        // Not within an address of version 6.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let port: u16 = port.unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    let host = host.trim_end_matches('.');
    // Made for each URL several times: with a format it cost four times as much.
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(port);
    let mut name = String::with_capacity(host.len() + 1 + digits.len());
    name.push_str(host);
    name.make_ascii_lowercase();
    name.push(':');
    name.push_str(digits);
    name
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Push,
    Webhook,
    Fetch,
}

/// One host's part of the table.
#[derive(Debug, Default)]
struct Host {
    state: HostState,
    pushes: u32,
    webhooks: u32,
    fetches: u32,
    /// The queues that push here, by number, and the concurrency that is written for each.
    queues: Vec<(u64, Option<u32>)>,
    /// The bells of those who wait to push.
    lines: Vec<Arc<Notify>>,
    /// How many webhooks wait, and their bell.
    waiting: u32,
    bell: Arc<Notify>,
    /// The bell of fetches that wait for room.
    places: Arc<Notify>,
}

impl Host {
    /// Takes room for one request where there is some; whether it is the circuit's probe.
    fn take(&mut self, lane: Lane, concurrency: u32, now: Timestamp) -> Result<bool, HostHeld> {
        let (limit, in_flight) = match lane {
            Lane::Push => {
                let written = self.queues.iter().filter_map(|(_, written)| *written);
                (written.fold(concurrency, u32::max), &mut self.pushes)
            }
            Lane::Webhook => (webhook_share(&self.state, concurrency), &mut self.webhooks),
            Lane::Fetch => (concurrency, &mut self.fetches),
        };
        let room = host_room(&self.state, limit, *in_flight, 1, now);
        if let Some(held) = room.held.filter(|_| room.count == 0) {
            return Err(held);
        }
        *in_flight += 1;
        if room.probe {
            self.state = begin_probe(&self.state, now);
        }
        Ok(room.probe)
    }

    /// What would hold back a push.
    fn held(&self, concurrency: u32, now: Timestamp) -> Option<HostHeld> {
        let written = self.queues.iter().filter_map(|(_, written)| *written);
        let limit = written.fold(concurrency, u32::max);
        let room = host_room(&self.state, limit, self.pushes, 1, now);
        room.held.filter(|_| room.count == 0)
    }

    const fn in_use(&self) -> bool {
        self.pushes > 0
            || self.webhooks > 0
            || self.fetches > 0
            || self.waiting > 0
            || !self.queues.is_empty()
    }
}

#[derive(Debug, Default)]
struct Table {
    hosts: HashMap<HostName, Host>,
    /// How many were known after the last sweep.
    kept: usize,
    /// The number of the queue that comes next.
    next: u64,
    /// Hosts that asked to be left alone for a while, and until when.
    paused: HashMap<HostName, Timestamp>,
}

impl Table {
    fn at(&mut self, name: &HostName, now: Timestamp) -> &mut Host {
        let known = self.hosts.len();
        if known >= (2 * self.kept).max(SWEEP_MIN) && !self.hosts.contains_key(name) {
            self.hosts
                .retain(|_, host| host.in_use() || !forgettable(&host.state, now));
            if self.hosts.len() >= HOSTS_MAX {
                self.hosts.retain(|_, host| host.in_use());
            }
            self.kept = self.hosts.len();
        }
        self.hosts.entry(name.clone()).or_default()
    }

    /// The host wants to be left alone until then.
    fn pause(&mut self, name: &HostName, until: Timestamp, now: Timestamp) {
        if self.paused.len() >= PAUSED_MAX && !self.paused.contains_key(name) {
            self.paused.retain(|_, until| *until > now);
            if self.paused.len() >= PAUSED_MAX {
                return;
            }
        }
        self.paused.insert(name.clone(), until);
    }
}

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    concurrency: u32,
    random: Randomness,
}

/// The hosts of a node. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Arc<Inner>);

impl Hosts {
    /// At most `concurrency` pushes go to one host at once, unless a queue that pushes there says more.
    pub(crate) fn new(concurrency: u32, random: Randomness) -> Self {
        Self(Arc::new(Inner {
            table: Mutex::default(),
            concurrency,
            random,
        }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing under this lock can panic half way.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permit(&self, host: &HostName, lane: Lane, probe: bool) -> Permit {
        Permit {
            hosts: self.clone(),
            host: host.clone(),
            lane,
            probe,
            ended: None,
        }
    }

    /// Room for a webhook to each of these, in one step.
    pub(crate) fn take_webhooks(&self, hosts: &[HostName], now: Timestamp) -> Vec<Result<Permit, HostHeld>> {
        let mut table = self.table();
        let concurrency = self.0.concurrency;
        let take = |host: &HostName| table.at(host, now).take(Lane::Webhook, concurrency, now);
        let taken: Vec<_> = hosts.iter().map(take).collect();
        drop(table);
        let permits = taken.into_iter().zip(hosts);
        permits
            .map(|(taken, host)| taken.map(|probe| self.permit(host, Lane::Webhook, probe)))
            .collect()
    }

    /// Room for a webhook that comes within `patience`, where no time must go by for it and not too many wait already. A host
    /// that makes one wait in vain is slow, and nobody waits for it until it answers quickly again.
    ///
    /// # Cancel safety
    /// Safe: whoever waits behind it goes on waiting.
    pub(crate) async fn wait_webhook(
        &self,
        host: &HostName,
        patience: Duration,
        now: impl Fn() -> Timestamp,
    ) -> Result<Permit, HostHeld> {
        let take = || self.take_webhooks(std::slice::from_ref(host), now()).remove(0);
        let Some(waits) = Waits::begin(self, host) else {
            return take();
        };
        let mut held = None;
        let room = async {
            loop {
                // Made before the look: it wakes for whatever happens from here on.
                let rung = waits.bell.notified();
                match take() {
                    Err(still) if still.until.is_none() => held = Some(still),
                    other => return other,
                }
                rung.await;
            }
        };
        if let Ok(taken) = timeout(patience, room).await {
            return taken;
        }
        if let Some(known) = self.table().hosts.get_mut(host) {
            known.state.pace = Pace::Slow;
        }
        held.map_or_else(take, Err)
    }

    /// Whether nobody waits for room there: the host is known to answer late.
    pub(crate) fn slow(&self, host: Option<&HostName>) -> bool {
        let table = self.table();
        let known = host.and_then(|host| table.hosts.get(host));
        known.is_some_and(|host| host.state.pace == Pace::Slow)
    }

    /// What holds back pushes that may go to any of these; `None` where there is room at one.
    pub(crate) fn held<'a>(
        &self,
        hosts: impl IntoIterator<Item = &'a HostName>,
        now: Timestamp,
    ) -> Option<HostHeld> {
        let table = self.table();
        let held = |host: &HostName| table.hosts.get(host)?.held(self.0.concurrency, now);
        let all: Option<Vec<_>> = hosts.into_iter().map(held).collect();
        all_held(all?)
    }

    /// At how many of these the circuit is not closed.
    pub(crate) fn open<'a>(&self, hosts: impl IntoIterator<Item = &'a HostName>) -> usize {
        let table = self.table();
        let open = |host: &&HostName| {
            let host = table.hosts.get(*host);
            host.is_some_and(|host| !matches!(host.state.circuit, Circuit::Closed { .. }))
        };
        hosts.into_iter().filter(open).count()
    }

    /// One request is over, or was never sent.
    fn give_back(&self, permit: &Permit) {
        let seed = self.0.random.bits();
        let mut table = self.table();
        let Entry::Occupied(mut entry) = table.hosts.entry(permit.host.clone()) else {
            return;
        };
        let host = entry.get_mut();
        let in_flight = match permit.lane {
            Lane::Push => &mut host.pushes,
            Lane::Webhook => &mut host.webhooks,
            Lane::Fetch => &mut host.fetches,
        };
        *in_flight = in_flight.saturating_sub(1);
        let before = host.state.circuit;
        let nothing = (HostAnswer::Nothing, Duration::ZERO, Timestamp::default());
        let (answer, took, now) = permit.ended.unwrap_or(nothing);
        let pace = host.state.pace;
        host.state = host_answered(&host.state, permit.probe, answer, took, seed, now);
        if permit.lane != Lane::Webhook {
            // How long a job takes says nothing of webhooks.
            host.state.pace = pace;
        }
        let not_before = host.state.not_before;
        let all = before != host.state.circuit;
        tell(&permit.host, before, host.state.circuit);
        let lines = if all || permit.lane == Lane::Push {
            std::mem::take(&mut host.lines)
        } else {
            Vec::new()
        };
        let bell = (host.waiting > 0).then(|| host.bell.clone());
        let places = (all || permit.lane == Lane::Fetch).then(|| host.places.clone());
        if not_before > now {
            table.pause(&permit.host, not_before, now);
        }
        drop(table);
        for line in lines {
            line.notify_one();
        }
        match bell {
            Some(bell) if all => bell.notify_waiters(),
            Some(bell) if permit.lane == Lane::Webhook => bell.notify_one(),
            Some(_) | None => {}
        }
        match places {
            Some(places) if all => places.notify_waiters(),
            Some(places) => places.notify_one(),
            None => {}
        }
    }
}

/// Tells of a circuit that opens for the first time, or closes.
fn tell(host: &HostName, before: Circuit, now: Circuit) {
    match (before, now) {
        (Circuit::Closed { .. }, Circuit::Open { .. }) => {
            warn!(
                host = host.as_str(),
                "requests to a host fail one after the other; only probes are sent there"
            );
        }
        (Circuit::Open { .. } | Circuit::Probing { .. }, Circuit::Closed { .. }) => {
            info!(host = host.as_str(), "a host answers again");
        }
        (
            Circuit::Closed { .. } | Circuit::Open { .. } | Circuit::Probing { .. },
            Circuit::Closed { .. } | Circuit::Open { .. } | Circuit::Probing { .. },
        ) => {}
    }
}

/// The right to send one request to a host.
#[derive(Debug)]
pub(crate) struct Permit {
    hosts: Hosts,
    host: HostName,
    lane: Lane,
    probe: bool,
    ended: Option<(HostAnswer, Duration, Timestamp)>,
}

impl Permit {
    /// The request is over: what came of it, and how long that took.
    pub(crate) fn ended(mut self, answer: HostAnswer, took: Duration, now: Timestamp) {
        self.ended = Some((answer, took, now));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.hosts.give_back(self);
    }
}

/// One webhook that waits for room.
struct Waits<'a> {
    hosts: &'a Hosts,
    host: &'a HostName,
    bell: Arc<Notify>,
}

impl<'a> Waits<'a> {
    /// `None` where so many wait already that it must not, or the host is known to be slow.
    fn begin(hosts: &'a Hosts, host: &'a HostName) -> Option<Self> {
        let mut table = hosts.table();
        let entry = table.hosts.entry(host.clone()).or_default();
        (entry.waiting < WAITING_MAX && entry.state.pace != Pace::Slow).then(|| {
            entry.waiting += 1;
            Self {
                hosts,
                host,
                bell: entry.bell.clone(),
            }
        })
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(host) = self.hosts.table().hosts.get_mut(self.host) {
            host.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
