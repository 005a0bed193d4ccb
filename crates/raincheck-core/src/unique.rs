//! At most one such job: a value that one job of a queue holds at a time, for how long, and what comes of a second.
//!
//! Invariant: the text form and the stored form say the same; whether a job holds its value is a function of the job
//! ([`holds`](crate::decide::holds)), so that no claim can outlive the job it belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::content::Input;
use crate::name::{NameError, UniqueValue};

/// The value that stands for the hash of the input.
pub const AUTO: &str = "auto";

/// How long a job holds its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// Until it is first claimed, or ends before. A retry of its attempt does not take the value again.
    Queued,
    /// Until it is done.
    #[default]
    Active,
    /// For as long as it is kept.
    Kept,
}

/// What comes of a job whose value another one holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It is refused.
    #[default]
    Reject,
    /// Nothing is made: the submitter is given the one that holds the value.
    Attach,
    /// It takes the place of one that has not started, which is cancelled; where that has started, it is refused.
    Replace,
}

/// That a job is the only one of its queue with this value. Judged when the job is submitted, and never again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The value; its scope is namespace and queue.
    pub value: UniqueValue,
    /// How long this job holds it.
    #[serde(rename = "while", default)]
    pub hold: Hold,
    /// What comes of this job where another one holds it.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// Why a text does not ask for uniqueness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UniqueError {
    /// The value is not a quoted string.
    #[error("takes a quoted value and parameters: \"report-2026-11\";while=active;on-conflict=reject")]
    Form,
    /// The value cannot be one.
    #[error(transparent)]
    Value(#[from] NameError),
    /// The parameter cannot be this.
    #[error("while is queued, active or kept")]
    While,
    /// The parameter cannot be this.
    #[error("on-conflict is reject, attach or replace")]
    OnConflict,
    /// No such parameter.
    #[error("takes the parameters while and on-conflict only, each once")]
    Parameter,
}

impl Hold {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Active => "active",
            Self::Kept => "kept",
        }
    }
}

impl OnConflict {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Attach => "attach",
            Self::Replace => "replace",
        }
    }
}

impl FromStr for Hold {
    type Err = UniqueError;

    fn from_str(text: &str) -> Result<Self, UniqueError> {
        let all = [Self::Queued, Self::Active, Self::Kept];
        all.into_iter()
            .find(|hold| hold.as_str() == text)
            .ok_or(UniqueError::While)
    }
}

impl FromStr for OnConflict {
    type Err = UniqueError;

    fn from_str(text: &str) -> Result<Self, UniqueError> {
        let all = [Self::Reject, Self::Attach, Self::Replace];
        all.into_iter()
            .find(|wanted| wanted.as_str() == text)
            .ok_or(UniqueError::OnConflict)
    }
}

impl Unique {
    /// This value, held while the job is active; a second one is refused.
    #[must_use]
    pub fn new(value: UniqueValue) -> Self {
        Self {
            value,
            hold: Hold::default(),
            on_conflict: OnConflict::default(),
        }
    }

    /// Puts the hash of the input in the place of the value [`AUTO`].
    #[must_use]
    pub fn resolved(self, input: &Input) -> Self {
        if self.value.as_str() != AUTO {
            return self;
        }
        Self {
            value: of_input(input),
            ..self
        }
    }
}

/// The value that stands for an input: a hash of its content type and bytes.
#[must_use]
pub fn of_input(input: &Input) -> UniqueValue {
    let kind = input.content_type.as_deref().unwrap_or_default();
    let mut hash = Sha256::new();
    // Preceded by its length, so that the type cannot run into the bytes.
    hash.update(u64::try_from(kind.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(kind.as_bytes());
    hash.update(&input.body);
    let mut text = String::with_capacity(7 + 64);
    text.push_str("sha256:");
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
    }
    UniqueValue::new(&text).expect("hexadecimal digits are a value")
}

/// A structured field's string and its parameters (RFC 9651 section 3.3): `"report";while=active;on-conflict=reject`.
impl FromStr for Unique {
    type Err = UniqueError;

    fn from_str(text: &str) -> Result<Self, UniqueError> {
        let (value, mut rest) = quoted(text.trim()).ok_or(UniqueError::Form)?;
        let value = UniqueValue::new(&value)?;
        let (mut hold, mut on_conflict) = (None, None);
        while let Some(parameter) = rest.strip_prefix(';') {
            let end = parameter.find(';').unwrap_or(parameter.len());
            let (one, more) = parameter.split_at(end);
            rest = more;
            let (name, word) = one.trim().split_once('=').ok_or(UniqueError::Parameter)?;
            let again = match name {
                "while" => hold.replace(word.parse()?).is_some(),
                "on-conflict" => on_conflict.replace(word.parse()?).is_some(),
                _ => true,
            };
            if again {
                return Err(UniqueError::Parameter);
            }
        }
        if !rest.is_empty() {
            return Err(UniqueError::Form);
        }
        Ok(Self {
            value,
            hold: hold.unwrap_or_default(),
            on_conflict: on_conflict.unwrap_or_default(),
        })
    }
}

impl fmt::Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        let (hold, on_conflict) = (self.hold.as_str(), self.on_conflict.as_str());
        write!(f, "\"{value}\";while={hold};on-conflict={on_conflict}")
    }
}

/// The quoted string at the start of a text, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            // The first quote is a byte long, and so is this one.
            '"' => return Some((value, &text[at + 2..])),
            '\\' => value.push(chars.next().map(|(_, c)| c).filter(|c| matches!(c, '"' | '\\'))?),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, value: &str, hold: Hold, on_conflict: OnConflict) {
        let expected = Unique {
            value: UniqueValue::new(value).unwrap(),
            hold,
            on_conflict,
        };
        assert_eq!(text.parse(), Ok(expected.clone()), "{text}");
        assert_eq!(expected.to_string().parse(), Ok(expected.clone()), "{text}");
        let json = serde_json::to_string(&expected).unwrap();
        assert_eq!(serde_json::from_str::<Unique>(&json).unwrap(), expected);
    }

    #[test]
    fn a_value_is_held_while_active_and_rejects_unless_said() {
        check(r#""a""#, "a", Hold::Active, OnConflict::Reject);
        check(r#""a";while=queued"#, "a", Hold::Queued, OnConflict::Reject);
        check(r#""a"; while=kept"#, "a", Hold::Kept, OnConflict::Reject);
        check(
            r#" "a";on-conflict=attach "#,
            "a",
            Hold::Active,
            OnConflict::Attach,
        );
        check(
            r#""a";on-conflict=replace;while=active"#,
            "a",
            Hold::Active,
            OnConflict::Replace,
        );
        check(
            r#""a \"b\" \\;while=x""#,
            r#"a "b" \;while=x"#,
            Hold::Active,
            OnConflict::Reject,
        );
        check(r#""Größe";while=kept"#, "Größe", Hold::Kept, OnConflict::Reject);
    }

    #[test]
    fn what_is_not_a_quoted_value_with_its_parameters_is_refused() {
        for (text, why) in [
            ("", UniqueError::Form),
            ("a", UniqueError::Form),
            (r#""a"#, UniqueError::Form),
            (r#""a\b""#, UniqueError::Form),
            (r#""a" b"#, UniqueError::Form),
            (r#""a"while=kept"#, UniqueError::Form),
            (r#""a";while=never"#, UniqueError::While),
            (r#""a";while="kept""#, UniqueError::While),
            (r#""a";on-conflict=fail"#, UniqueError::OnConflict),
            (r#""a";on_conflict=reject"#, UniqueError::Parameter),
            (r#""a";while"#, UniqueError::Parameter),
            (r#""a";"#, UniqueError::Parameter),
            (r#""a";while=kept;while=kept"#, UniqueError::Parameter),
        ] {
            assert_eq!(text.parse::<Unique>(), Err(why), "{text}");
        }
        assert!(matches!(r#""""#.parse::<Unique>(), Err(UniqueError::Value(_))));
    }

    #[test]
    fn auto_stands_for_content_type_and_bytes() {
        let auto = || r#""auto";while=kept"#.parse::<Unique>().unwrap();
        let input = |kind: Option<&str>, body: &'static str| Input {
            content_type: kind.map(str::to_owned),
            headers: Vec::new(),
            body: bytes::Bytes::from_static(body.as_bytes()),
        };
        let base = auto().resolved(&input(Some("a/b"), "x"));
        assert_eq!(base.hold, Hold::Kept);
        assert_eq!(base, auto().resolved(&input(Some("a/b"), "x")));
        for (kind, body) in [
            (Some("a/b"), "y"),
            (Some("a/c"), "x"),
            (None, "x"),
            (Some("a/"), "bx"),
        ] {
            assert_ne!(base, auto().resolved(&input(kind, body)));
        }
        let said = r#""mine""#.parse::<Unique>().unwrap();
        assert_eq!(said.clone().resolved(&input(None, "x")), said);
    }
}
