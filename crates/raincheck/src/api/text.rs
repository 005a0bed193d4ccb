//! Texts from outside, made fit to be shown in a detail.
//!
//! Invariant: what is shown is short and holds no control character.

use std::borrow::Cow;

use crate::near::nearest;

pub use crate::base64::decode as base64;
pub use crate::base64::encode as to_base64;

/// So many characters of a caller's text are repeated to them.
const SHOWN: usize = 64;

/// The start of `text`, without control characters.
pub(crate) fn short(text: &str) -> Cow<'_, str> {
    clipped(text, SHOWN)
}

/// At most so many characters of `text`, without control characters.
pub(crate) fn clipped(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(most).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// That there is no such thing of this name, with what was probably meant, or else where one can look.
pub(crate) fn no_such<'a>(
    kind: &str,
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
    look: &str,
) -> String {
    match nearest(name, names) {
        Some(meant) => format!("there is no such {kind}; did you mean {meant}?"),
        None => format!("there is no such {kind}; {look}"),
    }
}

/// Reads a name or value of a query, as forms write them: `%XX`, and `+` for a space; `None` where it is not UTF-8 or
/// not written so.
pub(crate) fn form_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || {
            char::from(bytes.next()?)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        decoded.push(match byte {
            b'%' => digit()? << 4 | digit()?,
            b'+' => b' ',
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_text_is_repeated_short_and_harmless() {
        assert_eq!(short("a\u{1b}[31mb"), "a[31mb…");
        assert_eq!(short(&"x".repeat(99)).chars().count(), SHOWN + 1);
        assert_eq!(short("plain"), "plain");
    }
}
