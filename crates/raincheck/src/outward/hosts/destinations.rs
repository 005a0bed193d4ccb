//! The hosts that one queue's URLs lead to.
//!
//! Invariants: URLs are taken in turn, and one whose host has no room is passed over; while the queue pushes there, its hosts
//! are not forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use raincheck_core::decide::all_held;
use raincheck_core::host::HostHeld;
use raincheck_core::time::Timestamp;
use tokio::sync::Notify;

use super::{HostName, Hosts, Lane, Permit};

/// See the module. The queue is known at its hosts until this is dropped.
#[derive(Debug)]
pub(crate) struct Destinations {
    hosts: Hosts,
    number: u64,
    names: Vec<HostName>,
    next: AtomicUsize,
}

impl Hosts {
    /// For a queue whose URLs lead to these hosts.
    pub(crate) fn destinations(&self, names: Vec<HostName>) -> Destinations {
        let mut table = self.table();
        table.next += 1;
        let number = table.next;
        for name in &names {
            let host = table.hosts.entry(name.clone()).or_default();
            if host.queues.last().is_none_or(|(last, _)| *last != number) {
                host.queues.push((number, None));
            }
        }
        drop(table);
        Destinations {
            hosts: self.clone(),
            number,
            names,
            next: AtomicUsize::new(0),
        }
    }
}

impl Destinations {
    /// Room for up to `wanted` pushes, each with which URL it is for. `written` is the queue's own concurrency: who writes
    /// more than hosts have otherwise means it.
    ///
    /// # Errors
    /// Where no host has room: what holds them back. `line` is rung when that may have changed, but for time that goes by.
    pub(crate) fn reserve(
        &self,
        wanted: usize,
        written: Option<u32>,
        line: &Arc<Notify>,
        now: Timestamp,
    ) -> Result<Vec<(usize, Permit)>, HostHeld> {
        let mut table = self.hosts.table();
        let concurrency = self.hosts.0.concurrency;
        for name in &self.names {
            let host = table.at(name, now);
            let ours = host.queues.iter_mut().find(|(number, _)| *number == self.number);
            if let Some(ours) = ours {
                ours.1 = written;
            }
        }
        let mut places = Vec::new();
        let mut turn = self.next.load(Ordering::Relaxed);
        while places.len() < wanted {
            let mut held = Vec::new();
            let urls = (0..self.names.len()).map(|step| (turn + step) % self.names.len());
            let found = urls.into_iter().find_map(|url| {
                let taken = table.at(&self.names[url], now).take(Lane::Push, concurrency, now);
                taken.map_err(|why| held.push(why)).ok().map(|probe| (url, probe))
            });
            let Some((url, probe)) = found else {
                if let (true, Some(held)) = (places.is_empty(), all_held(held)) {
                    for name in &self.names {
                        let lines = &mut table.at(name, now).lines;
                        if !lines.iter().any(|other| Arc::ptr_eq(other, line)) {
                            lines.push(line.clone());
                        }
                    }
                    return Err(held);
                }
                break;
            };
            turn = url + 1;
            places.push((url, self.hosts.permit(&self.names[url], Lane::Push, probe)));
        }
        Ok(places)
    }

    /// A push to this URL begins: the next one is the one behind it.
    pub(crate) fn begun(&self, url: usize) {
        self.next.store(url + 1, Ordering::Relaxed);
    }
}

impl Drop for Destinations {
    fn drop(&mut self) {
        let mut table = self.hosts.table();
        for name in &self.names {
            if let Some(host) = table.hosts.get_mut(name) {
                host.queues.retain(|(number, _)| *number != self.number);
            }
        }
    }
}
