//! Whether there is space for new work: some is kept free, so that what runs can be finished, read and deleted when the
//! disk is nearly full, and the server started anew after a crash.
//!
//! What lies in the write-ahead log is counted twice, for it is still to be moved into the database. Others who fill the disk take
//! what is kept free as well; so some more is held in a file, where that is asked for (`ballast.rs`), and given up for a write
//! that found no space. Invariants: what is measured here refuses new work, and puts off what can wait; while the file is
//! wanted and not there, new work is taken only where there is space for the file too, so that nothing that comes later eats
//! what was given up; a disk that cannot be measured counts as large.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rustix::fs::statvfs;

use crate::ballast::{self, Ballast};

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
    /// Whether some of it is held.
    holds: bool,
    ballast: Mutex<Ballast>,
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
    pub(crate) fn new(database: &Path, reserve: Option<u64>, holds: bool) -> Self {
        Self {
            database: database.to_owned(),
            reserve,
            low: AtomicBool::new(false),
            holds,
            ballast: Mutex::new(Ballast::of(database, holds)),
        }
    }

    fn ballast(&self) -> MutexGuard<'_, Ballast> {
        self.ballast.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether new work is refused.
    pub(crate) fn low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// A write found no space: until it is measured again, new work is refused.
    pub(crate) fn ran_out(&self) {
        if !self.low.swap(true, Ordering::Relaxed) {
            tracing::warn!("a write found no space: no new jobs are taken until there is more");
        }
    }

    /// Gives up what is held, for what must go on; whether there was any.
    pub(crate) fn release(&self) -> bool {
        self.ran_out();
        let released = self.ballast().release();
        if released {
            tracing::warn!("the disk is full: what was held for it is used to finish what is there");
        }
        released
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
        // Nothing is given up between looking and deciding.
        let mut ballast = self.ballast();
        let Some(Found {
            free,
            reserve,
            growth,
        }) = self.find(conn)
        else {
            return true;
        };
        let wanted = if self.holds {
            reserve.min(ballast::BYTES_MAX)
        } else {
            0
        };
        let missing = wanted.saturating_sub(ballast.held());
        let low = free < reserve.saturating_add(growth).saturating_add(missing);
        if !low && wanted > 0 && ballast.held() == 0 {
            ballast.make(wanted);
        }
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
