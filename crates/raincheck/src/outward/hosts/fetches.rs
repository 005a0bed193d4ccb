//! Room for fetches: each takes its place at a host when it is about to ask there, whichever URL led it to it.
//!
//! Invariant: at no host are more fetches under way than the queue lets of which the last one is.

use std::time::Duration;

use raincheck_core::decide::host_room;
use raincheck_core::host::{HostHeld, HostHeldBy};
use raincheck_core::time::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::{HostName, Hosts, Lane, Permit, Table};

impl Hosts {
    /// The hosts that asked to be left alone, and until when: what would be fetched from there need not be begun.
    pub(crate) fn paused(&self, now: Timestamp) -> Vec<(HostName, Timestamp)> {
        let mut table = self.table();
        if table.paused.is_empty() {
            return Vec::new();
        }
        table.paused.retain(|_, until| *until > now);
        let Table { hosts, paused, .. } = &*table;
        let still = paused.keys().filter_map(|name| {
            let room = host_room(&hosts.get(name)?.state, 1, 0, 1, now);
            let held = room.held.filter(|held| held.by == HostHeldBy::Pause)?;
            Some((name.clone(), held.until?))
        });
        still.collect()
    }

    /// Whether this is one of them.
    pub(crate) fn passes_over(&self, name: &HostName, now: Timestamp) -> bool {
        self.paused(now).iter().any(|(paused, _)| paused == name)
    }

    /// What holds back whatever would be fetched from there, but for those that are under way.
    pub(crate) fn shut(&self, name: &HostName, now: Timestamp) -> Option<HostHeld> {
        let table = self.table();
        host_room(&table.hosts.get(name)?.state, 1, 0, 1, now).held
    }

    /// Room for one request, where so many may be under way; waits for it as long as `patience` lasts, and no time for what
    /// takes longer anyway.
    ///
    /// # Errors
    /// What held it back all that time.
    ///
    /// # Cancel safety
    /// Safe: whoever waits behind it goes on waiting.
    pub(crate) async fn wait_fetch(
        &self,
        host: &HostName,
        limit: u32,
        patience: Duration,
        now: impl Fn() -> Timestamp,
    ) -> Result<Permit, HostHeld> {
        let over = Instant::now() + patience;
        let take = || {
            let (mut table, now) = (self.table(), now());
            table.at(host, now).take(Lane::Fetch, limit, now)
        };
        // Most find room, and need not hear of others.
        if let Ok(probe) = take() {
            return Ok(self.permit(host, Lane::Fetch, probe));
        }
        loop {
            let places = self.table().at(host, now()).places.clone();
            // Made before the look: it wakes for whatever happens from here on.
            let rung = places.notified();
            let held = match take() {
                Ok(probe) => return Ok(self.permit(host, Lane::Fetch, probe)),
                Err(held) => held,
            };
            let until = held.until.map(|until| Instant::now() + until.since(now()));
            if until.is_some_and(|until| until > over) {
                return Err(held);
            }
            tokio::select! {
                biased;
                () = rung => {}
                () = sleep_until(until.unwrap_or(over)) => if until.is_none() {
                    return Err(held);
                },
            }
        }
    }
}
