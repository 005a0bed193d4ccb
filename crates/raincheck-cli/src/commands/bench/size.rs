//! The workload `size`: how large the program is, and how much memory a server takes that has nothing to do.

use super::figures::Row;
use super::rig::Rig;
use crate::exit::Failed;

const NAME: &str = "size";

/// Looks at the server.
pub(super) async fn run(rig: &Rig, rows: &mut Vec<Row>) -> Result<(), Failed> {
    rig.progress.begin(NAME);
    let binary = rig.binary().and_then(|path| std::fs::metadata(path).ok());
    if let Some(binary) = binary {
        let mib = binary.len() as f64 / f64::from(1 << 20);
        let row = Row::new(NAME, "binary").figure("mib", Some(mib));
        rows.push(row.note(format!("{mib:.1} MiB")));
    }
    rig.meter().still().await;
    if let Some(kib) = rig.meter().resident_kib() {
        let mib = kib as f64 / 1024.0;
        let row = Row::new(NAME, "idle server").figure("mib", Some(mib));
        rows.push(row.note(format!("{mib:.1} MiB resident")));
    }
    Ok(())
}
