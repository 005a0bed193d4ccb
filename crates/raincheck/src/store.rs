//! Opening a store: the one place where the library knows which stores there are.
//!
//! Invariant: everything above works on `dyn Store` and does not know which one it is.

use std::path::PathBuf;
use std::sync::Arc;

use raincheck_core::clock::Clock;
use raincheck_core::secret::Secret;
use raincheck_core::store::Store;
pub use raincheck_sqlite::{MasterKeys, OpenError, master_key_id};
use raincheck_sqlite::{Options, SqliteStore};

/// Opens the embedded store in this directory, making it where it is not there. Blocks: some tenths of a second for
/// each million of jobs. Its secrets lie in the clear.
///
/// # Errors
/// When another process has it open, or it cannot be used: see [`OpenError`].
pub fn open(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(SqliteStore::open(Options::new(dir, clock))?))
}

/// The same for one program's own work, in a few MiB of memory: a smaller page cache and log, which is left as it is at the end, and of the newest
/// jobs only `jobs` are at hand.
///
/// # Errors
/// As above.
pub fn open_small(
    dir: impl Into<PathBuf>,
    clock: Arc<dyn Clock>,
    jobs: usize,
) -> Result<Arc<dyn Store>, OpenError> {
    let options = Options {
        cache_kib: 4 << 10,
        // A log that is written over is synced sooner than one that grows.
        log_pages: 4_000,
        leave_log: true,
        recent_jobs: jobs,
        ..Options::new(dir, clock)
    };
    Ok(Arc::new(SqliteStore::open(options)?))
}

/// A master key that nobody knows yet.
#[must_use]
pub fn fresh_master_key() -> Secret {
    Secret::new(rand::random())
}

/// How else a store may be opened.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// What its secrets are encrypted under; what is not, because there was no key or the former one, is once the store is
    /// open. None: they lie in the clear.
    pub master_keys: MasterKeys,
    /// Whether jobs of which a row is damaged are set aside, so that the others go on; else such a store is not opened.
    pub set_aside_damaged: bool,
}

/// The same, opened like this. Where there is space, some is held in a file of the directory (`raincheck.reserve`, at most 64 MiB), so that
/// what is there is finished also where something else fills the disk to its last byte.
///
/// # Errors
/// As above, and when secrets are encrypted under a key that is not at hand.
pub fn open_with(
    dir: impl Into<PathBuf>,
    clock: Arc<dyn Clock>,
    opening: Opening,
) -> Result<Arc<dyn Store>, OpenError> {
    let options = Options {
        master_keys: opening.master_keys,
        set_aside_damaged: opening.set_aside_damaged,
        ballast: true,
        ..Options::new(dir, clock)
    };
    Ok(Arc::new(SqliteStore::open(options)?))
}
