//! Patterns of queue names, such as `thumbs*`.
//!
//! Invariant: matching takes time in proportion to name and pattern together times their stars, which are few.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The most stars in one pattern.
const STARS_MAX: usize = 4;

/// A queue's name in which `*` stands for any characters, also for none.
#[derive(Clone, PartialEq, Eq)]
pub struct QueueGlob(Arc<str>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pattern of queues takes 1 to 128 letters, digits, '.', '_', '-' or '*' (any characters; at most {STARS_MAX} of them)"
)]
pub struct GlobError;

impl QueueGlob {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        // Between the two ends the earliest place of each part leaves most room for the next.
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl FromStr for QueueGlob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'*');
        let stars = text.bytes().filter(|b| *b == b'*').count();
        if (1..=128).contains(&text.len()) && text.bytes().all(fits) && stars <= STARS_MAX {
            Ok(Self(text.into()))
        } else {
            Err(GlobError)
        }
    }
}

impl fmt::Display for QueueGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for QueueGlob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for QueueGlob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(glob: &str, name: &str) -> bool {
        glob.parse::<QueueGlob>().unwrap().matches(name)
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (glob, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*b", "ab", true),
            ("a*b", "a-b", true),
            ("a*b", "a", false),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("*a*", "xay", true),
            ("*a*b*", "xbya", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn what_no_name_can_hold_is_no_pattern() {
        for text in ["", "a b", "a/b", "[a]", "a?", "*****", "ü", &"x".repeat(129)] {
            assert_eq!(text.parse::<QueueGlob>(), Err(GlobError), "{text:?}");
        }
    }

    /// The meaning itself, slowly.
    fn slowly(glob: &[u8], name: &[u8]) -> bool {
        match glob.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| slowly(rest, &name[n..])),
            Some((byte, rest)) => name.first() == Some(byte) && slowly(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_meaning_says(glob in "[ab*]{1,7}", name in "[ab]{0,8}") {
            if let Ok(parsed) = glob.parse::<QueueGlob>() {
                prop_assert_eq!(parsed.matches(&name), slowly(glob.as_bytes(), name.as_bytes()));
            }
        }
    }
}
