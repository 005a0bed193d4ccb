//! The memory that all bodies take together which are being read, or have been and are on their way into the store.
//!
//! Invariant: what a body takes is given back when nobody has it any more; a body that would take more than there is left is
//! refused, so that no number of clients with a body, half or whole, makes the server grow without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};

use super::body::BodyError;

/// Room for bodies. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Room(Arc<AtomicU64>);

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// A body's part of it, nothing yet.
    pub(crate) fn part(&self) -> Part {
        Part {
            room: self.clone(),
            held: 0,
        }
    }
}

/// What one body takes.
#[derive(Debug)]
pub(crate) struct Part {
    room: Room,
    held: u64,
}

impl Part {
    /// Takes so much in all, more or less than before.
    ///
    /// # Errors
    /// When there is not so much left.
    pub(crate) fn hold(&mut self, bytes: u64) -> Result<(), BodyError> {
        let left = &self.room.0;
        if bytes <= self.held {
            left.fetch_add(self.held - bytes, Ordering::Relaxed);
        } else {
            let more = bytes - self.held;
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(more)
            })
            .map_err(|_| BodyError::NoRoom)?;
        }
        self.held = bytes;
        Ok(())
    }

    /// The body that was read, which takes its part until nobody has it any more: until its job is on disk, for the most.
    pub(crate) fn of(mut self, body: BytesMut) -> Bytes {
        // All of it is there.
        let _ = self.hold(body.capacity() as u64);
        Bytes::from_owner(Held { body, _part: self })
    }
}

/// A body with its part of the room.
struct Held {
    body: BytesMut,
    _part: Part,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let room = Room::new(10);
        let (mut one, mut two) = (room.part(), room.part());
        one.hold(6).unwrap();
        assert!(matches!(two.hold(5), Err(BodyError::NoRoom)));
        two.hold(4).unwrap();
        one.hold(1).unwrap();
        two.hold(9).unwrap();
        drop((one, two));
        assert_eq!(room.0.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn a_body_takes_its_part_for_as_long_as_somebody_has_it() {
        let room = Room::new(100);
        let mut part = room.part();
        part.hold(4).unwrap();
        let body = part.of(BytesMut::from(&b"wets"[..]));
        let same = body.clone();
        drop(body);
        assert_eq!((room.0.load(Ordering::Relaxed), &same[..]), (96, &b"wets"[..]));
        drop(same);
        assert_eq!(room.0.load(Ordering::Relaxed), 100);
    }
}
