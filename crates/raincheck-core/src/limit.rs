//! The arithmetic of limits: how many of the wanted jobs may start now, and when the next may.
//!
//! A rate is kept by GCRA, the generic cell rate algorithm (ITU-T I.371, annex A; "theoretical arrival time"),
//! whose whole state is one instant. Invariant: within any span of time `t` at most `burst + rate * t` are granted.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The largest burst that may be set.
pub const BURST_MAX: u32 = 1_000_000;

/// So many in so much time, such as `50/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    period: Duration,
}

impl Rate {
    /// `count` (at least 1) per `period` (at least a millisecond).
    #[must_use]
    pub const fn new(count: u32, period: Duration) -> Option<Self> {
        if count == 0 || period.as_millis() == 0 {
            None
        } else {
            Some(Self { count, period })
        }
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// In how much time.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }

    /// How many one second's worth is, at least 1: the burst unless said otherwise.
    #[must_use]
    pub fn per_second(self) -> u32 {
        let per_second = u128::from(self.count) * 1000 / self.period.as_millis();
        u32::try_from(per_second).unwrap_or(u32::MAX).max(1)
    }

    /// How long so many take at an even pace.
    #[must_use]
    pub fn span(self, count: u32) -> Duration {
        let nanos = self.interval_nanos().saturating_mul(i128::from(count));
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// Nanoseconds between two at an even pace; rounded up, so that rounding never lets more start.
    fn interval_nanos(self) -> i128 {
        i128::try_from(self.period.as_nanos().div_ceil(u128::from(self.count)))
            .unwrap_or(i128::MAX)
            .max(1)
    }
}

/// Why a text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: write one such as 50/s, 10/m or 1000/h")]
pub struct ParseRateError;

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, unit) = text.split_once('/').ok_or(ParseRateError)?;
        let period = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(ParseRateError),
        };
        let count = count.parse().map_err(|_| ParseRateError)?;
        Self::new(count, Duration::from_secs(period)).ok_or(ParseRateError)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.period.as_secs() {
            60 => "m",
            3600 => "h",
            86_400 => "d",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The state of a rate: the theoretical arrival time, in nanoseconds since the epoch. Zero when never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RateState(pub i64);

impl RateState {
    /// From when on it says nothing any more: it is as if the rate had never been used.
    #[must_use]
    pub const fn over_at(self) -> Timestamp {
        Timestamp::from_millis(self.0.div_euclid(1_000_000) + 1)
    }
}

/// What bounds the jobs of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// So many run at once at most.
    pub concurrency: Option<u32>,
    /// So many start in so much time at most, with so many at once after a pause.
    pub rate: Option<(Rate, u32)>,
}

/// How much of its limits is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Jobs that run.
    pub running: u32,
    /// Where its rate stands.
    pub rate: RateState,
}

/// Which limit holds jobs back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// Others must end first.
    Concurrency,
    /// Time must go by.
    Rate,
}

/// What holds jobs back, and until when, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The limit.
    pub by: HeldBy,
    /// When the next may start, as far as this limit goes; `None` where only the end of another helps.
    pub until: Option<Timestamp>,
}

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How many may start now.
    pub count: u32,
    /// When asking again can help; `None` where everything was granted, or where only a settle can help.
    pub retry_at: Option<Timestamp>,
}

/// Grants up to `wanted` under `rate` with `burst`, and says what the state becomes when they are taken.
#[must_use]
pub fn grant_rate(
    state: RateState,
    rate: Rate,
    burst: u32,
    wanted: u32,
    now: Timestamp,
) -> (Grant, RateState) {
    let interval = rate.interval_nanos();
    let now_nanos = i128::from(now.as_millis()) * 1_000_000;
    // How far ahead of an even pace the limit lets one run, counting the one that starts now.
    let tolerance = interval.saturating_mul(i128::from(burst.max(1)));
    let arrival = i128::from(state.0).max(now_nanos);
    let room = (tolerance - (arrival - now_nanos)).max(0) / interval;
    let count = u32::try_from(room).unwrap_or(u32::MAX).min(wanted);
    let arrival = arrival.saturating_add(interval.saturating_mul(i128::from(count)));
    let next = RateState(i64::try_from(arrival).unwrap_or(i64::MAX));
    let retry_at = (count < wanted).then(|| {
        let nanos = arrival - tolerance + interval;
        let millis = (nanos + 999_999).div_euclid(1_000_000);
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    });
    (Grant { count, retry_at }, next)
}

/// Where a state stands under another limit, or by a clock that was set back: no worse than if the burst had just been
/// used. To be done once, when either has happened.
#[must_use]
pub fn carry_over(state: RateState, rate: Rate, burst: u32, now: Timestamp) -> RateState {
    let tolerance = rate.interval_nanos().saturating_mul(i128::from(burst.max(1)));
    let latest = (i128::from(now.as_millis()) * 1_000_000).saturating_add(tolerance);
    RateState(i64::try_from(latest).unwrap_or(i64::MAX).min(state.0))
}

/// Grants up to `wanted` where `running` of at most `limit` run already.
#[must_use]
pub const fn grant_concurrency(limit: Option<u32>, running: u32, wanted: u32) -> Grant {
    let count = match limit {
        Some(limit) => {
            let free = limit.saturating_sub(running);
            if free < wanted { free } else { wanted }
        }
        None => wanted,
    };
    Grant {
        count,
        retry_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000_000 + millis)
    }

    #[test]
    fn a_rate_is_written_the_way_it_is_read() {
        for text in ["50/s", "10/m", "1000/h", "7/d"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["", "50", "0/s", "-1/s", "5/w", "5 /s", "1.5/s"] {
            assert_eq!(text.parse::<Rate>(), Err(ParseRateError), "{text:?}");
        }
    }

    #[test]
    fn a_burst_is_granted_at_once_and_then_one_each_interval() {
        let rate = "10/s".parse().unwrap();
        let (grant, state) = grant_rate(RateState::default(), rate, 3, 5, at(0));
        assert_eq!(
            grant,
            Grant {
                count: 3,
                retry_at: Some(at(100))
            }
        );
        let (grant, _) = grant_rate(state, rate, 3, 1, at(99));
        assert_eq!(
            grant,
            Grant {
                count: 0,
                retry_at: Some(at(100))
            }
        );
        let (grant, state) = grant_rate(state, rate, 3, 1, at(100));
        assert_eq!(
            grant,
            Grant {
                count: 1,
                retry_at: None
            }
        );
        let (grant, _) = grant_rate(state, rate, 3, 9, at(10_000));
        assert_eq!(grant.count, 3, "idle time does not save up more than the burst");
    }

    #[test]
    fn a_state_of_another_time_holds_nothing_back_for_longer_than_a_burst_takes() {
        let rate = "1/s".parse().unwrap();
        let (_, state) = grant_rate(RateState::default(), rate, 100, 100, at(3_600_000));
        let state = carry_over(state, rate, 5, at(0));
        let (grant, _) = grant_rate(state, rate, 5, 9, at(0));
        assert_eq!((grant.count, grant.retry_at), (0, Some(at(1000))));
        assert_eq!(
            carry_over(state, rate, 5, at(700)),
            state,
            "what is no further stays"
        );
    }

    #[test]
    fn a_state_says_nothing_from_its_end_on() {
        let rate = "3/s".parse().unwrap();
        let (_, state) = grant_rate(RateState::default(), rate, 2, 2, at(0));
        assert_eq!(state.over_at(), at(667));
        let fresh = grant_rate(RateState::default(), rate, 2, 2, at(667));
        assert_eq!(grant_rate(state, rate, 2, 2, at(667)), fresh);
        assert_ne!(grant_rate(state, rate, 2, 2, at(666)), fresh);
    }

    #[test]
    fn concurrency_leaves_what_is_free() {
        assert_eq!(grant_concurrency(Some(4), 3, 9).count, 1);
        assert_eq!(grant_concurrency(Some(4), 9, 9).count, 0);
        assert_eq!(grant_concurrency(None, 9, 9).count, 9);
    }

    proptest! {
        #[test]
        fn no_span_of_time_sees_more_than_burst_and_rate(
            per_second in 1u32..5_000, burst in 1u32..50, steps in prop::collection::vec((0i64..400, 1u32..60), 1..60),
        ) {
            let rate = Rate::new(per_second, Duration::from_secs(1)).unwrap();
            let (mut state, mut now, mut seen) = (RateState::default(), 0, Vec::new());
            for (pause, wanted) in steps {
                now += pause;
                let (grant, next) = grant_rate(state, rate, burst, wanted, at(now));
                prop_assert!(grant.count <= wanted);
                prop_assert_eq!(grant.retry_at.is_some(), grant.count < wanted);
                if let Some(retry_at) = grant.retry_at {
                    let (again, _) = grant_rate(next, rate, burst, 1, retry_at);
                    prop_assert_eq!(again.count, 1, "asking again when told to is granted");
                }
                state = next;
                seen.push((now, i64::from(grant.count)));
            }
            for (i, (start, _)) in seen.iter().enumerate() {
                let mut total = 0;
                for (instant, count) in &seen[i..] {
                    total += count;
                    let allowed = i64::from(burst) + (instant - start) * i64::from(per_second) / 1000;
                    prop_assert!(total <= allowed, "{total} in {} ms, {allowed} allowed", instant - start);
                }
            }
        }
    }
}
