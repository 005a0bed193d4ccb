//! The jobs of one queue that can be claimed now, in the order of their claims.
//!
//! Groups take turns (jobs without a group are one group): the group whose turn it is gives its first job and goes to
//! the back. Within a group: priority, `run_at`, id; in a queue that is not fair, so for all jobs. A group that a limit of its
//! own holds back has no turn, so that a claim meets none of those, however many there are. Invariant: any other group has
//! a turn exactly while it has jobs here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use raincheck_core::name::GroupName;

mod line;

use line::Line;
pub(crate) use line::Place;

/// The turn of a group that has none: a limit of its own keeps its jobs back.
const HELD: u64 = 0;

/// So many jobs of one group, and so many groups, are counted at most to tell a job's place: some ten microseconds.
const COUNTED_MAX: usize = 1000;

/// The ready jobs of one queue.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Each group's jobs, and its turn: its key in `turns`, or [`HELD`].
    lines: HashMap<Option<GroupName>, (u64, Line), foldhash::quality::RandomState>,
    turns: BTreeMap<u64, Option<GroupName>>,
    /// Where the queue is not fair: the first job of each group that has a turn.
    heads: Option<BTreeMap<Place, Option<GroupName>>>,
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

    /// Whether a group has a turn.
    pub(crate) fn any(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Adds a job; whether its group had none before, so that nobody has asked yet whether a limit holds it back.
    pub(crate) fn push(&mut self, group: Option<GroupName>, place: Place) -> bool {
        self.len += 1;
        let Some((turn, line)) = self.lines.get_mut(&group) else {
            let kept = self.left.iter().position(|(left, _)| *left == group);
            let turn = match kept.map(|index| self.left.swap_remove(index)) {
                Some((_, HELD)) => HELD,
                Some((_, turn)) => {
                    self.turns.insert(turn, group.clone());
                    turn
                }
                None => self.line_up(group.clone()),
            };
            if let (Some(heads), true) = (&mut self.heads, turn != HELD) {
                heads.insert(place, group.clone());
            }
            self.lines.insert(group, (turn, Line::One(place)));
            return true;
        };
        if let (Some(heads), Some(first)) = (&mut self.heads, line.first())
            && *turn != HELD
            && place < first
        {
            heads.remove(&first);
            heads.insert(place, group);
        }
        match line {
            Line::Many(places) => {
                places.insert(place);
            }
            Line::One(first) => *line = Line::Many(BTreeSet::from([*first, place])),
        }
        false
    }

    fn line_up(&mut self, group: Option<GroupName>) -> u64 {
        self.last_turn += 1;
        self.turns.insert(self.last_turn, group);
        self.last_turn
    }

    /// Takes the job whose turn it is: its id's first half.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let group = match &mut self.heads {
            None => self.turns.pop_first()?.1,
            Some(heads) => heads.pop_first()?.1,
        };
        let (turn, line) = self.lines.get_mut(&group)?;
        if self.heads.is_some() {
            self.turns.remove(turn);
        }
        let (place, next) = match line {
            Line::One(place) => (*place, None),
            Line::Many(places) => (places.pop_first()?, places.first().copied()),
        };
        if let Some(next) = next {
            let turn = self.line_up(group.clone());
            if let Some(heads) = &mut self.heads {
                heads.insert(next, group.clone());
            }
            if let Some(entry) = self.lines.get_mut(&group) {
                entry.0 = turn;
            }
        } else {
            self.lines.remove(&group);
        }
        self.len -= 1;
        Some(place.2)
    }

    /// Keeps a group's jobs back: it has no turn until it is [opened](Self::open). Whether it has jobs.
    pub(crate) fn hold(&mut self, group: &Option<GroupName>) -> bool {
        let Some((turn, line)) = self.lines.get_mut(group) else {
            return false;
        };
        self.turns.remove(turn);
        if let (Some(heads), Some(first)) = (&mut self.heads, line.first()) {
            heads.remove(&first);
        }
        *turn = HELD;
        true
    }

    /// Nothing of its own keeps the group back: where something did and it has jobs, it goes to the back. Whether so.
    pub(crate) fn open(&mut self, group: &Option<GroupName>) -> bool {
        let Some((HELD, line)) = self.lines.get(group) else {
            return false;
        };
        if let (Some(heads), Some(first)) = (&mut self.heads, line.first()) {
            heads.insert(first, group.clone());
        }
        let turn = self.line_up(group.clone());
        if let Some(entry) = self.lines.get_mut(group) {
            entry.0 = turn;
        }
        true
    }

    /// Whether the group is kept back.
    pub(crate) fn holds(&self, group: &Option<GroupName>) -> bool {
        matches!(self.lines.get(group), Some((HELD, _)))
    }

    /// The earliest `run_at` of all, in milliseconds: looks at each group that has jobs.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.lines.values().filter_map(|(_, line)| line.oldest()).min()
    }

    /// The groups that have jobs.
    pub(crate) fn groups(&self) -> Vec<GroupName> {
        self.lines.keys().flatten().cloned().collect()
    }

    /// Whether the groups take turns, or all jobs stand in one order.
    pub(crate) fn set_fair(&mut self, fair: bool) {
        self.heads = (!fair).then(|| {
            let lines = self.lines.iter().filter(|(_, (turn, _))| *turn != HELD);
            lines
                .filter_map(|(group, (_, line))| Some((line.first()?, group.clone())))
                .collect()
        });
    }

    /// How many jobs are taken before this one; `None` where it is not here, its group is held back, or that is dear to know.
    /// Before it, as the groups take turns, each other group has had as many turns as jobs of its own are before it, and
    /// one more where its turn comes first.
    pub(crate) fn ahead(&self, group: &Option<GroupName>, place: &Place) -> Option<u64> {
        let (own_turn, line) = self.lines.get(group)?;
        let there = match line {
            Line::One(only) => only == place,
            Line::Many(places) => places.contains(place),
        };
        let rank = line.before(place);
        if !there || *own_turn == HELD || rank > COUNTED_MAX || self.lines.len() > COUNTED_MAX {
            return None;
        }
        let others = self.lines.values();
        let others = others.filter(|(turn, _)| turn != own_turn && *turn != HELD);
        let before: usize = if self.heads.is_some() {
            others.map(|(_, line)| line.before(place)).sum()
        } else {
            others
                .map(|(turn, line)| line.len().min(rank + usize::from(turn < own_turn)))
                .sum()
        };
        (self.heads.is_none() || before <= COUNTED_MAX).then_some((rank + before) as u64)
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
        let (turn, first) = (*turn, line.first());
        let (found, empty) = match line {
            Line::One(only) => (only == place, only == place),
            Line::Many(places) => (places.remove(place), places.is_empty()),
        };
        if let (Some(heads), true) = (&mut self.heads, found && first == Some(*place) && turn != HELD) {
            heads.remove(place);
            if let Some(next) = line.first().filter(|_| !empty) {
                heads.insert(next, group.clone());
            }
        }
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
            copy.set_fair(self.heads.is_none());
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
    fn where_groups_take_no_turns_all_jobs_stand_in_one_order() {
        let mut ready = Ready::default();
        ready.push(group("a"), (5, 0, 1));
        ready.push(group("b"), (5, 0, 4));
        ready.set_fair(false);
        for (name, place) in [
            ("a", (5, 0, 2)),
            ("b", (5, 0, 3)),
            ("c", (0, 9, 9)),
            ("a", (5, 1, 5)),
        ] {
            ready.push(group(name), place);
        }
        assert!(ready.remove(&group("a"), &(5, 0, 1)));
        assert_eq!(ready.ahead(&group("b"), &(5, 0, 4)), Some(3));
        assert!(ready.hold(&group("c")));
        assert_eq!((ready.pop(), ready.pop()), (Some(2), Some(3)));
        assert!(ready.open(&group("c")));
        assert_eq!(ready.pop(), Some(9));
        ready.set_fair(true);
        assert_eq!(order(&mut ready), [5, 4], "the group that was served longest ago");
    }

    #[test]
    fn a_group_that_is_held_back_has_no_turn_until_it_is_opened() {
        let mut ready = Ready::default();
        for (name, seq) in [("a", 1), ("b", 2), ("a", 3), ("b", 4)] {
            ready.push(group(name), (5, 0, seq));
        }
        assert!(ready.hold(&group("a")) && !ready.hold(&group("z")));
        ready.push(group("a"), (0, 0, 5));
        assert_eq!(ready.ahead(&group("a"), &(5, 0, 1)), None);
        assert_eq!(ready.ahead(&group("b"), &(5, 0, 4)), Some(1));
        assert_eq!((ready.pop(), ready.len()), (Some(2), 4));
        assert!(ready.open(&group("a")) && !ready.open(&group("a")));
        assert_eq!(order(&mut ready), [4, 5, 1, 3]);
        assert!(!ready.any());
    }

    #[test]
    fn a_held_group_whose_job_is_put_back_is_still_held() {
        let mut ready = Ready::default();
        ready.push(group("a"), (5, 0, 1));
        ready.hold(&group("a"));
        assert!(ready.remove(&group("a"), &(5, 0, 1)));
        assert!(ready.push(group("a"), (0, 0, 1)));
        assert_eq!(ready.pop(), None);
        ready.open(&group("a"));
        assert_eq!(order(&mut ready), [1]);
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
