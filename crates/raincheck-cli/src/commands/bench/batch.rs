//! The workload `batch`: one upload of many jobs, a line each.
//!
//! Invariant: the run is over when the upload is answered, and then every line is on stable storage as a job.

use std::fmt::Write as _;

use super::figures::{Latency, Measured, Row};
use super::rig::Rig;
use super::wire::{Wire, refused};
use crate::exit::Failed;

const NAME: &str = "batch";

/// The part of a batch's document that tells whether all went well.
#[derive(serde::Deserialize)]
struct Taken {
    total: u64,
    rejected: u64,
}

/// Uploads without workers.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    let jobs = rig.sizes.jobs;
    rig.progress.begin(&format!("{NAME}, upload"));
    let queue = rig.queue("uploaded").await?;
    let input = rig.sizes.input();
    let input = String::from_utf8_lossy(&input);
    let mut lines = String::new();
    for _ in 0..jobs {
        // Nothing is wrong with a string that is written to.
        let _ = writeln!(lines, "{{\"input\":{input}}}");
    }
    let head = rig.target.post_lines(&format!("/v1/batches?queue={queue}"));
    let message = head.with(lines.as_bytes());
    drop(lines);
    let mut wire = Wire::open(&rig.target).await?;
    let reading = rig.meter().read();
    let answer = wire.call(&message).await?.expect(202, "a batch")?;
    let used = rig.meter().since(reading);
    let taken: Taken = answer.json()?;
    if (taken.total, taken.rejected) != (jobs, 0) {
        return Err(refused("lines of a batch", answer.status, answer.body));
    }
    let measured = Measured {
        jobs,
        latency: Latency::default(),
        used,
    };
    rows.push(Row::of(NAME, "upload", &measured));
    Ok(())
}
