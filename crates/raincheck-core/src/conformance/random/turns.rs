//! Whether a turn was permitted: the rule of the [suite](crate::conformance) about groups, followed from outside.
//!
//! Invariant: knows of a group only what a caller could know: when its jobs came, when they could be claimed, when it
//! was served.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{GroupName, Namespace, QueueName};

/// A queue's full name and a group in it.
type Place = (Namespace, QueueName, Option<GroupName>);

/// When what happened, in a count of its own.
#[derive(Debug, Default)]
pub(super) struct Turns {
    now: u64,
    groups: BTreeMap<Place, Group>,
}

#[derive(Debug)]
struct Group {
    /// Its last turn, or, where it had none, when its first job came.
    last: u64,
    /// Since when it waits for a turn; `None` while nobody needs to know that it has a job to claim.
    waits: Option<u64>,
    claimable: bool,
}

impl Turns {
    /// The clock may have moved: these groups have jobs to claim now.
    pub(super) fn clock(&mut self, claimable: &BTreeSet<Place>) {
        for place in claimable {
            let now = self.now;
            let group = self.groups.entry(place.clone()).or_insert(Group {
                last: now,
                waits: None,
                claimable: true,
            });
            group.claimable = true;
        }
        self.gone(claimable);
    }

    /// An operation ended: these groups have jobs, and of those these have jobs to claim.
    pub(super) fn operation(&mut self, there: &BTreeSet<Place>, claimable: &BTreeSet<Place>) {
        self.now += 1;
        let now = self.now;
        for place in there {
            let fresh = Group {
                last: now,
                waits: None,
                claimable: false,
            };
            let group = self.groups.entry(place.clone()).or_insert(fresh);
            if claimable.contains(place) && !group.claimable {
                group.claimable = true;
                group.waits = Some(now);
            }
        }
        self.gone(claimable);
    }

    fn gone(&mut self, claimable: &BTreeSet<Place>) {
        for (place, group) in &mut self.groups {
            if !claimable.contains(place) {
                group.claimable = false;
                group.waits = None;
            }
        }
    }

    /// A claim of this queue begins: what the clock made due counts from here.
    pub(super) fn claim(&mut self, ns: &Namespace, queue: &QueueName) {
        self.now += 1;
        for ((owner, name, _), group) in &mut self.groups {
            if owner == ns && name == queue && group.claimable {
                group.waits.get_or_insert(self.now);
            }
        }
    }

    /// A group is served; it has `more` jobs to claim or not.
    pub(super) fn serve(&mut self, place: &Place, more: bool) -> Result<(), String> {
        let last = self.groups.get(place).map(|group| group.last);
        let last = last.ok_or_else(|| format!("{place:?} was served, but has no job"))?;
        let mut others = self.groups.iter().filter(|(other, group)| {
            (&other.0, &other.1) == (&place.0, &place.1)
                && *other != place
                && group.claimable
                && group.waits.is_some_and(|since| since < last)
        });
        if let Some((other, group)) = others.next() {
            return Err(format!(
                "{place:?} got a turn (its last event was {last}) while {other:?} waits since {:?}",
                group.waits
            ));
        }
        self.serve_any(place, more);
        Ok(())
    }

    /// A group is served where groups take no turns: it goes to the back all the same.
    pub(super) fn serve_any(&mut self, place: &Place, more: bool) {
        self.now += 1;
        if let Some(group) = self.groups.get_mut(place) {
            group.last = self.now;
            group.claimable = more;
            group.waits = more.then_some(self.now);
        }
    }

    /// The store was opened anew and may begin its rings anew.
    pub(super) fn reopen(&mut self) {
        self.now += 1;
        for group in self.groups.values_mut() {
            group.last = self.now;
            group.waits = group.claimable.then_some(self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group: &str) -> Place {
        let queue = QueueName::new("q").unwrap();
        (Namespace::default(), queue, Some(GroupName::new(group).unwrap()))
    }

    fn places(groups: &[&str]) -> BTreeSet<Place> {
        groups.iter().map(|group| place(group)).collect()
    }

    #[test]
    fn a_second_turn_while_another_waits_is_noticed() {
        let mut turns = Turns::default();
        let both = places(&["a", "b"]);
        turns.operation(&both, &both);
        turns.claim(&place("a").0, &place("a").1);
        turns.serve(&place("a"), true).unwrap();
        turns.serve(&place("a"), true).unwrap_err();
        turns.serve(&place("b"), true).unwrap();
        turns.serve(&place("a"), true).unwrap();
    }

    #[test]
    fn a_new_group_before_a_waiting_one_is_noticed() {
        let mut turns = Turns::default();
        turns.operation(&places(&["a"]), &places(&["a"]));
        turns.operation(&places(&["a", "b"]), &places(&["a", "b"]));
        turns.serve(&place("b"), true).unwrap_err();
        turns.serve(&place("a"), true).unwrap();
    }

    #[test]
    fn what_the_clock_makes_due_waits_from_the_next_claim_on() {
        let mut turns = Turns::default();
        turns.operation(&places(&["a", "b"]), &places(&["a"]));
        turns.clock(&places(&["a", "b"]));
        turns.serve(&place("a"), true).unwrap();
        turns.serve(&place("a"), true).unwrap();
        turns.claim(&place("a").0, &place("a").1);
        turns.serve(&place("a"), true).unwrap();
        turns.serve(&place("a"), true).unwrap_err();
    }
}
