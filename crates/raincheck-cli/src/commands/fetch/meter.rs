//! How far a run is, and how fast, on stderr.
//!
//! Invariant: where stderr is no terminal nothing is shown, and nothing is worked out for it.

use std::time::Duration;

use raincheck::fetch::Fetched;
use tokio::time::Instant;

use super::Tally;
use crate::output::Output;
use crate::progress::Progress;
use crate::when::coarse;

/// How often the bar is drawn anew.
const EVERY: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub(crate) struct Meter {
    bar: Option<Progress>,
    all: u64,
    tally: Tally,
    /// What was written by runs before this one.
    before: u64,
    began: Instant,
    drawn: Option<Instant>,
    /// What is waited for.
    waits: Option<String>,
}

impl Meter {
    pub(super) fn new(output: Output, all: u64, off: bool) -> Self {
        Self {
            bar: (!off).then(|| Progress::new(output)),
            all,
            tally: Tally::default(),
            before: 0,
            began: Instant::now(),
            drawn: None,
            waits: None,
        }
    }

    /// All that was counted so far came in runs before this one.
    pub(crate) const fn resume(&mut self) {
        self.before = self.tally.done;
    }

    /// What the run has come to so far.
    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Nothing came for a while, and these hosts asked to be left alone for so long yet.
    pub(crate) fn waits_for(&mut self, paused: &[(String, Duration)]) {
        let first = paused.iter().min_by_key(|(_, left)| *left);
        self.waits = first.map(|(host, left)| {
            let left = coarse(*left);
            match paused.len() {
                1 => format!("{host} asked to wait, {left} yet"),
                hosts => format!("{hosts} hosts asked to wait, {host} {left} yet"),
            }
        });
    }

    /// One more result.
    pub(crate) fn count(&mut self, ended: Ended<'_>) {
        self.waits = None;
        let fetched = ended.fetched.unwrap_or_default();
        let tally = &mut self.tally;
        tally.done += 1;
        tally.answered += u64::from(ended.answered);
        tally.other +=
            u64::from(ended.answered && !ended.status.is_some_and(|status| (200..300).contains(&status)));
        if fetched.revalidated {
            tally.revalidated += 1;
        } else {
            tally.bytes += fetched.bytes;
        }
    }

    /// Draws the bar where it is time.
    pub(crate) fn show(&mut self) {
        let Some(bar) = &self.bar else { return };
        let now = Instant::now();
        if self.drawn.is_some_and(|drawn| now - drawn < EVERY) {
            return;
        }
        self.drawn = Some(now);
        let tally = self.tally;
        bar.draw(
            &label(
                tally,
                self.all,
                tally.done - self.before,
                now - self.began,
                self.waits.as_deref(),
            ),
            share(tally.done, self.all),
        );
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.clear();
        }
    }
}

/// What a meter is told of a result.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended<'a> {
    pub(crate) status: Option<u16>,
    pub(crate) answered: bool,
    /// What was told of its answer.
    pub(crate) fetched: Option<Fetched<'a>>,
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown in 24 steps")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
fn label(tally: Tally, all: u64, lately: u64, took: Duration, waits: Option<&str>) -> String {
    let rate = lately as f64 / took.as_secs_f64().max(0.001);
    let left = all.saturating_sub(tally.done);
    let mut label = format!("{}/{all}  {rate:.0}/s  {}", tally.done, bytes(tally.bytes));
    let failed = tally.done - tally.answered;
    if failed > 0 {
        label.push_str(&format!("  {failed} failed"));
    }
    if let Some(waits) = waits {
        label.push_str("  ");
        label.push_str(waits);
    } else if rate > 0.0 && left > 0 {
        let seconds = (left as f64 / rate).min(1e9).round();
        label.push_str(&format!("  {} left", coarse(Duration::from_secs_f64(seconds))));
    }
    label
}

/// So many bytes, for people.
#[expect(clippy::cast_precision_loss, reason = "people read one digit after the point")]
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_to_wait_is_told_instead_of_a_time_that_nobody_knows() {
        let mut meter = Meter::new(Output::new(false, true, false), 3, true);
        meter.count(Ended::default());
        meter.waits_for(&[
            ("b".to_owned(), Duration::from_secs(90)),
            ("a".to_owned(), Duration::from_secs(30)),
        ]);
        let label = label(meter.tally, 3, 1, Duration::from_secs(1), meter.waits.as_deref());
        assert_eq!(label, "1/3  1/s  0 B  1 failed  2 hosts asked to wait, a 30s yet");
        meter.count(Ended::default());
        assert_eq!(meter.waits, None, "something came");
    }

    #[test]
    fn the_label_says_how_far_how_fast_and_how_long_yet() {
        let tally = Tally {
            done: 50,
            answered: 48,
            bytes: 3 << 19,
            ..Tally::default()
        };
        assert_eq!(
            label(tally, 200, 50, Duration::from_secs(10), None),
            "50/200  5/s  1.5 MiB  2 failed  30s left"
        );
        assert_eq!(
            label(Tally::default(), 3, 0, Duration::ZERO, None),
            "0/3  0/s  0 B"
        );
    }
}
