//! What bounds the jobs of one group: defaults in its queue's settings, and what is written for the group itself.
//!
//! Invariant: jobs without a group take their turns as one, but no limit of groups binds them: they are nobody's.

use serde::{Deserialize, Serialize};

use crate::limit::{BURST_MAX, Limits, Rate};
use crate::queue::{SPAN_MAX, SettingError};

/// Limits of a group, as they were written; what is absent is the queue's `group_defaults`, and unbounded where that is
/// silent too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupSpec {
    /// So many of its jobs run at once at most (1 to 100,000).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// So many of its jobs start in so much time at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// So many of them may start at once after a pause (1 to 1,000,000): one second of the rate that is written with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl GroupSpec {
    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), SettingError> {
        if self.concurrency.is_some_and(|n| !(1..=100_000).contains(&n)) {
            return Err(SettingError {
                field: "concurrency",
                rule: "is 1 to 100000",
            });
        }
        check_rate(self.rate, self.burst)
    }

    /// Whether it bounds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With what it leaves open as these defaults have it. A burst goes with the rate it was written for.
    #[must_use]
    pub fn over(&self, defaults: Option<&Self>) -> Self {
        let defaults = defaults.copied().unwrap_or_default();
        let (rate, burst) = match self.rate {
            Some(rate) => (Some(rate), self.burst),
            None => (defaults.rate, defaults.burst),
        };
        Self {
            concurrency: self.concurrency.or(defaults.concurrency),
            rate,
            burst: rate.map(|rate| burst.unwrap_or_else(|| rate.per_second())),
        }
    }

    /// What bounds the group whose limits in force these are.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            concurrency: self.concurrency,
            rate: self
                .rate
                .map(|rate| (rate, self.burst.unwrap_or_else(|| rate.per_second()))),
        }
    }
}

/// Checks a rate and its burst.
pub(crate) fn check_rate(rate: Option<Rate>, burst: Option<u32>) -> Result<(), SettingError> {
    let refused = |rule| Err(SettingError { field: "burst", rule });
    match (rate, burst) {
        (None, Some(_)) => refused("goes with a rate"),
        (_, Some(burst)) if !(1..=BURST_MAX).contains(&burst) => refused("is 1 to 1000000"),
        (Some(rate), Some(burst)) if rate.span(burst) > SPAN_MAX => {
            refused("is at most what the rate lets start in a year")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> GroupSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_a_group_leaves_open_is_its_queues_default() {
        let defaults = spec(r#"{"concurrency":2,"rate":"10/s","burst":30}"#);
        let over = |json: &str| spec(json).over(Some(&defaults));
        assert_eq!(over("{}"), defaults);
        assert_eq!(
            over(r#"{"concurrency":9}"#),
            spec(r#"{"concurrency":9,"rate":"10/s","burst":30}"#)
        );
        assert_eq!(
            over(r#"{"rate":"5/s"}"#),
            spec(r#"{"concurrency":2,"rate":"5/s","burst":5}"#)
        );
        assert_eq!(spec(r#"{"concurrency":9}"#).over(None).limits().rate, None);
    }

    #[test]
    fn limits_out_of_range_are_named() {
        let refused = |json: &str| spec(json).check().unwrap_err().field;
        assert_eq!(refused(r#"{"concurrency":0}"#), "concurrency");
        assert_eq!(refused(r#"{"burst":2}"#), "burst");
        assert_eq!(refused(r#"{"rate":"1/d","burst":400}"#), "burst");
        assert_eq!(spec(r#"{"rate":"1/d","burst":300}"#).check(), Ok(()));
        assert!(serde_json::from_str::<GroupSpec>(r#"{"depth":3}"#).is_err());
    }
}
