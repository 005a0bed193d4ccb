//! What every store must do, and a plain store in memory that obviously does it.
//!
//! Invariant: a rule about stores is written down here once, so that no two stores can both be right and differ.
//!
//! # Groups in turn
//!
//! The groups of a queue that have claimable jobs stand in a ring. A claim takes the first job (by priority, then
//! `run_at`, then id) of the group at the head, and that group goes to the back if it has more. A group that gains
//! its first claimable job joins at the back; several that join in one operation stand in the order of their
//! longest-waiting jobs. Jobs without a group are one group.
//!
//! A store may keep its ring as it likes as long as this holds. A group waits from its last turn on, or, where that
//! is later, from when it came to have a claimable job. **No group gets a turn while another has been waiting since
//! before that group's own last turn, or, where it had none yet, since before its first job came.** A job that becomes
//! due by the clock alone counts from the next claim of its queue on. Opening a store anew may begin the ring anew.
//! A group that a claim passes over does not wait meanwhile, and stands at the back when the claim is over.
//!
//! # What time ends, a commit ends
//!
//! A lapsed lease is held until [`reclaim`](crate::store::Store::reclaim) ended it. A finished job whose `expires_at`
//! has passed is there until [`prune`](crate::store::Store::prune) took it. A tombstone and its idempotency key live
//! for 24 hours at least; when those are over a store may forget them by itself, and at the next prune it must.

mod durable;
mod every;
pub mod invariants;
pub mod model;
#[doc(hidden)]
pub mod promises;
pub mod random;
mod suite;
#[cfg(test)]
mod tests;

pub use model::ModelStore;
pub use suite::{Opened, run};
