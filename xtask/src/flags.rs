//! Reads a command's flags: `--name value`, `--name=value` and `--name`.
//!
//! Invariant: what is not known is an error, so a misspelt flag never silently does nothing.

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};

/// The flags of one command.
#[derive(Debug)]
pub struct Flags {
    given: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Takes flags with a value (`valued`) and without one (`plain`).
    ///
    /// # Errors
    /// When a word is not one of them.
    pub fn parse(words: &[String], valued: &[&str], plain: &[&str]) -> Result<Self> {
        let mut given = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                bail!("did not expect {word:?}");
            };
            if plain.contains(&name) {
                given.push((name.to_owned(), None));
                continue;
            }
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            if !valued.contains(&name) {
                let known: Vec<String> = valued
                    .iter()
                    .chain(plain)
                    .map(|name| format!("--{name}"))
                    .collect();
                bail!("no such flag: --{name}; there are: {}", known.join(" "));
            }
            let value = value.or_else(|| words.next().cloned());
            let value = value.ok_or_else(|| anyhow!("--{name} needs a value"))?;
            given.push((name.to_owned(), Some(value)));
        }
        Ok(Self { given })
    }

    /// Whether the flag was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given == name)
    }

    /// The flag's value, the last where it was given more than once.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let last = self.given.iter().rev().find(|(given, _)| given == name);
        let Some(text) = last.and_then(|(_, value)| value.as_ref()) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| anyhow!("--{name} cannot be {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn values_come_in_both_forms() {
        let flags = Flags::parse(
            &words("--cycles 5 --seed=7 --keep"),
            &["cycles", "seed"],
            &["keep"],
        )
        .unwrap();
        assert_eq!(flags.value::<u64>("cycles").unwrap(), Some(5));
        assert_eq!(flags.value::<u64>("seed").unwrap(), Some(7));
        assert!(flags.has("keep"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(Flags::parse(&words("--cycle 5"), &["cycles"], &[]).is_err());
        assert!(Flags::parse(&words("--cycles"), &["cycles"], &[]).is_err());
        let flags = Flags::parse(&words("--cycles x"), &["cycles"], &[]).unwrap();
        assert!(flags.value::<u64>("cycles").is_err());
    }
}
