//! Upkeep: mends what workers drop, and forgets what nobody needs any more.
//!
//! Invariant: every step is bounded, durable by itself and harmless to repeat; nothing here decides.

pub(crate) mod acts;
pub(crate) mod prune;
pub(crate) mod reclaim;
pub(crate) mod tend;

#[cfg(test)]
mod tests;
