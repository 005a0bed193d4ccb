//! What a node knows of the hosts that its queues push to, or fetch from.
//!
//! Invariant: asked by those who read and by nobody else.

use std::time::Duration;

use raincheck_core::host::HostHeld;
use raincheck_core::name::GroupName;
use raincheck_core::queue::{Queue, Worker};
use raincheck_core::time::Timestamp;

use super::Node;
use crate::outward::hosts::HostName;
use crate::outward::target;

impl Node {
    /// What keeps the jobs of a push queue from being sent to any of its hosts, or the jobs of this group of a fetching queue, which is
    /// their host, from being asked for; `None` where there is room, or the queue is worked in another way.
    pub(crate) fn host_held(
        &self,
        queue: &Queue,
        group: Option<&GroupName>,
        now: Timestamp,
    ) -> Option<HostHeld> {
        if let (Worker::Fetch, Some(group)) = (queue.worker(), group) {
            return self.0.hosts.shut(&HostName::named(group.as_str()), now);
        }
        self.0.hosts.held(&hosts_of(queue), now)
    }

    /// The hosts of URLs that are fetched which asked to be left alone (`Retry-After`), and for how long yet.
    #[must_use]
    pub fn paused_hosts(&self) -> Vec<(String, Duration)> {
        let now = self.0.store.now();
        let paused = self.0.hosts.paused(now).into_iter();
        paused
            .map(|(host, until)| (host.as_str().to_owned(), until.since(now)))
            .collect()
    }

    /// At how many hosts of a queue the circuit is not closed; `None` where it is not pushed.
    pub(crate) fn circuits_open(&self, queue: &Queue) -> Option<usize> {
        let hosts = hosts_of(queue);
        (!hosts.is_empty()).then(|| self.0.hosts.open(&hosts))
    }
}

/// Where the jobs of a push queue go, each host once.
fn hosts_of(queue: &Queue) -> Vec<HostName> {
    let Some(Worker::Push(urls)) = &queue.spec.worker else {
        return Vec::new();
    };
    let mut hosts = Vec::with_capacity(urls.len());
    for host in urls
        .iter()
        .filter_map(|url| Some(HostName::of(&target(url).ok()?)))
    {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}
