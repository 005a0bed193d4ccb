//! How often somebody may come: a token bucket for each key and each address.
//!
//! Invariants: within any time nobody is let in more often than its rate and burst allow, unless more come at once than are
//! remembered ([`REMEMBERED_MAX`]), of whom the one that is nearest to a full bucket is forgotten first; memory is bounded, whoever
//! comes from wherever.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raincheck_core::key::KeyId;
use raincheck_core::limit::{Rate, RateState, carry_over, grant_rate};
use raincheck_core::time::Timestamp;

/// So many buckets are remembered that are not full: some ten megabytes at most.
pub(crate) const REMEMBERED_MAX: usize = 1 << 17;

/// Locks that they are spread over.
const SHARDS: usize = 16;

/// How often a shard that is full is searched for buckets that are full again, at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// So many are looked at to find one that may be forgotten.
const LOOKED_AT: usize = 8;

/// How often callers of one kind may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowance {
    /// As often as is usual: nobody is held to anything while the server has no keys.
    #[default]
    Usual,
    /// As often as they like.
    Unbounded,
    /// So many in so much time, all of them at once after a pause. Also where the server has no keys, and for those on its
    /// own machine.
    Rate(Rate),
}

impl std::str::FromStr for Allowance {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Unbounded);
        }
        let wrong = "write a rate such as 100/s, 6000/m or 50000/h, or off";
        text.parse().map(Self::Rate).map_err(|_| wrong)
    }
}

/// Who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Whoever has this key.
    Key(KeyId),
    /// Whoever is at this address, or in its network: an IPv6 network of 64 bits is given to one site, which can use any
    /// address of it.
    Address(IpAddr),
}

impl Source {
    /// What has one bucket.
    fn whole(self) -> Self {
        match self {
            Self::Address(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => Self::Address(IpAddr::V4(address)),
                None => {
                    let network = u128::from(address) >> 64 << 64;
                    Self::Address(IpAddr::V6(Ipv6Addr::from(network)))
                }
            },
            Self::Key(_) | Self::Address(IpAddr::V4(_)) => self,
        }
    }
}

/// What taking from a bucket came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// After how many seconds, rounded up, trying again can help; `None` where it was let in.
    pub(crate) wait: Option<u64>,
    /// How many more are let in at once.
    pub(crate) left: u32,
    /// After how many seconds, rounded up, the bucket is full again, or where nothing is left, holds one again.
    pub(crate) reset: u64,
}

#[derive(Debug, Default)]
struct Shard {
    /// Whoever comes chooses the address: the hash is one that cannot be made to collide.
    states: HashMap<Source, RateState>,
    swept_at: Option<Timestamp>,
}

/// Buckets of one size.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    burst: u32,
    shards: [Mutex<Shard>; SHARDS],
    remembered_max: usize,
    hasher: RandomState,
}

impl Buckets {
    /// Buckets that hold `burst` and fill at this rate.
    pub(crate) fn new(rate: Rate, burst: u32) -> Self {
        Self::remembering(rate, burst, REMEMBERED_MAX)
    }

    fn remembering(rate: Rate, burst: u32, remembered_max: usize) -> Self {
        Self {
            rate,
            burst,
            shards: Default::default(),
            remembered_max: remembered_max / SHARDS,
            hasher: RandomState::new(),
        }
    }

    /// So many in so much time, all of them at once after a pause.
    pub(crate) fn of(rate: Rate) -> Self {
        Self::new(rate, rate.count())
    }

    /// What they hold, and in how many seconds that much comes again.
    pub(crate) fn policy(&self) -> (u32, u64) {
        (self.burst, self.rate.period().as_secs().max(1))
    }

    /// Takes one, where there is one.
    pub(crate) fn take(&self, source: Source, now: Timestamp) -> Taken {
        let source = source.whole();
        let mut shard = self.shard(&source);
        let state = shard.states.get(&source).copied();
        if state.is_none() && shard.states.len() >= self.remembered_max {
            make_room(&mut shard, now);
        }
        // By a clock that was set back nobody is held for longer than the rate holds.
        let state = carry_over(state.unwrap_or_default(), self.rate, self.burst, now);
        let (grant, next) = grant_rate(state, self.rate, self.burst, 1, now);
        let (rest, _) = grant_rate(next, self.rate, self.burst, self.burst, now);
        shard.states.insert(source, next);
        let empty = || seconds(grant_rate(next, self.rate, self.burst, 1, now).0.retry_at, now);
        Taken {
            wait: (grant.count == 0).then(empty),
            left: rest.count,
            reset: if rest.count == 0 {
                empty()
            } else {
                seconds(Some(arrives(next)), now)
            },
        }
    }

    fn shard(&self, source: &Source) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(source);
        let place = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        // Nothing under this lock can panic half way.
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        let len = |shard: &Mutex<Shard>| shard.lock().unwrap().states.len();
        self.shards.iter().map(len).sum()
    }
}

/// When all that was taken has arrived.
fn arrives(state: RateState) -> Timestamp {
    Timestamp::from_millis(state.0.saturating_add(999_999).div_euclid(1_000_000))
}

fn seconds(at: Option<Timestamp>, now: Timestamp) -> u64 {
    let millis = at.map_or(0, |at| at.as_millis() - now.as_millis());
    u64::try_from(millis.max(0)).unwrap_or(0).div_ceil(1000)
}

/// Forgets what is full again: whoever it belongs to is no worse off. Where nothing is, one that is nearly.
fn make_room(shard: &mut Shard, now: Timestamp) {
    let before = shard.states.len();
    if shard
        .swept_at
        .is_none_or(|at| at.plus(SWEEP_EVERY) <= now || now < at)
    {
        shard.swept_at = Some(now);
        shard.states.retain(|_, state| arrives(*state) > now);
    }
    if shard.states.len() == before {
        let some = shard.states.iter().take(LOOKED_AT);
        let nearest = some.min_by_key(|(_, state)| state.0).map(|(source, _)| *source);
        if let Some(source) = nearest {
            shard.states.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_767_225_600_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(START + millis)
    }

    fn from(address: &str) -> Source {
        Source::Address(address.parse().unwrap())
    }

    fn buckets(rate: &str, burst: u32) -> Buckets {
        Buckets::new(rate.parse().unwrap(), burst)
    }

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let buckets = buckets("60/m", 3);
        let mut seen = Vec::new();
        for millis in [0, 0, 0, 0, 999, 1_000, 1_000, 4_000] {
            let taken = buckets.take(from("192.0.2.1"), at(millis));
            seen.push((millis, taken.wait, taken.left, taken.reset));
        }
        assert_eq!(
            seen,
            [
                (0, None, 2, 1),
                (0, None, 1, 2),
                (0, None, 0, 1),
                (0, Some(1), 0, 1),
                (999, Some(1), 0, 1),
                (1_000, None, 0, 1),
                (1_000, Some(1), 0, 1),
                (4_000, None, 2, 1),
            ]
        );
    }

    #[test]
    fn who_waits_as_long_as_told_is_let_in() {
        let buckets = buckets("7/m", 2);
        let mut now = 0;
        let mut waits = 0;
        while waits < 20 {
            let taken = buckets.take(from("192.0.2.1"), at(now));
            if let Some(wait) = taken.wait {
                waits += 1;
                assert_eq!(taken.reset, wait, "Retry-After is never earlier than t");
                now += i64::try_from(wait).unwrap() * 1_000;
                let again = buckets.take(from("192.0.2.1"), at(now));
                assert_eq!(again.wait, None, "after {wait} s");
            }
        }
    }

    #[test]
    fn each_has_a_bucket_of_its_own_and_a_network_has_one() {
        let buckets = buckets("1/m", 1);
        let lets_in = |source| buckets.take(source, at(0)).wait.is_none();
        assert!(lets_in(from("2001:db8:0:1::1")));
        assert!(!lets_in(from("2001:db8:0:1:ffff::2")), "the same /64");
        assert!(lets_in(from("2001:db8:0:2::1")));
        assert!(lets_in(from("192.0.2.1")));
        assert!(!lets_in(from("::ffff:192.0.2.1")), "the same address, mapped");
        assert!(lets_in(from("192.0.2.2")));
        assert!(lets_in(Source::Key(KeyId::new(1))));
        assert!(lets_in(Source::Key(KeyId::new(2))));
        assert!(!lets_in(Source::Key(KeyId::new(1))));
    }

    #[test]
    fn millions_of_addresses_take_no_more_memory_than_some() {
        let buckets = Buckets::remembering("1/m".parse().unwrap(), 1, 1_600);
        for n in 0..100_000_u32 {
            let source = Source::Address(IpAddr::V4(n.into()));
            assert_eq!(buckets.take(source, at(i64::from(n / 1_000))).wait, None);
            assert!(buckets.remembered() <= 1_600, "after {n}");
        }
    }

    #[test]
    fn full_buckets_are_forgotten_before_any_that_count() {
        let buckets = Buckets::remembering("1/m".parse().unwrap(), 1, 1_600);
        // Not so many that the fullest shard is full.
        for n in 0..1_200_u32 {
            buckets.take(Source::Address(IpAddr::V4(n.into())), at(0));
        }
        // All of those are full again; the one that comes now is not.
        let late = from("198.51.100.1");
        buckets.take(late, at(60_000));
        for n in 0..1_200_u32 {
            let source = Source::Address(IpAddr::V4((n + 70_000).into()));
            buckets.take(source, at(60_000));
        }
        assert!(buckets.remembered() <= 1_600);
        assert!(buckets.take(late, at(60_000)).wait.is_some());
    }

    #[test]
    fn a_clock_that_goes_back_lets_nobody_in_twice_nor_keeps_anybody_out_for_good() {
        let buckets = buckets("60/m", 2);
        let source = from("192.0.2.1");
        buckets.take(source, at(10_000));
        buckets.take(source, at(10_000));
        assert!(buckets.take(source, at(9_000)).wait.is_some());
        assert!(buckets.take(source, at(11_000)).wait.is_none());
        let years = 10 * 365 * 86_400_000;
        while buckets.take(source, at(years)).wait.is_none() {}
        let wait = buckets
            .take(source, at(0))
            .wait
            .expect("its bucket is empty still");
        assert!(wait <= 3, "{wait} s");
        let later = i64::try_from(wait).unwrap() * 1_000;
        assert!(buckets.take(source, at(later)).wait.is_none());
    }

    #[test]
    fn a_clock_that_goes_back_makes_room_for_nobody_twice() {
        let buckets = Buckets::remembering("1/m".parse().unwrap(), 1, 160);
        let years = 10 * 365 * 86_400_000;
        for n in 0..1_000_u32 {
            buckets.take(Source::Address(IpAddr::V4(n.into())), at(years));
        }
        let late = from("198.51.100.1");
        assert!(buckets.take(late, at(0)).wait.is_none());
        assert!(buckets.take(late, at(0)).wait.is_some());
        assert!(buckets.remembered() <= 160);
    }
}
