//! The jobs of one queue that can be claimed now, in the order of their claims.
//!
//! Groups take turns (jobs without a group are one group): the group whose turn it is gives its first job and goes to
//! the back. Within a group: priority, `run_at`, id. Invariant: a group has a turn exactly while it has jobs here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use raincheck_core::name::GroupName;

/// A job's place within its group: priority, `run_at` in milliseconds, the id's first half. 24 bytes.
pub(crate) type Place = (u8, i64, u64);

/// Most groups have one job waiting, or none: those do not need a tree.
#[derive(Debug)]
enum Line {
    One(Place),
    Many(BTreeSet<Place>),
}

impl Line {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(places) => places.len(),
        }
    }
}

/// So many jobs of one group, and so many groups, are counted at most to tell a job's place: some ten microseconds.
const COUNTED_MAX: usize = 1000;

/// The ready jobs of one queue.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Each group's jobs, and its turn: its key in `turns`.
    lines: HashMap<Option<GroupName>, (u64, Line), foldhash::quality::RandomState>,
    turns: BTreeMap<u64, Option<GroupName>>,
    /// Groups whose last job was taken out by the transaction under way, and the turns that they had: where it puts a job of
    /// theirs back, as a patch does, they keep them.
    left: Vec<(Option<GroupName>, u64)>,
    last_turn: u64,
    len: u64,
}

impl Ready {
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn push(&mut self, group: Option<GroupName>, place: Place) {
        self.len += 1;
        match self.lines.get_mut(&group) {
            None => {
                let kept = self.left.iter().position(|(left, _)| *left == group);
                let turn = match kept.map(|index| self.left.swap_remove(index)) {
                    Some((_, turn)) => {
                        self.turns.insert(turn, group.clone());
                        turn
                    }
                    None => self.line_up(group.clone()),
                };
                self.lines.insert(group, (turn, Line::One(place)));
            }
            Some((_, Line::Many(places))) => {
                places.insert(place);
            }
            Some((_, line)) => {
                if let Line::One(first) = line {
                    *line = Line::Many(BTreeSet::from([*first, place]));
                }
            }
        }
    }

    fn line_up(&mut self, group: Option<GroupName>) -> u64 {
        self.last_turn += 1;
        self.turns.insert(self.last_turn, group);
        self.last_turn
    }

    /// Takes the job whose turn it is: its id's first half.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let (_, group) = self.turns.pop_first()?;
        let (_, line) = self.lines.get_mut(&group)?;
        let (place, more) = match line {
            Line::One(place) => (*place, false),
            Line::Many(places) => (places.pop_first()?, !places.is_empty()),
        };
        if more {
            let turn = self.line_up(group.clone());
            if let Some(entry) = self.lines.get_mut(&group) {
                entry.0 = turn;
            }
        } else {
            self.lines.remove(&group);
        }
        self.len -= 1;
        Some(place.2)
    }

    /// How many jobs are taken before this one; `None` where it is not here, or that is dear to know. Before it, as the
    /// groups take turns, each other group has had as many turns as jobs of its own are before it, and one more where
    /// its turn comes first.
    pub(crate) fn ahead(&self, group: &Option<GroupName>, place: &Place) -> Option<u64> {
        let (own_turn, line) = self.lines.get(group)?;
        let rank = match line {
            Line::One(only) => (only == place).then_some(0)?,
            Line::Many(places) if places.contains(place) => {
                places.range(..place).take(COUNTED_MAX + 1).count()
            }
            Line::Many(_) => return None,
        };
        if rank > COUNTED_MAX || self.lines.len() > COUNTED_MAX {
            return None;
        }
        let others = self.lines.values().filter(|(turn, _)| turn != own_turn);
        let before: usize = others
            .map(|(turn, line)| line.len().min(rank + usize::from(turn < own_turn)))
            .sum();
        Some((rank + before) as u64)
    }

    /// The ids' first halves, group by group.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.lines.values().flat_map(|(_, line)| {
            let (one, many) = match line {
                Line::One(place) => (Some(place), None),
                Line::Many(places) => (None, Some(places)),
            };
            one.into_iter()
                .chain(many.into_iter().flatten())
                .map(|place| place.2)
        })
    }

    /// Takes a certain job out of turn; false where it is not here.
    pub(crate) fn remove(&mut self, group: &Option<GroupName>, place: &Place) -> bool {
        let Some((turn, line)) = self.lines.get_mut(group) else {
            return false;
        };
        let (turn, found, empty) = match line {
            Line::One(only) => (*turn, only == place, only == place),
            Line::Many(places) => (*turn, places.remove(place), places.is_empty()),
        };
        if empty {
            self.lines.remove(group);
            self.turns.remove(&turn);
            self.left.push((group.clone(), turn));
        }
        self.len -= u64::from(found);
        found
    }

    /// The transaction is over: who has left has lost its turn.
    pub(crate) fn settle(&mut self) {
        self.left.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Option<GroupName> {
        (!name.is_empty()).then(|| GroupName::new(name).unwrap())
    }

    impl Ready {
        /// The order in which all would be taken.
        fn clone_order(&self) -> Vec<u64> {
            let mut copy = Self::default();
            for (turn, group) in &self.turns {
                let (_, line) = &self.lines[group];
                copy.last_turn = copy.last_turn.max(self.last_turn);
                copy.turns.insert(*turn, group.clone());
                let places = match line {
                    Line::One(place) => Line::One(*place),
                    Line::Many(places) => Line::Many(places.clone()),
                };
                copy.lines.insert(group.clone(), (*turn, places));
            }
            copy.len = self.len;
            order(&mut copy)
        }
    }

    fn order(ready: &mut Ready) -> Vec<u64> {
        std::iter::from_fn(|| ready.pop()).collect()
    }

    #[test]
    fn within_a_group_priority_then_due_time_then_id() {
        let mut ready = Ready::default();
        for place in [(5, 10, 1), (5, 10, 2), (5, 5, 3), (0, 99, 4), (9, 0, 5)] {
            ready.push(None, place);
        }
        assert_eq!(order(&mut ready), [4, 3, 1, 2, 5]);
        assert_eq!(ready.len(), 0);
    }

    #[test]
    fn one_groups_thousand_jobs_do_not_stand_before_anothers_one() {
        let mut ready = Ready::default();
        for seq in 0..1000 {
            ready.push(group("big"), (0, 0, seq));
        }
        ready.push(group(""), (9, 9, 2000));
        ready.push(group("small"), (9, 9, 3000));
        assert_eq!(order(&mut ready)[..4], [0, 2000, 3000, 1]);
    }

    #[test]
    fn a_place_is_what_the_order_will_be() {
        let mut ready = Ready::default();
        let groups = [("a", 4), ("", 1), ("b", 3), ("c", 9)].into_iter();
        let jobs = groups.flat_map(|(name, jobs)| (0..jobs).map(move |at| (group(name), at)));
        let jobs: Vec<(Option<GroupName>, Place)> = jobs
            .zip(0..)
            .map(|((group, at), seq)| (group, (5, at, seq)))
            .collect();
        for (group, place) in &jobs {
            ready.push(group.clone(), *place);
        }
        // Turns were had before.
        for taken in 0..6 {
            let order = ready.clone_order();
            for (group, place) in &jobs {
                let at = order.iter().position(|seq| *seq == place.2);
                let told = ready.ahead(group, place);
                assert_eq!(told, at.map(|at| at as u64), "{place:?} after {taken}");
            }
            ready.pop();
        }
    }

    #[test]
    fn a_place_that_is_dear_to_know_is_not_told() {
        let mut ready = Ready::default();
        for seq in 0..1100 {
            ready.push(None, (0, 0, seq));
        }
        assert_eq!(ready.ahead(&None, &(0, 0, 1000)), Some(1000));
        assert_eq!(ready.ahead(&None, &(0, 0, 1001)), None);
        assert_eq!(ready.ahead(&None, &(0, 0, 5000)), None, "it is not here");
        for n in 0..1000 {
            ready.push(group(&format!("g{n}")), (0, 0, 9000 + n));
        }
        assert_eq!(ready.ahead(&None, &(0, 0, 0)), None);
    }

    #[test]
    fn a_job_taken_out_of_turn_leaves_no_trace() {
        let mut ready = Ready::default();
        ready.push(group("a"), (5, 0, 1));
        ready.push(group("b"), (5, 0, 2));
        ready.push(group("b"), (5, 0, 3));
        assert!(ready.remove(&group("a"), &(5, 0, 1)));
        assert!(!ready.remove(&group("a"), &(5, 0, 1)));
        assert!(!ready.remove(&group("b"), &(5, 0, 9)));
        assert!(ready.remove(&group("b"), &(5, 0, 2)));
        assert_eq!((ready.len(), order(&mut ready)), (1, vec![3]));
        assert!(ready.turns.is_empty() && ready.lines.is_empty());
    }

    #[test]
    fn a_group_whose_job_is_put_back_at_once_keeps_its_turn() {
        let mut ready = Ready::default();
        for (name, seq) in [("a", 1), ("b", 2), ("c", 3)] {
            ready.push(group(name), (5, 0, seq));
        }
        assert!(ready.remove(&group("a"), &(5, 0, 1)));
        ready.push(group("a"), (0, 0, 1));
        assert!(ready.remove(&group("b"), &(5, 0, 2)));
        ready.settle();
        ready.push(group("b"), (5, 0, 2));
        assert_eq!(order(&mut ready), [1, 3, 2]);
    }
}
