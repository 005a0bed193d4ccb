//! The memory that all bodies which are being read take together.
//!
//! Invariant: what a body takes is given back when nobody reads it any more; a body that would take more than there is left is
//! refused, so that no number of clients with half a body makes the server grow without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
}
