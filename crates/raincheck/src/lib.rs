//! Durable background jobs over HTTP: hand a slow request a rain check.
//!
//! One job's path is the list of modules: [`server`] lets a request in, [`api`] reads it, [`intake`] accepts it, the
//! store keeps it, `dispatch` claims it (`pull` for workers elsewhere), [`workers`] run it, `settle` ends the attempt, [`watch`] tells who waits;
//! `upkeep` mends what workers drop. [`node`] starts and stops them all.
//!
//! Invariant: nothing here decides about a job. Decisions are made in [`core::decide`], inside the store.

pub use raincheck_core as core;

pub mod api;
pub mod backoff;
mod base64;
mod batches;
mod bound;
pub mod clock;
mod dispatch;
pub mod embed;
mod feed;
pub mod fetch;
#[doc(hidden)]
pub mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod hashing;
mod hop;
pub mod intake;
pub mod keys;
pub mod links;
#[doc(hidden)]
pub mod near;
pub mod node;
mod observe;
pub mod outward;
mod pace;
pub mod proxy;
mod pull;
mod queues;
pub mod random;
pub mod room;
pub mod server;
mod settle;
mod sharded;
#[cfg(feature = "sqlite")]
pub mod store;
pub mod tasks;
mod telemetry;
#[cfg(test)]
mod testing;
mod throttle;
mod upkeep;
pub mod watch;
pub mod webhooks;
pub mod workers;

pub use embed::{Accepted, JobError, JobType, Raincheck};
pub use node::{Node, NodeOptions};
#[cfg(feature = "otlp")]
pub use telemetry::traces::Sampler;
pub use telemetry::traces::TraceOptions;

/// The guide's programs are compiled as they stand there.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/src/library.md")]
#[doc = include_str!("../../../docs/respond-async.md")]
mod guide {}
