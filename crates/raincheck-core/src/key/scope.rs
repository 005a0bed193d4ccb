//! What a key may do.
//!
//! Invariant: `admin` holds the four others, and what each of them allows is one table (the API's).

use std::fmt;
use std::str::FromStr;

/// One thing that a key may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Hand jobs in, change those that wait, submit finished ones again.
    Submit,
    /// Read jobs, results, batches, queues.
    Read,
    /// Cancel jobs and forget finished ones.
    Cancel,
    /// Claim jobs and settle them.
    Work,
    /// Everything, and keys, settings and secrets too.
    Admin,
}

impl Scope {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Submit, Self::Read, Self::Cancel, Self::Work, Self::Admin];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Cancel => "cancel",
            Self::Work => "work",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of submit, read, cancel, work and admin")]
pub struct ParseScopeError;

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, ParseScopeError> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or(ParseScopeError)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing but what `admin` allows, which is everything.
    #[must_use]
    pub const fn all() -> Self {
        Self(Scope::Admin.bit())
    }

    /// Whether it is allowed.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether nothing is.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that were named, in the order in which they are shown.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    /// Separated by spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Scopes {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, ParseScopeError> {
        text.split_ascii_whitespace().map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_holds_all_others_and_no_other_holds_any() {
        for held in Scope::ALL {
            for asked in Scope::ALL {
                let scopes = Scopes::from_iter([held]);
                assert_eq!(
                    scopes.contains(asked),
                    held == asked || held == Scope::Admin,
                    "{held} {asked}"
                );
            }
        }
    }

    #[test]
    fn a_set_is_written_the_way_it_is_read() {
        let scopes: Scopes = "read  submit read".parse().unwrap();
        assert_eq!(scopes.to_string(), "submit read");
        assert_eq!(scopes.to_string().parse(), Ok(scopes));
        assert!("".parse::<Scopes>().unwrap().is_empty());
        assert_eq!("reed".parse::<Scopes>(), Err(ParseScopeError));
    }
}
