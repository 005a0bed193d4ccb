//! The example programs as real processes, over real sockets: what each of them does, and what it does not lose.
//!
//! Invariant: nothing here sleeps to wait for something; every program is ended by the test that started it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests shall know what was skipped"
)]
#![expect(clippy::disallowed_methods, reason = "processes run under the host's clock")]

mod chat;
mod fetch_all;
mod hello;
mod ingest;
mod predict;
mod queue;
mod rig;
mod signals;
mod web;
