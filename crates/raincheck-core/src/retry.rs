//! How long a job waits after a failed attempt.
//!
//! Invariant: a delay is never above the cap and never negative; the randomness is the caller's `seed`, so that a
//! decision made twice from the same rows is the same decision.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::time::{format_duration, parse_duration};

/// Attempts a job has unless it or its queue says otherwise.
pub const MAX_ATTEMPTS_DEFAULT: u32 = 5;
/// The most attempts anyone may ask for.
pub const MAX_ATTEMPTS_LIMIT: u32 = 100;

/// The shape of the delays between attempts, before jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// `base` after the first failure, twice that after each further one, at most `cap`.
    Exponential {
        /// The ceiling of the first delay.
        base: Duration,
        /// The ceiling of every delay.
        cap: Duration,
    },
    /// At most `base` after every failure.
    Constant {
        /// The ceiling of every delay.
        base: Duration,
    },
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential {
            base: Duration::from_secs(2),
            cap: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// The longest delay after attempt `attempt` (from 1) failed.
    #[must_use]
    pub fn ceiling(self, attempt: u32) -> Duration {
        match self {
            Self::Exponential { base, cap } => {
                let doublings = attempt.saturating_sub(1).min(63);
                let millis = base.as_millis().saturating_mul(1 << doublings);
                cap.min(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
            }
            Self::Constant { base } => base,
        }
    }

    /// The delay after attempt `attempt` failed: full jitter, that is, evenly spread from zero to the ceiling
    /// ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), but never under `floor` (a handler's
    /// `Retry-After`).
    #[must_use]
    pub fn delay(self, attempt: u32, seed: u64, floor: Duration) -> Duration {
        let ceiling = self.ceiling(attempt).as_millis();
        let spread = ((ceiling + 1) * u128::from(mix(seed))) >> 64;
        Duration::from_millis(u64::try_from(spread).unwrap_or(u64::MAX)).max(floor)
    }
}

/// SplitMix64's output function: makes every bit of the result depend on every bit of the seed.
#[must_use]
pub const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The seed of one job's delay where one `seed` serves many jobs, so that jobs which lost their worker together do
/// not come back together.
#[must_use]
pub const fn seed_for(seed: u64, job: JobId) -> u64 {
    seed ^ mix(job.seq() ^ job.tail())
}

/// Why a text is not a backoff.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a backoff: write exponential;base=2s;cap=10m or constant;base=30s")]
pub struct ParseBackoffError;

impl FromStr for Backoff {
    type Err = ParseBackoffError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut base, mut cap) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=').ok_or(ParseBackoffError)?;
            let slot = match name.trim() {
                "base" => &mut base,
                "cap" => &mut cap,
                _ => return Err(ParseBackoffError),
            };
            let value = parse_duration(value.trim()).map_err(|_| ParseBackoffError)?;
            if slot.replace(value).is_some() {
                return Err(ParseBackoffError);
            }
        }
        match (kind, base, cap) {
            ("exponential", base, cap) => Ok(Self::Exponential {
                base: base.unwrap_or(Duration::from_secs(2)),
                cap: cap.unwrap_or(Duration::from_secs(600)),
            }),
            ("constant", Some(base), None) => Ok(Self::Constant { base }),
            _ => Err(ParseBackoffError),
        }
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exponential { base, cap } => {
                write!(
                    f,
                    "exponential;base={};cap={}",
                    format_duration(*base),
                    format_duration(*cap)
                )
            }
            Self::Constant { base } => write!(f, "constant;base={}", format_duration(*base)),
        }
    }
}

impl Serialize for Backoff {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exponential_delays_double_up_to_the_cap() {
        let backoff = Backoff::default();
        let seconds: Vec<u64> = (1..=10).map(|n| backoff.ceiling(n).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
        assert_eq!(backoff.ceiling(u32::MAX).as_secs(), 600);
    }

    #[test]
    fn a_backoff_is_written_the_way_it_is_read() {
        for text in ["exponential;base=2s;cap=10m", "constant;base=30s"] {
            assert_eq!(text.parse::<Backoff>().unwrap().to_string(), text);
        }
        assert_eq!(" exponential ; base=2s ".parse(), Ok(Backoff::default()));
        for text in [
            "",
            "linear",
            "constant",
            "constant;base=1s;cap=2s",
            "exponential;base=1s;base=2s",
            "exponential;x=1s",
        ] {
            assert_eq!(text.parse::<Backoff>(), Err(ParseBackoffError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_delay_lies_between_its_floor_and_its_ceiling(
            base in 0u64..100_000, cap in 0u64..1_000_000, attempt in 1u32..200, seed: u64, floor in 0u64..2_000_000,
        ) {
            let backoff = Backoff::Exponential { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let floor = Duration::from_millis(floor);
            let delay = backoff.delay(attempt, seed, floor);
            prop_assert!(delay >= floor);
            prop_assert!(delay <= backoff.ceiling(attempt).max(floor));
        }
    }

    #[test]
    fn full_jitter_is_spread_evenly() {
        let backoff = Backoff::Constant {
            base: Duration::from_millis(999),
        };
        let mut tenths = [0u32; 10];
        for seed in 0..10_000 {
            let millis = backoff.delay(1, seed, Duration::ZERO).as_millis();
            tenths[usize::try_from(millis / 100).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|n| (800..1200).contains(n)), "{tenths:?}");
    }
}
