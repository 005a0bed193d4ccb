//! The API key that the command line sends.
//!
//! Invariant: no output and no `Debug` shows it, and it goes to the server that was named and to no other.

use std::convert::Infallible;

use http::HeaderValue;
use raincheck::core::key::Token;
use raincheck::core::secret::Secret;

use crate::exit::Failed;

/// Names a file that holds the key, for those who keep secrets in files.
const FILE: &str = "RAINCHECK_API_KEY_FILE";

/// A key as its owner has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKey(Secret<String>);

impl std::str::FromStr for ApiKey {
    type Err = Infallible;

    /// Takes any text: a refusal of the command line's parser would show it. [`ApiKey::checked`] looks at it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Secret::new(text.trim().to_owned())))
    }
}

impl ApiKey {
    /// The key itself, for programs that are given it.
    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// The header that presents it.
    pub(crate) fn header(&self) -> HeaderValue {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", self.reveal())).expect("a key is letters and digits");
        value.set_sensitive(true);
        value
    }

    /// The key, where it is one; nothing, where it is empty.
    ///
    /// # Errors
    /// When it is mistyped; it is not shown.
    pub(crate) fn checked(self) -> Result<Option<Self>, Failed> {
        if self.reveal().is_empty() {
            return Ok(None);
        }
        match Token::read(self.reveal().as_bytes()) {
            Some(_) => Ok(Some(self)),
            None => Err(Failed::usage(
                "the API key is none, or mistyped: a key begins with rck_ and has 62 characters",
            )),
        }
    }

    /// The key in the file that the environment names, where it names one.
    ///
    /// # Errors
    /// When the file cannot be read or holds none.
    pub(crate) fn from_file() -> Result<Option<Self>, Failed> {
        let Some(path) = std::env::var_os(FILE).filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let shown = path.to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| Failed::usage(format!("{FILE}: {shown}: {error}")))?;
        let Ok(key) = text.parse::<Self>();
        key.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck::core::key::KeyId;

    #[test]
    fn a_key_is_sent_and_never_shown() {
        let text = Token {
            id: KeyId::new(7),
            secret: Secret::new([9; 32]),
        }
        .reveal();
        let key: ApiKey = format!("{text}\n").parse().unwrap();
        assert_eq!(key.header().to_str().unwrap(), format!("Bearer {text}"));
        assert_eq!(
            format!("{key:?} {:?}", key.header()),
            "ApiKey(Secret(…)) Sensitive"
        );
        let checked = |text: &str| text.parse::<ApiKey>().unwrap().checked();
        assert_eq!(checked(&text).unwrap(), Some(key));
        assert_eq!(checked(" ").unwrap(), None);
        let refused = checked(&text[..61]).unwrap_err().to_string();
        assert!(!refused.contains(&text[13..20]), "{refused}");
    }
}
