//! A service to which no connection can be made.
//!
//! Invariant: of those that can wait one tries at a time, from when it is known to be away until a connection comes about: a service that takes
//! none, and says nothing, has each wait for its whole time.

use std::time::Duration;

use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Away {
    since: Instant,
    /// Why no connection came about last.
    why: String,
    told: bool,
    tried: bool,
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    /// For how long no connection could be made.
    pub(crate) lasts: Duration,
    /// Why.
    pub(crate) why: String,
}

impl Away {
    /// From now on.
    pub(super) fn new(why: String) -> Self {
        Self {
            since: Instant::now(),
            why,
            told: false,
            tried: false,
        }
    }

    /// It is still away.
    pub(super) fn again(&mut self, why: String) {
        self.why = why;
    }

    /// Whether somebody is to be told of it: the first who asks.
    pub(super) const fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// Whether somebody was told of it.
    pub(super) const fn told(&self) -> bool {
        self.told
    }

    /// What is known of it.
    pub(super) fn absence(&self) -> Absence {
        Absence {
            lasts: self.since.elapsed(),
            why: self.why.clone(),
        }
    }

    /// Takes the turn of trying, where nobody has it.
    pub(super) fn take_turn(&mut self) -> Result<(), Absence> {
        match std::mem::replace(&mut self.tried, true) {
            false => Ok(()),
            true => Err(self.absence()),
        }
    }

    /// Gives the turn back.
    pub(super) const fn end_turn(&mut self) {
        self.tried = false;
    }
}
