//! What happened in one schedule: short events, and how often the rare things did.
//!
//! Invariant: an event holds nothing that differs between two runs of one seed, so that two logs can be compared.

use std::collections::BTreeMap;
use std::fmt;

use raincheck_core::id::JobId;

/// How many events a failure shows.
const SHOWN: usize = 40;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Milliseconds since the schedule began.
    pub(crate) at: u64,
    /// Which run of the node, from 1.
    pub(crate) epoch: u64,
    /// What was asked or happened.
    pub(crate) what: &'static str,
    /// Which job, where it was one.
    pub(crate) job: Option<JobId>,
    /// What came of it.
    pub(crate) outcome: &'static str,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  run {}  {:<12}", self.at, self.epoch, self.what)?;
        match self.job {
            Some(job) => write!(f, " job {:<4}", number(job))?,
            None => write!(f, "         ")?,
        }
        write!(f, " {}", self.outcome)
    }
}

/// A job's number within its schedule: the simulation mints ids whose random part counts.
pub(crate) const fn number(job: JobId) -> u64 {
    job.tail()
}

/// The events of one schedule in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log(Vec<Event>);

impl Log {
    pub(crate) fn push(&mut self, event: Event) {
        self.0.push(event);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first event in which two logs differ.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let longest = self.0.len().max(other.0.len());
        let place = (0..longest).find(|place| self.0.get(*place) != other.0.get(*place))?;
        let show = |log: &Self| log.0.get(place).map_or("the end".to_owned(), ToString::to_string);
        Some(format!("event {place}: {} / {}", show(self), show(other)))
    }
}

impl fmt::Display for Log {
    /// The last events.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.0[self.0.len().saturating_sub(SHOWN)..] {
            writeln!(f, "  {event}")?;
        }
        Ok(())
    }
}

/// How often what happened, so that a generator which went blind is seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cover(BTreeMap<&'static str, u64>);

impl Cover {
    pub(crate) fn hit(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Those of `wanted` that happened less often than they should have.
    pub(crate) fn missing(&self, wanted: &[(&'static str, u64)]) -> Vec<String> {
        let count = |what: &str| self.0.get(what).copied().unwrap_or(0);
        let rare = wanted.iter().filter(|(what, least)| count(what) < *least);
        rare.map(|(what, least)| format!("{what}: {} of {least}", count(what)))
            .collect()
    }
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.0 {
            writeln!(f, "{count:>9}  {what}")?;
        }
        Ok(())
    }
}
