//! What an attempt shows while it runs: its output and its log, in numbered chunks.
//!
//! Invariants: within a lease chunks are numbered from 0 without a gap (`seq`); within a job every chunk that was ever
//! kept has a number of its own that only grows (`n`, from 1), so that a reader can go on where it stopped.

use std::sync::Arc;

use bytes::Bytes;

use crate::id::{Fence, JobId, LeaseId};
use crate::job::Job;
use crate::time::Timestamp;

/// The most chunks of one attempt: what a chunk costs beside its bytes is bounded by it.
pub const CHUNKS_MAX: u32 = 100_000;

/// What a chunk costs beside its bytes, about.
pub const CHUNK_COST: u64 = 64;

/// Which of the two streams of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// What it makes: a result on its way, tokens, pages.
    Output,
    /// What it says about it, for people.
    Log,
}

/// What a worker emits at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it belongs.
    pub stream: Stream,
    /// The bytes; a log's are UTF-8 by custom.
    pub body: Bytes,
}

/// A piece as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whose it is.
    pub job: JobId,
    /// Its number within the job, over all attempts, from 1.
    pub n: u64,
    /// The claim that emitted it.
    pub fence: Fence,
    /// The attempt that emitted it.
    pub attempt: u32,
    /// Its number within the lease, from 0.
    pub seq: u32,
    /// When it was kept.
    pub at: Timestamp,
    /// What was emitted.
    pub piece: Piece,
}

/// Where a job's chunks have got to: everything that the next decision needs to know of those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The number of the last chunk.
    pub n: u64,
    /// The claim that emitted it.
    pub fence: Fence,
    /// Its number within the lease.
    pub seq: u32,
    /// Bytes of output of that claim.
    pub output_bytes: u64,
    /// Bytes of log of that claim.
    pub log_bytes: u64,
    /// What the chunks of earlier claims cost that are still kept ([`Mark::kept_bytes`]).
    pub former_bytes: u64,
}

impl Mark {
    /// What all chunks up to this one cost: their bytes, and [`CHUNK_COST`] for each.
    #[must_use]
    pub const fn kept_bytes(&self) -> u64 {
        let chunks = self.seq as u64 + 1;
        self.former_bytes + self.output_bytes + self.log_bytes + chunks * CHUNK_COST
    }
}

/// One chunk of an attempt's output or log.
#[derive(Clone, Debug)]
pub struct Emit {
    /// The lease under which the attempt runs.
    pub lease: LeaseId,
    /// The chunk's number within the lease, from 0.
    pub seq: u32,
    /// The chunk.
    pub piece: Piece,
}

/// A chunk that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Its number within the job.
    pub n: u64,
    /// Whether the worker is to stop.
    pub cancel_requested: bool,
}

/// What a job has emitted, as it is read.
#[derive(Clone, Debug)]
pub struct Output {
    /// The job at that moment.
    pub job: Arc<Job>,
    /// Chunks in the order of their numbers.
    pub chunks: Vec<Arc<Chunk>>,
    /// The number of the job's last chunk; 0 where it has none. More follow where that is not the last of `chunks`.
    pub last: u64,
    /// The claim that emitted the chunk after which was read, where that chunk is still kept.
    pub before: Option<Fence>,
}

/// At most so many bytes of chunks are read at once, where one chunk is not larger already.
pub const OUTPUT_PAGE_BYTES: usize = 256 << 10;
