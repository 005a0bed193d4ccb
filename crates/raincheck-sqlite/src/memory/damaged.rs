//! Jobs of which a row is not as it was written.
//!
//! Invariant: nobody is given one, and none holds anything up: no slot, no turn, no batch. What follows from one that is found
//! ([`Damaged::take_found`]) is done once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    rows: BTreeMap<u64, String>,
    found: Vec<u64>,
}

impl Damaged {
    /// Those that were set aside before.
    pub(crate) fn known(rows: BTreeMap<u64, String>) -> Self {
        Self {
            rows,
            found: Vec::new(),
        }
    }

    /// Notes one.
    pub(crate) fn add(&mut self, seq: u64, why: String) {
        if let Entry::Vacant(entry) = self.rows.entry(seq) {
            entry.insert(why);
            self.found.push(seq);
        }
    }

    /// Those from which something is to follow.
    pub(crate) fn found(&self) -> &[u64] {
        &self.found
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.rows.keys().copied().collect()
    }

    /// Whether this job is one.
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.rows.contains_key(&seq)
    }

    /// How many were not known before, and what is wrong with one of them.
    pub(crate) fn new_ones(&self) -> Option<(usize, &str)> {
        Some((self.found.len(), self.why(*self.found.first()?)?))
    }

    /// What is wrong with one.
    pub(crate) fn why(&self, seq: u64) -> Option<&str> {
        self.rows.get(&seq).map(String::as_str)
    }

    /// Those from which nothing has followed yet.
    pub(crate) fn take_found(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.found)
    }

    /// What was to follow from these could not be done yet.
    pub(crate) fn put_back(&mut self, found: Vec<u64>) {
        self.found.extend(found);
    }
}
