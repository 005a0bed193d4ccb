//! Which tasks of a group can be cut.
//!
//! Invariant: a place is one task's, from before it begins until it has left; after a cut nobody begins.

use tokio::task::AbortHandle;

/// Tasks that can be cut: a place for each that runs.
#[derive(Default)]
pub(super) struct Cuts {
    pub(super) places: Vec<Place>,
    free: Vec<usize>,
    /// They were cut, and nobody begins any more.
    over: bool,
}

pub(super) enum Place {
    /// A task is about to begin, or was cut.
    Entered,
    Running(AbortHandle),
    /// Nobody's; of a task that left before it was known to run, until it is.
    Left,
}

impl Cuts {
    /// A place for a task that begins, where any may.
    pub(super) fn enter(&mut self) -> Option<usize> {
        if self.over {
            return None;
        }
        let place = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(free) => *free = Place::Entered,
            None => self.places.push(Place::Entered),
        }
        Some(place)
    }

    /// The task at this place runs. Gives it back where all were cut meanwhile.
    pub(super) fn begin(&mut self, place: usize, task: AbortHandle) -> Option<AbortHandle> {
        match &mut self.places[place] {
            Place::Left => self.free.push(place),
            Place::Entered | Place::Running(_) if self.over => return Some(task),
            entered @ (Place::Entered | Place::Running(_)) => *entered = Place::Running(task),
        }
        None
    }

    pub(super) fn leave(&mut self, place: usize) {
        let was = std::mem::replace(&mut self.places[place], Place::Left);
        // Who enters is not known to run yet, and whoever lets it begin frees its place; where all are cut nobody needs one.
        if let Place::Running(_) = was {
            self.free.push(place);
        }
    }

    /// Those that run; nobody begins any more.
    pub(super) fn cut(&mut self) -> Vec<AbortHandle> {
        self.over = true;
        let places = self.places.iter_mut();
        let cut = places.filter_map(|place| match std::mem::replace(place, Place::Entered) {
            Place::Running(task) => Some(task),
            Place::Left => {
                *place = Place::Left;
                None
            }
            Place::Entered => None,
        });
        cut.collect()
    }
}
