//! The project's own chores, as a library so that they can be tested themselves.
//!
//! Invariant: nothing here links Raincheck. The crash test and the proofs know the server as its users do: a
//! program to start, and the contract of `API.md`.

pub mod flags;
pub mod fuzz;
pub mod ledger;
pub mod openapi;
pub mod rng;
pub mod schema;
pub mod setup;
pub mod soak;
pub mod strace;
pub mod suite;
pub mod tidy;
pub mod tree;
pub mod trouble;
