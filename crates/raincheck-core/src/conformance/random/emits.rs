//! Draws what attempts emit.
//!
//! Invariant: contents are few, so that a repetition is the same now and then.

use bytes::Bytes;

use super::draw::{World, lease};
use super::rng::Rng;
use super::values::body;
use crate::name::Namespace;
use crate::output::{Piece, Stream};
use crate::store::Emit;

/// Mostly the next chunks of a lease, as far as the model knows; sometimes a former one, the same or not, or a gap.
pub(super) fn emits(rng: &mut Rng, world: &World<'_>) -> Option<(Namespace, Vec<Emit>)> {
    let (ns, lease) = lease(rng, world.pool)?;
    let mark = world
        .model
        .mark(lease.job)
        .filter(|mark| mark.fence == lease.fence);
    let next = mark.map_or(0, |mark| mark.seq + 1);
    let first = match rng.below(8) {
        0 | 3 | 4 => next.saturating_sub(1),
        1 => next.saturating_sub(2),
        2 if rng.one_in(2) => next + 1,
        _ => next,
    };
    let batch = (first..).take(1 + usize::try_from(rng.below(3)).unwrap_or(0));
    let emit = |seq| {
        let stream = if rng.one_in(4) {
            Stream::Log
        } else {
            Stream::Output
        };
        let body = if rng.one_in(30) {
            body(rng)
        } else {
            Bytes::from(vec![b'x'; seq as usize % 3 + usize::from(rng.one_in(3))])
        };
        let piece = Piece { stream, body };
        Emit { lease, seq, piece }
    };
    Some((ns, batch.map(emit).collect()))
}
