//! A key as its owner holds it: `rck_`, the id, `_`, 43 digits of secret and 6 of a checksum over all before them.
//!
//! Invariant: there is one spelling of a key. The checksum tells a mistyped key from a wrong one, and a scanner for
//! leaked secrets a key from other text (`rck_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}`); it protects nothing.

use std::fmt;

use super::KeyId;
use crate::secret::Secret;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits of 256 bits.
const SECRET: usize = 43;
/// Digits of 32 bits.
const CHECK: usize = 6;
/// Before the secret: `rck_`, the id, `_`.
const HEAD: usize = 13;
/// Characters of a key.
const LENGTH: usize = HEAD + SECRET + CHECK;

/// Writes a number (big-endian) in base 62, most significant digit first; what does not fit into `out` is left out.
pub(super) fn encode(number: &[u8], out: &mut [u8]) {
    let mut number = number.to_vec();
    for slot in out.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            // Below 62 * 256 / 62.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *slot = DIGITS[usize::try_from(rest).unwrap_or_default()];
    }
}

/// Reads a number of `N` bytes; `None` where it is larger, or a character is no digit.
fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut number = [0_u8; N];
    for character in text {
        let digit = DIGITS.iter().position(|digit| digit == character)?;
        let mut carry = u32::try_from(digit).ok()?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 62 + carry;
            *byte = u8::try_from(value & 0xff).ok()?;
            carry = value >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

/// CRC-32 as in IEEE 802.3, bit by bit: a key is checked once a request, and is short.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = crc & 1 == 1;
            crc >>= 1;
            if odd {
                crc ^= 0xedb8_8320;
            }
        }
    }
    !crc
}

/// A key with its secret. Shown to its owner once and kept by nobody else.
#[derive(Clone)]
pub struct Token {
    /// Which key it is.
    pub id: KeyId,
    /// What only its owner knows.
    pub secret: Secret,
}

impl Token {
    /// Reads a key; `None` where it is mistyped or was never one.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        if text.len() != LENGTH || !text.starts_with(b"rck_") || text[HEAD - 1] != b'_' {
            return None;
        }
        let id = std::str::from_utf8(&text[4..HEAD - 1]).ok()?.parse().ok()?;
        let secret = decode(&text[HEAD..HEAD + SECRET])?;
        let check: [u8; 4] = decode(&text[HEAD + SECRET..])?;
        (check == crc32(&text[..HEAD + SECRET]).to_be_bytes()).then_some(Self {
            id,
            secret: Secret::new(secret),
        })
    }

    /// The key as its owner writes it. Whoever reads it can use it.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut text = [0; LENGTH];
        text[..4].copy_from_slice(b"rck_");
        text[4..HEAD - 1].copy_from_slice(self.id.as_str().as_bytes());
        text[HEAD - 1] = b'_';
        encode(self.secret.reveal(), &mut text[HEAD..HEAD + SECRET]);
        let check = crc32(&text[..HEAD + SECRET]);
        encode(&check.to_be_bytes(), &mut text[HEAD + SECRET..]);
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rck_{}_…", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_one_that_everybody_means_by_crc32() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_key_is_written_in_one_way() {
        let token = Token {
            id: "aZ09bY18".parse().unwrap(),
            secret: Secret::new([0; 32]),
        };
        let text = token.reveal();
        assert_eq!(
            text,
            "rck_aZ09bY18_0000000000000000000000000000000000000000000".to_owned() + &text[56..]
        );
        assert_eq!(text.len(), 62);
        assert_eq!(format!("{token:?}"), "rck_aZ09bY18_…");
    }

    #[test]
    fn a_key_that_is_mistyped_is_none() {
        let text = Token {
            id: KeyId::new(7),
            secret: Secret::new([0xfe; 32]),
        }
        .reveal();
        for n in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[n] = if wrong[n] == b'x' { b'y' } else { b'x' };
            assert!(Token::read(&wrong).is_none(), "character {n}");
        }
        for wrong in [
            "",
            "rck_",
            &text[1..],
            &text[..61],
            &format!("{text} "),
            &text.replace('_', "-"),
        ] {
            assert!(Token::read(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_of_more_than_256_bits_is_none() {
        let mut text = *b"rck_aaaaaaaa_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz000000";
        let check = crc32(&text[..56]);
        encode(&check.to_be_bytes(), &mut text[56..]);
        assert!(Token::read(&text).is_none());
    }

    proptest! {
        #[test]
        fn every_key_reads_back(random: u64, secret: [u8; 32]) {
            let token = Token { id: KeyId::new(random), secret: Secret::new(secret) };
            let read = Token::read(token.reveal().as_bytes()).unwrap();
            prop_assert_eq!(read.id, token.id);
            prop_assert_eq!(read.secret, token.secret);
        }
    }
}
