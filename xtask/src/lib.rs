//! The project's own chores, as a library so that they can be tested.

pub mod ledger;
pub mod rng;
