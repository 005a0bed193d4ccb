//! Whether there is space for new work: some is kept free, so that what runs can be finished, read and deleted when the
//! disk is nearly full, and the server started anew after a crash.
//!
//! What lies in the write-ahead log is counted twice, for it is still to be moved into the database. Invariant: what is
//! measured here refuses new work, and puts off what can wait; a disk that cannot be measured counts as large.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rustix::fs::statvfs;

/// The share of the disk that is kept free unless said otherwise, in hundredths.
const SHARE: u64 = 5;
/// And at most so much.
const SHARE_MAX: u64 = 256 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Space {
    database: PathBuf,
    /// So many bytes are kept free; unless said: 5 % of the disk, at most 256 MiB.
    reserve: Option<u64>,
    low: AtomicBool,
}

/// What was found, in bytes.
struct Found {
    free: u64,
    reserve: u64,
    /// What the database will grow by when the log is moved into it.
    growth: u64,
}

impl Space {
    /// Of the disk on which this database lies.
    pub(crate) fn new(database: &Path, reserve: Option<u64>) -> Self {
        Self {
            database: database.to_owned(),
            reserve,
            low: AtomicBool::new(false),
        }
    }

    /// Whether new work is refused.
    pub(crate) fn low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    fn find(&self, conn: &Connection) -> Option<Found> {
        let disk = statvfs(&self.database).ok()?;
        let pragma = |name| conn.query_row(name, [], |row| row.get::<_, i64>(0)).ok();
        let pages = pragma("PRAGMA page_count")?.checked_mul(pragma("PRAGMA page_size")?)?;
        let length = std::fs::metadata(&self.database).ok()?.len();
        let whole = disk.f_blocks.saturating_mul(disk.f_frsize);
        Some(Found {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            reserve: self
                .reserve
                .unwrap_or_else(|| (whole / 100 * SHARE).min(SHARE_MAX)),
            growth: pages.cast_unsigned().saturating_sub(length),
        })
    }

    /// Looks how much is free, by a connection to the database; whether the log can be moved into it.
    pub(crate) fn measure(&self, conn: &Connection) -> bool {
        let Some(Found {
            free,
            reserve,
            growth,
        }) = self.find(conn)
        else {
            return true;
        };
        let low = free < reserve.saturating_add(growth);
        if self.low.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::warn!(
                    free,
                    reserve,
                    growth,
                    "space runs out: no new jobs are taken until there is more"
                );
            } else {
                tracing::info!(free, reserve, growth, "there is space again");
            }
        }
        growth <= free
    }
}
