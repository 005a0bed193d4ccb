//! Instants and spans as people read them: `3m ago`, `in 10m`, `1.2s`.
//!
//! Invariant: relative times are for terminals; in a pipe an instant stays RFC 3339.

use std::time::Duration;

use raincheck::core::time::Timestamp;

/// How far `then` lies from `now`, with one unit.
pub(crate) fn relative(then: Timestamp, now: Timestamp) -> String {
    let (ahead, behind) = (then.since(now), now.since(then));
    if ahead.max(behind) < Duration::from_secs(1) {
        "just now".to_owned()
    } else if ahead > behind {
        format!("in {}", coarse(ahead))
    } else {
        format!("{} ago", coarse(behind))
    }
}

/// A span in its largest unit, rounded, so that a week less a second is `7d`.
pub(crate) fn coarse(span: Duration) -> String {
    let seconds = (span.as_millis() + 500) / 1000;
    let rounded = |unit: u128| (seconds + unit / 2) / unit;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3570 => format!("{}m", rounded(60)),
        3570..171_000 => format!("{}h", rounded(3600)),
        _ => format!("{}d", rounded(86_400)),
    }
}

/// How long something took: `12ms`, `1.2s`, `3m20s`, `2h5m`.
pub(crate) fn span(span: Duration) -> String {
    let millis = span.as_millis();
    let seconds = span.as_secs();
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 => format!("{}.{}s", seconds, millis % 1000 / 100),
        60_000..3_600_000 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_from_where_we_stand() {
        let now = Timestamp::from_millis(1_000_000_000);
        let at = |millis: i64| relative(Timestamp::from_millis(1_000_000_000 + millis), now);
        assert_eq!(at(0), "just now");
        assert_eq!(at(-999), "just now");
        assert_eq!(at(-61_000), "1m ago");
        assert_eq!(at(59_600), "in 1m");
        assert_eq!(at(3_599_000), "in 1h");
        assert_eq!(at(604_799_000), "in 7d");
        assert_eq!(at(600_000), "in 10m");
        assert_eq!(at(-5_000), "5s ago");
        assert_eq!(at(-90_000_000), "25h ago");
        assert_eq!(at(-259_200_000), "3d ago");
    }

    #[test]
    fn a_span_keeps_what_matters() {
        for (millis, text) in [
            (12, "12ms"),
            (1234, "1.2s"),
            (200_000, "3m20s"),
            (7_500_000, "2h5m"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
