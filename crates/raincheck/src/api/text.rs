//! Texts from outside, made fit to be shown in a detail.
//!
//! Invariant: what is shown is short and holds no control character.

use std::borrow::Cow;

/// So many characters of a caller's text are repeated to them.
const SHOWN: usize = 64;

/// The start of `text`, without control characters.
pub(crate) fn short(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// Reads base64 (RFC 4648 section 4, with padding); `None` where it is not.
#[must_use]
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut decoded = Vec::with_capacity(bytes.len() / 4 * 3);
    let digits = &bytes[..bytes.len() - padding];
    let (mut held, mut bits) = (0u32, 0u32);
    for byte in digits {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    // Bits that belong to no byte must be zero, so that one value has one spelling.
    (held & ((1 << bits) - 1) == 0).then_some(decoded)
}

/// Writes base64 (RFC 4648 section 4, with padding).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let held = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(held >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
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
    fn base64_is_read_as_the_rfc_says() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
            assert_eq!(to_base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64("/+8=").as_deref(), Some(&[0xff, 0xef][..]));
        assert_eq!(to_base64(&[0xff, 0xef]), "/+8=");
        for text in [
            "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z g=", "Zg==Zg==", "Zm9v\n", "-_8=", "====", "A===",
        ] {
            assert_eq!(base64(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_callers_text_is_repeated_short_and_harmless() {
        assert_eq!(short("a\u{1b}[31mb"), "a[31mb…");
        assert_eq!(short(&"x".repeat(99)).chars().count(), SHOWN + 1);
        assert_eq!(short("plain"), "plain");
    }
}
