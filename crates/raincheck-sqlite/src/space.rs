//! Whether there is space for new work: some is kept free, so that what runs can be finished, read and deleted when the
//! disk is nearly full.
//!
//! Invariant: what is measured here refuses new work and nothing else; a disk that cannot be measured counts as large.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::statvfs;

/// The share of the disk that is kept free unless said otherwise, in hundredths.
const SHARE: u64 = 5;
/// And at most so much.
const SHARE_MAX: u64 = 256 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Space {
    dir: PathBuf,
    /// So many bytes are kept free; unless said: 5 % of the disk, at most 256 MiB.
    reserve: Option<u64>,
    low: AtomicBool,
}

impl Space {
    /// Of the disk on which this directory lies.
    pub(crate) fn new(dir: &Path, reserve: Option<u64>) -> Self {
        let space = Self {
            dir: dir.to_owned(),
            reserve,
            low: AtomicBool::new(false),
        };
        space.measure();
        space
    }

    /// Whether new work is refused.
    pub(crate) fn low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Looks how much is free.
    pub(crate) fn measure(&self) {
        let Ok(disk) = statvfs(&self.dir) else { return };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let whole = disk.f_blocks.saturating_mul(disk.f_frsize);
        let reserve = self
            .reserve
            .unwrap_or_else(|| (whole / 100 * SHARE).min(SHARE_MAX));
        let low = free < reserve;
        if self.low.swap(low, Ordering::Relaxed) == low {
            return;
        }
        if low {
            tracing::warn!(
                free,
                reserve,
                "space runs out: no new jobs are taken until there is more"
            );
        } else {
            tracing::info!(free, reserve, "there is space again");
        }
    }
}
