//! The names that callers choose: of namespaces, queues, groups and workers.
//!
//! Invariant: a name that exists is well formed, so nobody checks it twice; cloning one is a counter's increment.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} takes {rule}")]
pub struct NameError {
    kind: &'static str,
    rule: &'static str,
}

fn plain(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn printable(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control) && text.trim() == text
}

const PLAIN: &str = "1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit";
const PRINTABLE: &str = "1 to 255 bytes of text without control characters or outer spaces";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes it a name.
            ///
            /// # Errors
            /// When the text breaks the rule of this kind of name, which the error tells.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { kind: $kind, rule: $rule })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// What one tenant's keys can see. Every store operation takes one; it never appears in a URL.
    Namespace,
    "a namespace",
    plain,
    PLAIN
);
name!(
    /// The name of the line a job waits in.
    QueueName,
    "a queue's name",
    plain,
    PLAIN
);
name!(
    /// Whose job it is: the key of fairness and of per-group limits.
    GroupName,
    "a group",
    printable,
    PRINTABLE
);
name!(
    /// How a worker calls itself; shown with the attempts it ran.
    WorkerName,
    "a worker's name",
    printable,
    PRINTABLE
);

name!(
    /// A label to search jobs by.
    Tag,
    "a tag",
    printable,
    PRINTABLE
);

name!(
    /// What at most one job of a queue may have at a time: see [`unique`](crate::unique).
    UniqueValue,
    "a unique value",
    printable,
    PRINTABLE
);

name!(
    /// What an API key is for, in the words of who made it.
    KeyName,
    "a key's name",
    printable,
    PRINTABLE
);

impl Default for Namespace {
    /// `default`, which everything belongs to when nobody says otherwise.
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_name_fits_into_a_url_as_it_is() {
        for good in ["thumbs", "a", "9to5", "eu.west-1_b", &"x".repeat(128)] {
            assert_eq!(QueueName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "-x", "a/b", "a b", "ü", "a%20b", &"x".repeat(129)] {
            assert!(QueueName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_group_is_any_printable_text() {
        assert!(GroupName::new("tenant 7 / München").is_ok());
        for bad in ["", " x", "a\nb", "\u{1b}[31m", &"x".repeat(256)] {
            assert!(GroupName::new(bad).is_err(), "{bad:?}");
        }
    }
}
