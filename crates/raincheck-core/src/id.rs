//! Identities: of a job, of one claim of it, and the generator of ids that grow.
//!
//! A [`JobId`] is a UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, a 12-bit counter, 8 bits of shard
//! (0 today) and 54 random bits; shown as a TypeID (`job_` and 26 characters of Crockford's base32).
//! Invariant: ids from one [`IdGenerator`] grow strictly, so a job's id is also its place in the listing.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id that this server gave out")]
pub struct ParseIdError;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What each byte stands for in that alphabet; 255 where for nothing.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut digit = 0_u8;
    while digit < 32 {
        digits[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    digits
};

/// Writes the low `5 * digits` bits of `value`, most significant first.
fn encode(mut value: u128, out: &mut [u8]) {
    // Twelve digits at a time: arithmetic on one machine word is several times as fast.
    for word in out.rchunks_mut(12) {
        let mut low = (value & ((1 << 60) - 1)) as u64;
        value >>= 60;
        for slot in word.iter_mut().rev() {
            *slot = ALPHABET[(low & 31) as usize];
            low >>= 5;
        }
    }
}

/// Reads lower-case base32; refuses a value that needs more than `bits` bits.
fn decode(text: &[u8], bits: u32) -> Result<u128, ParseIdError> {
    let mut value: u128 = 0;
    for byte in text {
        let digit = DIGITS[usize::from(*byte)];
        if digit > 31 || value >> 123 != 0 {
            return Err(ParseIdError);
        }
        value = value << 5 | u128::from(digit);
    }
    if bits < 128 && value >> bits != 0 {
        return Err(ParseIdError);
    }
    Ok(value)
}

const TAIL_BITS: u32 = 62;
const TAIL_MASK: u64 = (1 << TAIL_BITS) - 1;

/// The identity of a job; opaque to clients, never an authorisation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

impl JobId {
    /// From its two halves: `seq` is milliseconds and counter (60 bits), `tail` shard and random bits (62 bits).
    #[must_use]
    pub fn from_parts(seq: u64, tail: u64) -> Self {
        let low = u128::from(tail & TAIL_MASK);
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&((seq & 0xfff) as u16).to_be_bytes());
        bytes[2..].copy_from_slice(&(tail & TAIL_MASK).to_be_bytes());
        let uuid =
            uuid::Builder::from_unix_timestamp_millis((seq >> 12) & 0xffff_ffff_ffff, &bytes).into_uuid();
        debug_assert_eq!(uuid.as_u128() & u128::from(TAIL_MASK), low);
        Self(uuid.as_u128())
    }

    /// Milliseconds and counter: 60 bits that grow with every id, the key a store sorts by.
    #[must_use]
    pub const fn seq(self) -> u64 {
        ((self.0 >> 80) as u64) << 12 | (self.0 >> 64 & 0xfff) as u64
    }

    /// Shard and random bits: 62 bits that make the id hard to guess.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves 62 bits")]
    pub const fn tail(self) -> u64 {
        (self.0 & TAIL_MASK as u128) as u64
    }

    /// The instant the id was made, to the millisecond.
    #[must_use]
    pub const fn created_at(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as i64)
    }

    /// The id as a UUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }

    fn of_digits(digits: &[u8]) -> Result<Self, ParseIdError> {
        let uuid = Uuid::from_u128(decode(digits, 128)?);
        if uuid.get_version_num() != 7 || uuid.get_variant() != uuid::Variant::RFC4122 {
            return Err(ParseIdError);
        }
        Ok(Self(uuid.as_u128()))
    }

    /// The id as it is shown, without an allocation: an answer shows it many times.
    #[must_use]
    pub fn text(self) -> IdText {
        let mut text = *b"job_00000000000000000000000000";
        encode(self.0, &mut text[4..]);
        IdText(text)
    }
}

/// A [`JobId`] as it is shown: `job_` and 26 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdText([u8; 30]);

impl IdText {
    /// The text's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .strip_prefix("job_")
            .filter(|d| d.len() == 26)
            .ok_or(ParseIdError)?;
        Self::of_digits(digits.as_bytes())
    }
}

impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes job ids that grow strictly, whatever the clock does.
#[derive(Debug)]
pub struct IdGenerator(AtomicU64);

impl IdGenerator {
    /// A generator whose first id comes after `last_seq`, the greatest [`JobId::seq`] already given out.
    #[must_use]
    pub const fn after(last_seq: u64) -> Self {
        Self(AtomicU64::new(last_seq))
    }

    /// The next id: made of `now`, or of the id before where that is later (more than 4,096 in a millisecond
    /// borrow from the next one). `random` gives its low 54 bits.
    pub fn next(&self, now: Timestamp, random: u64) -> JobId {
        let floor = u64::try_from(now.as_millis()).unwrap_or(0) << 12;
        let step = |last: u64| floor.max(last + 1);
        let last = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(step(last)));
        let last = last.unwrap_or_else(|last| last);
        JobId::from_parts(step(last), random & ((1 << 54) - 1))
    }
}

/// A number that grows with every claim of one job, so that a handler's own resources can refuse an old holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u32);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The 96 random bits that make a lease a capability.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 12]);

impl Nonce {
    fn as_u128(self) -> u128 {
        self.0
            .iter()
            .fold(0, |value, byte| value << 8 | u128::from(*byte))
    }

    fn from_u128(value: u128) -> Self {
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&value.to_be_bytes()[4..]);
        Self(bytes)
    }
}

impl fmt::Debug for Nonce {
    /// Hides the bits: who knows them holds the lease.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(…)")
    }
}

/// Names one claim of one job and is the capability to renew and settle it. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// The job that was claimed.
    pub job: JobId,
    /// The fence of that claim.
    pub fence: Fence,
    /// The secret part.
    pub nonce: Nonce,
}

/// Characters of a lease id after `l_`: 26 of job, 7 of fence, 20 of nonce.
const LEASE_DIGITS: usize = 53;

/// A [`LeaseId`] as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseText([u8; 2 + LEASE_DIGITS]);

impl LeaseText {
    /// The text's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl LeaseId {
    /// The id as it is shown, without an allocation.
    #[must_use]
    pub fn text(&self) -> LeaseText {
        let mut text = [b'0'; 2 + LEASE_DIGITS];
        text[..2].copy_from_slice(b"l_");
        encode(self.job.0, &mut text[2..28]);
        encode(u128::from(self.fence.0), &mut text[28..35]);
        encode(self.nonce.as_u128(), &mut text[35..]);
        LeaseText(text)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl FromStr for LeaseId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("l_").ok_or(ParseIdError)?.as_bytes();
        if digits.len() != LEASE_DIGITS {
            return Err(ParseIdError);
        }
        let job = JobId::of_digits(&digits[..26])?;
        let fence = decode(&digits[26..33], 32)?;
        let nonce = decode(&digits[33..], 96)?;
        Ok(Self {
            job,
            fence: Fence(u32::try_from(fence).map_err(|_| ParseIdError)?),
            nonce: Nonce::from_u128(nonce),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the TypeID specification's list of valid ids (spec/valid.yml): the UUID and its base32.
    #[test]
    fn ids_are_written_as_the_typeid_specification_says() {
        for (uuid, text) in [
            (
                "00000000-0000-0000-0000-000000000000",
                "00000000000000000000000000",
            ),
            (
                "00000000-0000-0000-0000-000000000010",
                "0000000000000000000000000g",
            ),
            (
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "7zzzzzzzzzzzzzzzzzzzzzzzzz",
            ),
            (
                "01890a5d-ac96-774b-bcce-b302099a8057",
                "01h455vb4pex5vsknk084sn02q",
            ),
        ] {
            let value = Uuid::parse_str(uuid).unwrap().as_u128();
            let mut out = [0; 26];
            encode(value, &mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(text));
            assert_eq!(decode(text.as_bytes(), 128), Ok(value));
        }
        let id: JobId = "job_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        assert_eq!(id.to_string(), "job_01h455vb4pex5vsknk084sn02q");
        assert_eq!(id.as_uuid().to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
    }

    #[test]
    fn a_text_that_nobody_was_given_is_refused() {
        for text in [
            "",
            "job_",
            "job_01h455vb4pex5vsknk084sn02",
            "job_01h455vb4pex5vsknk084sn02qq",
            "job_01H455VB4PEX5VSKNK084SN02Q",
            "job_81h455vb4pex5vsknk084sn02q",
            "job_01h455vb4pex5vsknk084sn02u",
            "job_00000000000000000000000000",
            "batch_01h455vb4pex5vsknk084sn02q",
            "jöb_01h455vb4pex5vsknk084sn02q",
        ] {
            assert_eq!(text.parse::<JobId>(), Err(ParseIdError), "{text:?}");
        }
        for text in ["l_", "l_é", "l_01h455vb4pex5vsknk084sn02q"] {
            assert_eq!(text.parse::<LeaseId>(), Err(ParseIdError), "{text:?}");
        }
    }

    #[test]
    fn an_id_is_its_parts() {
        let seq = 1_795_227_064_120 << 12 | 77;
        let id = JobId::from_parts(seq, u64::MAX);
        assert_eq!((id.seq(), id.tail()), (seq, TAIL_MASK));
        assert_eq!(id.created_at().as_millis(), 1_795_227_064_120);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn ids_grow_even_when_the_clock_does_not() {
        let ids = IdGenerator::after(0);
        let late = Timestamp::from_millis(2_000);
        let mut last = ids.next(late, 1);
        for i in 0..10_000 {
            let next = ids.next(
                if i % 2 == 0 {
                    Timestamp::from_millis(1_000)
                } else {
                    late
                },
                u64::MAX,
            );
            assert!(next.seq() > last.seq());
            last = next;
        }
        assert_eq!(last.tail() >> 54, 0, "the shard bits stay free");
    }

    #[test]
    fn a_lease_id_reads_back() {
        let lease = LeaseId {
            job: JobId::from_parts(1 << 40, 9),
            fence: Fence(u32::MAX),
            nonce: Nonce([0xab; 12]),
        };
        assert_eq!(lease.to_string().parse(), Ok(lease));
        assert!(!format!("{lease:?}").contains("ab"), "the nonce is not logged");
    }
}
