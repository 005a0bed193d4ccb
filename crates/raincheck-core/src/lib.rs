//! What a job is and every decision about it, for every store and every kind of worker.
//!
//! The invariant of this crate is an absence: it does no I/O, starts no task, reads no clock and draws no
//! random number. Whoever calls brings the time (`now`), the randomness (`seed`, nonces, ids) and the rows.
//!
//! Read [`job`] for the life of a job, [`decide`] for its transitions and [`store`] for what keeps it.

pub mod audit;
pub mod batch;
pub mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod content;
pub mod decide;
pub mod delivery;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod group;
pub mod host;
pub mod id;
pub mod job;
pub mod key;
pub mod lease;
pub mod limit;
pub mod list;
pub mod name;
pub mod output;
pub mod queue;
pub mod retry;
pub mod secret;
pub mod size;
pub mod store;
pub mod time;
pub mod unique;
pub mod worker;
