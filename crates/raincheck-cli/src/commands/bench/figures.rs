//! What a workload found, as rows of a table and as JSON.
//!
//! Invariant: a figure that is not known is left out of the JSON and is `-` in the table.

use serde_json::{Map, Value as Json};

use super::meter::Used;
use crate::exit::Failed;
use crate::output::{Output, Shape};
use crate::table::{Table, Value};

/// More CPUs than this in other hands disturb a measurement.
const DISTURBED: f64 = 0.25;

/// How long many things took, each in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency(Vec<u32>);

impl Latency {
    /// Out of what several clients saw.
    pub(super) fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        Self(micros)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The time in milliseconds that this share of them did not exceed.
    pub(super) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is a position in it"
        )]
        let at = ((self.0.len() as f64 * share).ceil() as usize).saturating_sub(1);
        Some(f64::from(self.0[at.min(last)]) / 1000.0)
    }
}

/// What a run under load came to.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// How many jobs were brought to the run's end.
    pub(super) jobs: u64,
    /// How long each took, where it was taken.
    pub(super) latency: Latency,
    /// What it cost.
    pub(super) used: Used,
}

impl Measured {
    /// Jobs in a second.
    pub(super) fn rate(&self) -> f64 {
        self.jobs as f64 / self.used.seconds
    }
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    workload: &'static str,
    case: String,
    figures: Vec<(&'static str, f64)>,
    notes: Vec<String>,
}

impl Row {
    /// A row without figures yet.
    pub(super) fn new(workload: &'static str, case: impl Into<String>) -> Self {
        Self {
            workload,
            case: case.into(),
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure, where it is known.
    #[must_use]
    pub(super) fn figure(mut self, name: &'static str, value: Option<f64>) -> Self {
        self.figures
            .extend(value.filter(|value| value.is_finite()).map(|value| (name, value)));
        self
    }

    /// Adds what people should read.
    #[must_use]
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// A row about a run under load.
    pub(super) fn of(workload: &'static str, case: impl Into<String>, measured: &Measured) -> Self {
        let Measured { jobs, latency, used } = measured;
        let each = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e6 / *jobs as f64);
        let row = Self::new(workload, case)
            .figure("jobs", Some(*jobs as f64))
            .figure("seconds", Some(used.seconds))
            .figure("jobs_per_second", Some(measured.rate()))
            .figure("p50_ms", latency.quantile_ms(0.5))
            .figure("p99_ms", latency.quantile_ms(0.99))
            .figure("max_ms", latency.quantile_ms(1.0))
            .figure("server_us_per_job", each(used.server))
            .figure("client_us_per_job", each(used.own))
            .figure("other_cpus", used.other_cpus);
        match used.other_cpus {
            Some(cpus) if cpus > DISTURBED => row.note(format!("disturbed: {cpus:.1} CPUs busy elsewhere")),
            _ => row,
        }
    }

    fn get(&self, name: &str) -> Option<f64> {
        let named = self.figures.iter().find(|(given, _)| *given == name);
        named.map(|(_, value)| *value)
    }

    fn json(&self) -> Json {
        let mut object = Map::new();
        object.insert("workload".to_owned(), self.workload.into());
        object.insert("case".to_owned(), self.case.as_str().into());
        for (name, value) in &self.figures {
            // Four places behind the point are more than any of these is exact.
            let rounded = (value * 1e4).round() / 1e4;
            object.insert((*name).to_owned(), rounded.into());
        }
        object.insert("notes".to_owned(), self.notes.as_slice().into());
        Json::Object(object)
    }
}

/// What the run was made on.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Where the server was, or that it was started for this.
    pub(super) server: Json,
    /// Which cores were used, where they were set.
    pub(super) pinned: Option<(usize, usize)>,
}

const HEADS: &[&str] = &[
    "WORKLOAD",
    "CASE",
    "JOBS/S",
    "P50 MS",
    "P99 MS",
    "SERVER µs/JOB",
    "CLIENT µs/JOB",
    "NOTE",
];

/// Writes the rows.
pub(super) fn write(output: Output, setting: &Setting, rows: &[Row]) -> Result<(), Failed> {
    if output.shape == Shape::Json {
        let pinned = setting
            .pinned
            .map(|(server, client)| serde_json::json!({ "server": server, "client": client }));
        let document = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "server": setting.server,
            "pinned": pinned,
            "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        return output.line(&document.to_string());
    }
    let mut table = Table::new(HEADS);
    for row in rows {
        table.row(vec![
            Value::text(row.workload),
            Value::text(&row.case),
            Value::measured(row.get("jobs_per_second"), 0),
            Value::measured(row.get("p50_ms"), 2),
            Value::measured(row.get("p99_ms"), 2),
            Value::measured(row.get("server_us_per_job"), 1),
            Value::measured(row.get("client_us_per_job"), 1),
            Value::text(&row.notes.join("; ")),
        ]);
    }
    table.write(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_seen() {
        let latency = Latency::of((1..=100).rev().map(|n| n * 1000).collect());
        assert_eq!(latency.quantile_ms(0.5), Some(50.0));
        assert_eq!(latency.quantile_ms(0.99), Some(99.0));
        assert_eq!(latency.quantile_ms(1.0), Some(100.0));
        assert_eq!(Latency::of(vec![7]).quantile_ms(0.0), Some(0.007));
        assert_eq!(Latency::default().quantile_ms(0.5), None);
    }

    #[test]
    fn a_row_shows_what_is_known_and_nothing_else() {
        let measured = Measured {
            jobs: 2_000,
            latency: Latency::of(vec![500]),
            used: Used {
                seconds: 0.5,
                server: Some(0.02),
                own: None,
                other_cpus: Some(0.5),
            },
        };
        let json = Row::of("submit", "plain", &measured).json();
        assert_eq!(json["jobs_per_second"], 4000.0);
        assert_eq!(json["server_us_per_job"], 10.0);
        assert_eq!(json["p99_ms"], 0.5);
        assert_eq!(json.get("client_us_per_job"), None);
        assert_eq!(json["notes"][0], "disturbed: 0.5 CPUs busy elsewhere");
    }
}
