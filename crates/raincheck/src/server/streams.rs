//! What an HTTP/2 connection is doing: its open requests, those that its client gave up, and answers that nobody takes.
//!
//! Invariant: as for HTTP/1.1, whatever a connection does, [`Streams::deadline`] names the instant at which it is given
//! up, except while this server itself is at work; and a client that mostly gives up what it asks for is shown the door.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ServerOptions;

/// So many requests of one connection may be given up before it is looked at how many that is.
const GIVEN_UP_MIN: u64 = 100;
/// For so long requests are counted for that; then anew.
const COUNTED: Duration = Duration::from_secs(60);

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Streams(Mutex<State>);

#[derive(Debug)]
struct State {
    next: u64,
    open: usize,
    /// When the last request ended, or the connection began.
    since: Instant,
    /// Since when requests are counted, how many there were, and how many of them were given up.
    counted: Instant,
    asked: u64,
    given_up: u64,
    /// Answers of which the client has to take something before more is asked for, and since when.
    offered: HashMap<u64, Instant>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            next: 0,
            open: 0,
            since: Instant::now(),
            counted: Instant::now(),
            asked: 0,
            given_up: 0,
            offered: HashMap::new(),
        }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request has come; gives back its number.
    pub(super) fn begin(&self) -> u64 {
        self.with(|state| {
            state.open += 1;
            state.next += 1;
            if state.counted.elapsed() >= COUNTED {
                state.count_anew();
            }
            state.asked += 1;
            state.next
        })
    }

    /// Its answer waits for the client to take some of it.
    pub(super) fn offer(&self, number: u64) {
        self.with(|state| state.offered.insert(number, Instant::now()));
    }

    /// The client took it.
    pub(super) fn taken(&self, number: u64) {
        self.with(|state| state.offered.remove(&number));
    }

    /// It is over: answered whole, or given up by the client.
    pub(super) fn end(&self, number: u64, whole: bool) {
        self.with(|state| {
            state.offered.remove(&number);
            state.open -= 1;
            state.since = Instant::now();
            state.given_up += u64::from(!whole);
        });
    }

    /// Whether the client asks only to give up; then it is counted anew.
    pub(super) fn abusive(&self) -> bool {
        self.with(|state| {
            let abusive = state.given_up > GIVEN_UP_MIN && state.given_up > state.asked / 2;
            if abusive {
                state.count_anew();
            }
            abusive
        })
    }

    /// When the connection is given up, as things stand.
    pub(super) fn deadline(&self, options: &ServerOptions) -> Option<Instant> {
        self.with(|state| {
            let stalled = state
                .offered
                .values()
                .min()
                .map(|since| *since + options.write_time);
            let idle = match (state.open, state.next) {
                (0, 0) => Some(state.since + options.head_time),
                (0, _) => Some(state.since + options.idle_time),
                _ => None,
            };
            stalled.into_iter().chain(idle).min()
        })
    }
}

impl State {
    fn count_anew(&mut self) {
        (self.counted, self.asked, self.given_up) = (Instant::now(), 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_state_but_our_own_work_has_an_end() {
        let (options, streams, born) = (ServerOptions::default(), Streams::new(), Instant::now());
        let left = || streams.deadline(&options).map(|at| (at - born).as_secs());
        assert_eq!(left(), Some(10), "a connection that asks nothing");
        let (one, two) = (streams.begin(), streams.begin());
        assert_eq!(left(), None);
        streams.offer(one);
        tokio::time::advance(Duration::from_secs(4)).await;
        streams.offer(two);
        assert_eq!(left(), Some(30), "an answer that nobody takes");
        streams.taken(one);
        assert_eq!(left(), Some(34));
        streams.end(two, true);
        assert_eq!(left(), None);
        streams.end(one, true);
        assert_eq!(left(), Some(79), "an idle connection");
    }

    #[tokio::test]
    async fn a_client_that_mostly_gives_up_is_told_from_one_that_does_now_and_then() {
        let streams = Streams::new();
        for _ in 0..1_000 {
            let number = streams.begin();
            streams.end(number, true);
        }
        for _ in 0..500 {
            let number = streams.begin();
            streams.end(number, false);
        }
        assert!(!streams.abusive());
        for _ in 0..501 {
            let number = streams.begin();
            streams.end(number, false);
        }
        assert!(streams.abusive());
        assert!(!streams.abusive(), "it is counted anew");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_a_request_a_minute_may_do_so_for_hours() {
        let streams = Streams::new();
        for _ in 0..500 {
            let number = streams.begin();
            tokio::time::advance(Duration::from_secs(60)).await;
            streams.end(number, false);
            assert!(!streams.abusive());
        }
    }
}
