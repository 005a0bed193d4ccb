//! What a connection is doing, and since when: one small value that its parts write and its driver reads.
//!
//! Invariant: whatever a connection does, [`Pulse::deadline`] names the instant at which it is given up, except while
//! this server itself is at work, or has handed the connection on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ServerOptions;
use super::interim::Hints;
use super::unread::Unread;

/// How long a client that is still sending is listened to after its answer, so that the answer reaches it: closing at
/// once would reset the connection and could take the answer back.
pub(super) const LEAVE_TIME: Duration = Duration::from_secs(2);

/// A connection's phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// No byte of a request is there.
    Idle = 0,
    /// Some of a head is there.
    Head = 1,
    /// A request is being worked on.
    Busy = 2,
    /// An answer is being sent.
    Answering = 3,
    /// All is said; what the client still sends is thrown away.
    Leaving = 4,
    /// It speaks another protocol, with somebody else.
    Handed = 5,
}

/// The state of one connection. All parts run in one task, so the atomics only satisfy `Sync`.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    phase: AtomicU8,
    /// Milliseconds from `born` to the beginning of the phase, where that has an end.
    since: AtomicU64,
    /// The same, plus one, for the beginning of a stalled write; 0: none.
    stalled: AtomicU64,
    /// The same for the client's closing of its side; 0: not yet.
    closed: AtomicU64,
    /// Requests so far.
    requests: AtomicU32,
    /// Which request said its length twice, counted from 1; 0: none.
    twice: AtomicU32,
    /// Whether time is up: the line says so to hyper.
    expired: AtomicBool,
    /// Whether more came than the head of the request that is being worked on.
    more: AtomicBool,
    /// Wakes whoever waits for that, or for the client's closing of its side.
    stirred: Notify,
    /// Whether the last request had a body, of which some may be unread when its answer is sent.
    sending: AtomicBool,
    /// What is said before an answer, where that is asked for.
    hints: OnceLock<Box<Hints>>,
    /// What the service let go of.
    unread: Unread,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            twice: AtomicU32::new(0),
            expired: AtomicBool::new(false),
            more: AtomicBool::new(false),
            stirred: Notify::new(),
            sending: AtomicBool::new(false),
            hints: OnceLock::new(),
            unread: Unread::default(),
        }
    }

    /// Lets requests be answered more than once.
    pub(super) fn allow_hints(&self) {
        self.hints.get_or_init(Box::default);
    }

    /// What is said before an answer, where that is allowed.
    pub(super) fn hints(&self) -> Option<&Hints> {
        self.hints.get().map(AsRef::as_ref)
    }

    /// Where the last request's body goes that was not read to its end.
    pub(super) fn unread(&self) -> &Unread {
        &self.unread
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            3 => Phase::Answering,
            4 => Phase::Leaving,
            _ => Phase::Handed,
        }
    }

    /// A phase begins.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        // Nobody asks how long our own work takes, and the clock is not free.
        if !matches!(phase, Phase::Busy | Phase::Answering | Phase::Handed) {
            self.since.store(self.now(), Ordering::Relaxed);
        }
        if phase == Phase::Busy {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Bytes have come.
    pub(super) fn heard(&self) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// The client takes nothing of what is sent.
    pub(super) fn stall(&self) {
        if self.stalled.load(Ordering::Relaxed) == 0 {
            self.stalled.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// It took some.
    pub(super) fn flow(&self) {
        if self.stalled.load(Ordering::Relaxed) != 0 {
            self.stalled.store(0, Ordering::Relaxed);
        }
    }

    /// The client has closed its side.
    pub(super) fn close(&self) {
        self.closed.store(self.now() + 1, Ordering::Relaxed);
        self.stirred.notify_waiters();
    }

    /// Waits until the client has closed its side.
    pub(super) async fn left(&self) {
        self.until(Self::closed).await;
    }

    /// Bytes came, and the last of them are these of a head, or more than a head.
    pub(super) fn set_more(&self, more: bool) {
        self.more.store(more, Ordering::Relaxed);
    }

    /// More is there to be read.
    pub(super) fn come(&self) {
        self.set_more(true);
        self.stirred.notify_waiters();
    }

    /// Waits until more is there than the request's head.
    pub(super) async fn more(&self) {
        self.until(|pulse| pulse.more.load(Ordering::Relaxed)).await;
    }

    async fn until(&self, so: impl Fn(&Self) -> bool) {
        loop {
            let stirred = self.stirred.notified();
            if so(self) {
                return;
            }
            stirred.await;
        }
    }

    /// Whether the client has closed its side.
    pub(super) fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) != 0
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// This request says its length twice.
    pub(super) fn set_twice(&self, request: u32) {
        self.twice.store(request, Ordering::Relaxed);
    }

    /// Whether the request that was read last says its length twice.
    pub(super) fn twice(&self) -> bool {
        self.twice.load(Ordering::Relaxed) == self.requests()
    }

    /// Whether the client may be sending still.
    pub(super) fn sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
    }

    pub(super) fn set_sending(&self, sending: bool) {
        self.sending.store(sending, Ordering::Relaxed);
    }

    /// Time is up.
    pub(super) fn expire(&self) {
        self.expired.store(true, Ordering::Relaxed);
    }

    pub(super) fn expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    /// When the connection is given up, as things stand.
    pub(super) fn deadline(&self, options: &ServerOptions) -> Option<Instant> {
        let at = |millis: u64, more: Duration| Some(self.born + Duration::from_millis(millis) + more);
        let stalled = self.stalled.load(Ordering::Relaxed);
        if stalled != 0 {
            return at(stalled - 1, options.write_time);
        }
        let since = self.since.load(Ordering::Relaxed);
        match self.phase() {
            Phase::Idle if self.requests() > 0 => at(since, options.idle_time),
            Phase::Idle | Phase::Head => at(since, options.head_time),
            Phase::Leaving => at(since, LEAVE_TIME),
            Phase::Handed => None,
            Phase::Busy | Phase::Answering => match self.closed.load(Ordering::Relaxed) {
                0 => None,
                closed => at(closed - 1, options.gone_time),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_phase_but_our_own_work_has_an_end() {
        let options = ServerOptions::default();
        let pulse = Pulse::new();
        let born = pulse.born;
        let left = |pulse: &Pulse| pulse.deadline(&options).map(|at| (at - born).as_secs());
        assert_eq!(left(&pulse), Some(10), "a silent connection");
        tokio::time::advance(Duration::from_secs(4)).await;
        pulse.heard();
        tokio::time::advance(Duration::from_secs(4)).await;
        pulse.heard();
        assert_eq!(left(&pulse), Some(14), "a head, from its first byte");
        pulse.enter(Phase::Busy);
        assert_eq!(left(&pulse), None);
        pulse.close();
        assert_eq!(left(&pulse), Some(13), "a client that is gone");
        let pulse = Pulse::new();
        pulse.enter(Phase::Busy);
        pulse.enter(Phase::Answering);
        pulse.stall();
        tokio::time::advance(Duration::from_secs(4)).await;
        pulse.stall();
        assert_eq!(left(&pulse), Some(38), "a stalled answer");
        pulse.flow();
        assert_eq!(left(&pulse), None);
        pulse.enter(Phase::Idle);
        assert_eq!(left(&pulse), Some(87), "an idle keep-alive");
    }
}
