//! The shapes that travel: job, queue and lease documents, and the JSON forms of what callers and workers send.
//!
//! Invariant: only `api` knows them; a field here is never renamed or removed within `/v1`.

pub(crate) mod accepted;
pub(crate) mod asked;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod bulk;
pub(crate) mod content;
pub(crate) mod fetch;
pub(crate) mod group;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod lease;
pub(crate) mod leased;
pub(crate) mod many;
pub(crate) mod page;
pub(crate) mod patch;
mod pieces;
pub(crate) mod queue;
pub(crate) mod submit;
pub(crate) mod webhook;
