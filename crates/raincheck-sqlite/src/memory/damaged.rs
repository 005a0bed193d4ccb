//! Jobs of which a row is not as it was written.
//!
//! Invariant: nobody is given one, and none holds anything up: no slot, no turn, no batch. What follows from one that is found
//! ([`Damaged::take_found`]) is done once.

use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    rows: BTreeMap<u64, String>,
    found: Vec<u64>,
}

impl Damaged {
    /// Notes one.
    pub(super) fn add(&mut self, seq: u64, why: &rusqlite::Error) {
        if self.rows.insert(seq, why.to_string()).is_none() {
            self.found.push(seq);
        }
    }

    /// Whether this job is one.
    pub(crate) fn has(&self, seq: u64) -> bool {
        self.rows.contains_key(&seq)
    }

    /// What is wrong with the first of them.
    pub(crate) fn first(&self) -> Option<&str> {
        self.why(*self.rows.first_key_value()?.0)
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
