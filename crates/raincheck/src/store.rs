//! Opening a store: the one place where the library knows which stores there are.
//!
//! Invariant: everything above works on `dyn Store` and does not know which one it is.

use std::path::PathBuf;
use std::sync::Arc;

use raincheck_core::clock::Clock;
use raincheck_core::store::Store;
pub use raincheck_sqlite::OpenError;
use raincheck_sqlite::{Options, SqliteStore};

/// Opens the embedded store in this directory, making it where it is not there. Blocks: some tenths of a second for
/// each million of jobs.
///
/// # Errors
/// When another process has it open, or it cannot be used: see [`OpenError`].
pub fn open(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(SqliteStore::open(Options::new(dir, clock))?))
}
