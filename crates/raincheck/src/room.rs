//! The memory that large bodies take together: there is so much for those of requests, so much for results on their way into the
//! store, and so much for those that are on their way out of it.
//!
//! Invariants: what a body takes is given back when nobody has it any more; a body that would take more than there is left is
//! refused or waits, so that no number of clients, attempts or slow readers makes the server grow without end. One of those that
//! wait goes on beyond what there is, and no other until that one is gone: they hold parts already, and never wait for one another.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes there are for whom: half for bodies of requests that are read or on their way to the disk, a quarter for results that
/// attempts have made and the store has not yet, a quarter for results and inputs that were read from it and are on their way to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// For the bodies of requests.
    pub requests: u64,
    /// For what attempts have made. Up to 64 KiB of each are not counted.
    pub results: u64,
    /// For what clients asked for. Bodies of up to 64 KiB are not counted.
    pub answers: u64,
}

impl Shares {
    /// The least that is shared out, in bytes: each share has room for the largest body, of 16 MiB.
    pub const LEAST: u64 = 64 << 20;

    /// Shares of so many bytes.
    #[must_use]
    pub const fn of(bytes: u64) -> Self {
        Self {
            requests: bytes / 2,
            results: bytes / 4,
            answers: bytes / 4,
        }
    }
}

impl Default for Shares {
    /// Shares of 320 MiB.
    fn default() -> Self {
        Self::of(320 << 20)
    }
}

/// Room for bodies. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Room(Arc<Left>);

#[derive(Debug)]
struct Left {
    /// A permit for each byte.
    bytes: Arc<Semaphore>,
    /// The one that goes on without.
    beyond: Arc<Semaphore>,
}

/// There is not so much left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for the body")]
pub(crate) struct Full;

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Left {
            bytes: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            beyond: Arc::new(Semaphore::new(1)),
        }))
    }

    /// A body's part of it, nothing yet.
    pub(crate) fn part(&self) -> Part {
        Part {
            room: self.clone(),
            held: None,
            beyond: None,
        }
    }

    /// A body that is there already, and takes its part from now on until nobody has it any more.
    ///
    /// # Errors
    /// When there is not so much left.
    pub(crate) fn admit(&self, body: Bytes) -> Result<Bytes, Full> {
        let mut part = self.part();
        part.hold(body.len() as u64)?;
        Ok(part.of(body))
    }
}

/// What one body takes.
#[derive(Debug)]
pub(crate) struct Part {
    room: Room,
    held: Option<OwnedSemaphorePermit>,
    beyond: Option<OwnedSemaphorePermit>,
}

impl Part {
    fn held(&self) -> u64 {
        let held = self.held.as_ref();
        held.map_or(0, |held| held.num_permits() as u64)
    }

    /// Takes so much in all, more or less than before.
    ///
    /// # Errors
    /// When there is not so much left.
    pub(crate) fn hold(&mut self, bytes: u64) -> Result<(), Full> {
        let Some(more) = self.more(bytes) else {
            return Ok(());
        };
        let more = more.try_into().map_err(|_| Full)?;
        let taken = Arc::clone(&self.room.0.bytes).try_acquire_many_owned(more);
        self.add(taken.map_err(|_| Full)?);
        Ok(())
    }

    /// The same, but waits for as long as there is not so much left.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken then.
    pub(crate) async fn hold_when_there(&mut self, bytes: u64) {
        if self.beyond.is_some() || self.hold(bytes).is_ok() {
            return;
        }
        let more = bytes.saturating_sub(self.held()).try_into().unwrap_or(u32::MAX);
        let (left, beyond) = (Arc::clone(&self.room.0.bytes), Arc::clone(&self.room.0.beyond));
        // Neither is ever closed.
        tokio::select! {
            biased;
            Ok(taken) = left.acquire_many_owned(more) => self.add(taken),
            Ok(taken) = beyond.acquire_owned() => self.beyond = Some(taken),
            else => {}
        }
    }

    /// How much more than now that would be, once what is too much is given back.
    fn more(&mut self, bytes: u64) -> Option<u64> {
        let held = self.held();
        if let (Some(surplus @ 1..), Some(permit)) = (held.checked_sub(bytes), &mut self.held) {
            drop(permit.split(usize::try_from(surplus).unwrap_or(usize::MAX)));
        }
        bytes.checked_sub(held).filter(|more| *more > 0)
    }

    fn add(&mut self, taken: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
    }

    /// The body, which takes its part until nobody has it any more.
    fn of(self, body: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held { body, _part: self })
    }
}

/// A body with its part of the room.
struct Held<B> {
    body: B,
    _part: Part,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Held<B> {
    fn as_ref(&self) -> &[u8] {
        self.body.as_ref()
    }
}

/// A body that is put together in the room.
#[derive(Debug)]
pub(crate) struct Whole {
    body: BytesMut,
    part: Part,
    /// So much takes no part.
    free: u64,
}

impl Whole {
    /// Nothing yet, and it may become so large without taking a part.
    pub(crate) fn new(room: &Room, free: u64) -> Self {
        Self {
            body: BytesMut::new(),
            part: room.part(),
            free,
        }
    }

    /// What there is so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// How large it has to be for so much more, where it is not: it grows by as much as it has, or by what has come.
    fn wanted(&self, more: usize) -> Option<u64> {
        let (bytes, most) = (self.body.len() + more, self.body.capacity());
        (bytes > most).then(|| bytes.max(2 * most) as u64)
    }

    /// Makes place for so much more.
    ///
    /// # Errors
    /// When there is not so much left.
    pub(crate) fn reserve(&mut self, more: usize) -> Result<(), Full> {
        if let Some(wanted) = self.wanted(more) {
            if wanted > self.free {
                self.part.hold(wanted)?;
            }
            self.body.reserve(more);
        }
        Ok(())
    }

    /// The same, but waits until there is so much.
    ///
    /// # Cancel safety
    /// Safe: nothing is taken then.
    pub(crate) async fn reserve_when_there(&mut self, more: usize) {
        if let Some(wanted) = self.wanted(more) {
            if wanted > self.free {
                self.part.hold_when_there(wanted).await;
            }
            self.body.reserve(more);
        }
    }

    /// Adds these bytes, for which place was made, and is where it was not.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.body.extend_from_slice(data);
    }

    /// What it is read into.
    pub(crate) fn place(&mut self) -> &mut BytesMut {
        &mut self.body
    }

    /// The body, which takes its part until nobody has it any more: until its job is on disk, for the most.
    pub(crate) fn end(mut self) -> Bytes {
        if self.part.held() == 0 && self.part.beyond.is_none() {
            return self.body.freeze();
        }
        // It has as much, or more: what is too much is given back.
        let _ = self.part.hold(self.body.capacity() as u64);
        self.part.of(self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    fn left(room: &Room) -> usize {
        room.0.bytes.available_permits()
    }

    #[test]
    fn what_is_taken_is_given_back() {
        let room = Room::new(10);
        let (mut one, mut two) = (room.part(), room.part());
        one.hold(6).unwrap();
        assert_eq!(two.hold(5), Err(Full));
        two.hold(4).unwrap();
        one.hold(1).unwrap();
        two.hold(9).unwrap();
        drop((one, two));
        assert_eq!(left(&room), 10);
    }

    #[test]
    fn a_body_takes_its_part_for_as_long_as_somebody_has_it() {
        let room = Room::new(100);
        let mut whole = Whole::new(&room, 0);
        whole.reserve(4).unwrap();
        whole.push(b"wets");
        let most = whole.place().capacity();
        let body = whole.end();
        let same = body.clone();
        drop(body);
        assert_eq!((left(&room), &same[..]), (100 - most, &b"wets"[..]));
        drop(same);
        assert_eq!(left(&room), 100);
        let admitted = room.admit(Bytes::from_static(b"wets")).unwrap();
        assert_eq!(left(&room), 96);
        assert_eq!(room.admit(Bytes::from(vec![0; 97])), Err(Full));
        drop(admitted);
        assert_eq!(left(&room), 100);
    }

    #[test]
    fn what_is_small_takes_none() {
        let room = Room::new(100);
        let mut whole = Whole::new(&room, 1_000);
        whole.reserve(900).unwrap();
        whole.push(&[0; 900]);
        let body = whole.end();
        assert_eq!((left(&room), body.len()), (100, 900));
    }

    /// Those of them that wait no more.
    fn gone_on(waiting: &mut Vec<Pin<Box<impl Future<Output = Part>>>>) -> Vec<Part> {
        let mut gone_on = Vec::new();
        waiting.retain_mut(
            |wait| match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(part) => {
                    gone_on.push(part);
                    false
                }
                Poll::Pending => true,
            },
        );
        gone_on
    }

    /// All hold a part and want more than is left: one goes on, and once it is gone the next.
    #[test]
    fn those_that_wait_never_wait_for_one_another() {
        let room = Room::new(100);
        let mut parts: Vec<Part> = (0..4).map(|_| room.part()).collect();
        for part in &mut parts {
            part.hold(25).unwrap();
        }
        let mut waiting: Vec<_> = parts
            .into_iter()
            .map(|mut part| {
                Box::pin(async move {
                    part.hold_when_there(60).await;
                    part
                })
            })
            .collect();
        let first = gone_on(&mut waiting);
        assert_eq!((first.len(), waiting.len()), (1, 3));
        assert!(
            gone_on(&mut waiting).is_empty(),
            "two went on beyond what there is"
        );
        drop(first);
        // What it held, 25, is too little for another (35), which goes on beyond.
        let second = gone_on(&mut waiting);
        assert_eq!((second.len(), waiting.len()), (1, 2));
        drop(second);
        let third = gone_on(&mut waiting);
        assert_eq!((third.len(), waiting.len()), (2, 0), "there is room for both now");
        drop(third);
        assert_eq!(left(&room), 100);
    }
}
