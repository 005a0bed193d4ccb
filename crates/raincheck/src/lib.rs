//! Durable background jobs over HTTP: hand a slow request a rain check.

pub use raincheck_core as core;
