//! The shapes that travel: job and queue documents, and the JSON form of a submission.
//!
//! Invariant: only `api` knows them; a field here is never renamed or removed within `/v1`.

pub(crate) mod job;
pub(crate) mod queue;
pub(crate) mod submit;
