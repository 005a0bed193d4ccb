//! Keeping what an attempt shows while it runs.
//!
//! Invariants: only the claim that holds the job adds to its output, one chunk after the other; a chunk that comes twice
//! is kept once. A job keeps a bounded number of bytes: its attempt at most `bytes_max` of output and as much of log;
//! what earlier attempts emitted stays while it is not more than that either, else it goes when the next one emits.

use crate::id::LeaseId;
use crate::job::{Job, Phase};
use crate::output::{CHUNKS_MAX, Chunk, Mark, Piece, Stream};
use crate::time::Timestamp;

/// What an emission does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmitStep {
    /// The chunk is kept.
    Kept {
        /// The chunk.
        chunk: Chunk,
        /// Where the job's chunks have got to then.
        mark: Mark,
        /// Whether all chunks before it are to be dropped, which are those of earlier claims.
        drop_former: bool,
    },
    /// A chunk of this number was kept before, as the job's `n`th: it tells whether it was the same ([`emitted_again`]).
    Again {
        /// Its number within the job.
        n: u64,
    },
}

/// Why an emission was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitRefused {
    /// The lease is over.
    #[error("the lease is over")]
    LeaseLost,
    /// Chunks before it are missing.
    #[error("the next chunk of this lease has the number {next}")]
    Gap {
        /// The number that is due.
        next: u32,
    },
    /// A chunk of this number was emitted before, with other content.
    #[error("a chunk of this number was emitted with other content")]
    Mismatch,
    /// The attempt would show more than its queue allows.
    #[error("an attempt may emit {bytes_max} bytes of output and as many of log")]
    TooLarge {
        /// The limit of each of the two.
        bytes_max: u64,
    },
    /// The attempt has emitted as many chunks as there may be.
    #[error("an attempt may emit {CHUNKS_MAX} chunks")]
    TooMany,
}

/// Takes the piece as the lease's chunk number `seq`. `mark` says where the job's chunks have got to, where it has any;
/// `bytes_max` bounds the output of an attempt, and its log. A lapsed lease that nobody reclaimed emits as well.
///
/// # Errors
/// When the lease is not the one that holds the job, `seq` is not the next one, or the limit is reached.
pub fn emit(
    job: &Job,
    lease: &LeaseId,
    mark: Option<&Mark>,
    seq: u32,
    piece: &Piece,
    bytes_max: u64,
    now: Timestamp,
) -> Result<EmitStep, EmitRefused> {
    let held = matches!(job.phase, Phase::Running(_)) && job.lease_id().as_ref() == Some(lease);
    if !held {
        return Err(EmitRefused::LeaseLost);
    }
    let last = mark.filter(|mark| mark.fence == lease.fence);
    let next = last.map_or(0, |mark| mark.seq + 1);
    if seq > next {
        return Err(EmitRefused::Gap { next });
    }
    if let (Some(mark), true) = (last, seq < next) {
        return Ok(EmitStep::Again {
            n: mark.n - u64::from(mark.seq - seq),
        });
    }
    if seq >= CHUNKS_MAX {
        return Err(EmitRefused::TooMany);
    }
    let former = mark.map_or(0, Mark::kept_bytes);
    let drop_former = last.is_none() && former > bytes_max;
    let mut mark = last.copied().unwrap_or(Mark {
        n: mark.map_or(0, |mark| mark.n),
        fence: lease.fence,
        former_bytes: if drop_former { 0 } else { former },
        ..Mark::default()
    });
    let bytes = match piece.stream {
        Stream::Output => &mut mark.output_bytes,
        Stream::Log => &mut mark.log_bytes,
    };
    *bytes += piece.body.len() as u64;
    if *bytes > bytes_max {
        return Err(EmitRefused::TooLarge { bytes_max });
    }
    mark.n += 1;
    mark.seq = seq;
    let chunk = Chunk {
        job: job.id,
        n: mark.n,
        fence: lease.fence,
        attempt: job.attempt,
        seq,
        at: now,
        piece: piece.clone(),
    };
    Ok(EmitStep::Kept {
        chunk,
        mark,
        drop_former,
    })
}

/// Whether the piece is the one that was kept under its number.
///
/// # Errors
/// When it is another one.
pub fn emitted_again(kept: &Chunk, piece: &Piece) -> Result<(), EmitRefused> {
    if kept.piece == *piece {
        Ok(())
    } else {
        Err(EmitRefused::Mismatch)
    }
}
