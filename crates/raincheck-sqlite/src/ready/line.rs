//! The jobs of one group that can be claimed now, in their order.
//!
//! Invariant: a group with one job has no tree.

use std::collections::BTreeSet;

use super::COUNTED_MAX;

/// A job's place within its group: priority, `run_at` in milliseconds, the id's first half. 24 bytes.
pub(crate) type Place = (u8, i64, u64);

/// Most groups have one job waiting, or none: those do not need a tree.
#[derive(Debug)]
pub(super) enum Line {
    One(Place),
    Many(BTreeSet<Place>),
}

impl Line {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(places) => places.len(),
        }
    }

    pub(super) fn first(&self) -> Option<Place> {
        match self {
            Self::One(place) => Some(*place),
            Self::Many(places) => places.first().copied(),
        }
    }

    /// The earliest `run_at`. Within a priority the first has it, so that this looks at one for each.
    pub(super) fn oldest(&self) -> Option<i64> {
        let places = match self {
            Self::One(place) => return Some(place.1),
            Self::Many(places) => places,
        };
        let (mut oldest, mut next) = (None, places.first());
        while let Some((priority, run_at, _)) = next {
            oldest = Some(oldest.map_or(*run_at, |oldest: i64| oldest.min(*run_at)));
            next = places.range((priority + 1, i64::MIN, 0)..).next();
        }
        oldest
    }

    /// How many are before this one, counted up to a bound.
    pub(super) fn before(&self, place: &Place) -> usize {
        match self {
            Self::One(only) => usize::from(only < place),
            Self::Many(places) => places.range(..place).take(COUNTED_MAX + 1).count(),
        }
    }
}
