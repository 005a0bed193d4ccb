//! Instants and durations as Raincheck writes them.
//!
//! Invariant: a [`Timestamp`] has millisecond precision everywhere, in rows, in JSON and in comparisons, so that
//! what a client reads back is what was decided on.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant in UTC: milliseconds since the Unix epoch. Shown as RFC 3339 with three decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that RFC 3339 can write in every time zone; sums stop here instead of overflowing.
    pub const MAX: Self = Self(253_402_207_200_000);

    /// From milliseconds since the epoch, cut to what lies between the epoch and [`Timestamp::MAX`].
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self(0)
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant and `duration` more; stops at [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }

    /// How far this is from another, before it or after: a clock that was set back leaves instants ahead.
    #[must_use]
    pub const fn apart(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }
}

/// A [`Timestamp`] as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeText([u8; 24]);

impl TimeText {
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

/// Writes a number into decimal digits, the last ones where there are more.
fn digits(out: &mut [u8], mut number: u32) {
    for slot in out.iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since the epoch, by the proleptic Gregorian calendar. Years begin in March here, so that
/// the leap day is the last of one: 146,097 days are 400 years, 153 days are five months from March on.
const fn civil(day: u32) -> (u32, u32, u32) {
    // From the first of March of the year 0.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let january = month >= 10;
    let month = if january { month - 9 } else { month + 3 };
    (era * 400 + year + january as u32, month, day)
}

impl Timestamp {
    /// The instant as it is shown, without an allocation: an answer shows several.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the year 9999 has less than 2^22 days, a day 86,400 seconds"
    )]
    pub fn text(self) -> TimeText {
        let seconds = self.0.unsigned_abs() / 1_000;
        let millis = (self.0.unsigned_abs() % 1_000) as u32;
        let (day, second) = ((seconds / 86_400) as u32, (seconds % 86_400) as u32);
        let (year, month, day) = civil(day);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], second / 3_600);
        digits(&mut text[14..16], second / 60 % 60);
        digits(&mut text[17..19], second % 60);
        digits(&mut text[20..23], millis);
        TimeText(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an instant: write RFC 3339 such as 2026-11-21T06:00:00Z, or @ and seconds since 1970")]
pub struct ParseTimestampError;

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// RFC 3339 with an offset, or `@` and Unix seconds (with decimals if wanted).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(seconds) = text.strip_prefix('@') {
            let (whole, decimals) = seconds.split_once('.').unwrap_or((seconds, ""));
            let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
            if whole.is_empty() || !digits(whole) || !digits(decimals) {
                return Err(ParseTimestampError);
            }
            let whole: i64 = whole.parse().map_err(|_| ParseTimestampError)?;
            let millis: i64 = format!("{decimals:0<3}")[..3]
                .parse()
                .map_err(|_| ParseTimestampError)?;
            return Ok(Self::from_millis(
                whole.saturating_mul(1000).saturating_add(millis),
            ));
        }
        let text = short_fraction(text);
        match text.parse::<jiff::Timestamp>() {
            Ok(instant) => Ok(Self::from_millis(instant.as_millisecond())),
            // The last day of the year 9999 is after the last instant that can be written everywhere.
            Err(_) => last_day(&text).then_some(Self::MAX).ok_or(ParseTimestampError),
        }
    }
}

/// The text with nine decimals of a second at most: RFC 3339 sets no limit, and none beyond the third is of use here.
fn short_fraction(text: &str) -> std::borrow::Cow<'_, str> {
    let Some((before, after)) = text.split_once('.') else {
        return text.into();
    };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    match digits > 9 {
        true => format!("{before}.{}{}", &after[..9], &after[digits..]).into(),
        false => text.into(),
    }
}

/// Whether this is an instant of one of the last two days of the year 9999: the same of the year before is one, as far as both are written
/// alike.
fn last_day(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("9999-12-3")
        .filter(|rest| rest.starts_with(['0', '1']))
    else {
        return false;
    };
    format!("9998-12-3{rest}").parse::<jiff::Timestamp>().is_ok()
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: write one such as 500ms, 30s, 10m, 1h30m or 7d")]
pub struct ParseDurationError;

/// Reads `500ms`, `30s`, `1h30m`, `7d`: units `ms s m h d w`, a day being 24 hours. Never negative; a bare number
/// is refused, since its unit would be a guess.
///
/// # Errors
/// When the text is anything else, or more than a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    let looks_friendly =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_alphabetic());
    if !looks_friendly {
        return Err(ParseDurationError);
    }
    let span: jiff::Span = text.parse().map_err(|_| ParseDurationError)?;
    let signed = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| ParseDurationError)?;
    let duration = Duration::try_from(signed).map_err(|_| ParseDurationError)?;
    if duration > Duration::from_secs(100 * 366 * 86_400) {
        return Err(ParseDurationError);
    }
    Ok(Duration::from_millis(
        u64::try_from(duration.as_millis()).map_err(|_| ParseDurationError)?,
    ))
}

/// Writes a duration the way [`parse_duration`] reads it: `0s`, `250ms`, `1m30s`, `24h`, `7d`. Less than a
/// millisecond is not shown.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    use fmt::Write as _;
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let day = 86_400_000;
    if millis.is_multiple_of(day) && millis >= 2 * day {
        return format!("{}d", millis / day);
    }
    let mut text = String::new();
    for (count, unit) in [
        (millis / 3_600_000, "h"),
        (millis / 60_000 % 60, "m"),
        (millis / 1000 % 60, "s"),
        (millis % 1000, "ms"),
    ] {
        if count > 0 {
            // Writing to a string does not fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    text
}

/// `#[serde(with = "time::text")]` for a [`Duration`] written as text.
pub mod text {
    use super::{Duration, format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::borrow::Cow;

    /// Writes the duration as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    /// Reads the duration from text.
    ///
    /// # Errors
    /// When the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&Cow::<'de, str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// The same for an optional duration.
    pub mod option {
        use super::{
            Cow, Deserialize, Deserializer, Duration, Error, Serializer, format_duration, parse_duration,
        };

        /// Writes the duration as text, or null.
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => serializer.serialize_str(&format_duration(*duration)),
                None => serializer.serialize_none(),
            }
        }

        /// Reads the duration from text, or null.
        ///
        /// # Errors
        /// When the text is not a duration.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Option::<Cow<'de, str>>::deserialize(deserializer)?
                .map(|text| parse_duration(&text).map_err(D::Error::custom))
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_its_calendar_says() {
        let days = (0..2_932_896).step_by(11).map(|day| day * 86_400_000);
        let odd = [
            0,
            1,
            951_782_399_999,
            951_782_400_000,
            4_107_542_400_000,
            Timestamp::MAX.0,
        ];
        for millis in days.chain(odd) {
            let instant = jiff::Timestamp::from_millisecond(millis).unwrap();
            assert_eq!(Timestamp(millis).to_string(), format!("{instant:.3}"));
        }
        let instant = Timestamp(1_795_227_064_123);
        assert_eq!(format!("{instant:>26}"), "  2026-11-21T02:11:04.123Z");
    }

    #[test]
    fn a_timestamp_shows_three_decimals_and_reads_back() {
        let instant = Timestamp::from_millis(1_795_227_064_120);
        assert_eq!(instant.to_string(), "2026-11-21T02:11:04.120Z");
        assert_eq!("2026-11-21T03:11:04.12+01:00".parse(), Ok(instant));
        assert_eq!("@1795227064.12".parse(), Ok(instant));
        assert_eq!("2026-11-21T02:11:04.120123456789Z".parse(), Ok(instant));
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00.000Z");
        for later in [
            "9999-12-30T23:00:00Z",
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59-10:00",
        ] {
            assert_eq!(later.parse(), Ok(Timestamp::MAX), "{later}");
        }
    }

    #[test]
    fn a_text_that_is_no_instant_is_refused() {
        for text in [
            "",
            "@",
            "@-1",
            "@1.x",
            "2026-11-21",
            "2026-11-21T02:11:04",
            "tomorrow",
            "9999-12-32T00:00:00Z",
            "9999-12-31",
            "2026-11-21T02:11:04.1201234567890x",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(ParseTimestampError), "{text:?}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1m30s", 90_000),
            ("7d", 604_800_000),
            ("0s", 0),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "10",
            "-5s",
            "5 parsecs",
            "1mo",
            "1y",
            "5s ago",
            "P1D",
            "PT5S",
            "200000d",
            "1e3s",
        ] {
            assert_eq!(parse_duration(text), Err(ParseDurationError), "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_written_the_way_it_is_read() {
        for text in ["0s", "250ms", "1m30s", "24h", "7d", "2d", "1h1s", "36h"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sums_stop_at_the_last_year() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(
            Timestamp::from_millis(5).since(Timestamp::from_millis(9)),
            Duration::ZERO
        );
    }
}
