//! What a run says at its end: how often what happened, and where a promise was broken.

use std::time::Duration;

use super::Options;
use crate::ledger::Ledger;

/// Violations that are told with their history.
const TOLD: usize = 5;
/// Shorter runs need not have seen everything.
const CYCLES_TO_SEE_ALL: u64 = 30;

/// What the runner itself counts.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) kills_starting: u64,
    pub(super) kills_working: u64,
    pub(super) kills_draining: u64,
    pub(super) ready: Vec<Duration>,
    pub(super) settled: Duration,
    pub(super) left: Duration,
    pub(super) jobs: usize,
}

impl Report {
    pub(super) fn print(&self, options: &Options, ledger: &Ledger, silent: u64, say: &dyn Fn(&str)) {
        let row = |name: &str, value: String| say(&format!("  {name:<26} {value:>12}"));
        say(&format!("soak kill, seed {}", options.seed));
        row("killed while working", self.kills_working.to_string());
        row("killed while starting", self.kills_starting.to_string());
        row("killed while draining", self.kills_draining.to_string());
        for (name, count) in ledger.tally().rows() {
            row(name, count.to_string());
        }
        row("requests never answered", silent.to_string());
        row("jobs at the end", self.jobs.to_string());
        let mut ready = self.ready.clone();
        ready.sort();
        let ms =
            |time: Option<&Duration>| time.map_or("-".to_owned(), |time| format!("{} ms", time.as_millis()));
        row("ready again, median", ms(ready.get(ready.len() / 2)));
        row("ready again, longest", ms(ready.last()));
        row("last job finished after", ms(Some(&self.settled)));
        row("orderly stop took", ms(Some(&self.left)));
        row("promises broken", ledger.violations().len().to_string());
    }

    /// Why the run does not count as passed.
    pub(super) fn trouble(&self, options: &Options, ledger: &Ledger) -> Vec<String> {
        let mut trouble = Vec::new();
        if let Some(first) = ledger.violations().first() {
            trouble.push(format!(
                "{} promises broken, the first: {}",
                ledger.violations().len(),
                first.fault
            ));
        }
        let blind: Vec<&str> = ledger
            .tally()
            .rows()
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name.trim())
            .collect();
        if options.cycles >= CYCLES_TO_SEE_ALL && trouble.is_empty() && !blind.is_empty() {
            trouble.push(format!(
                "the run proves little, it never saw: {}",
                blind.join(", ")
            ));
        }
        trouble
    }

    /// The broken promises, each with the history of its job.
    pub(super) fn explain(&self, ledger: &Ledger, say: &dyn Fn(&str)) {
        let mut told = Vec::new();
        for violation in ledger.violations().iter().take(TOLD) {
            say("");
            say(&violation.to_string());
            // One history may hold several of them.
            if violation.token.is_none() || !told.contains(&violation.token) {
                ledger.story(violation).iter().for_each(|line| say(line));
            }
            told.push(violation.token);
        }
        let more = ledger.violations().len().saturating_sub(TOLD);
        if more > 0 {
            say(&format!("… and {more} more"));
        }
    }
}
