//! Making a database where there is none.
//!
//! Invariant: it is there whole or not at all: it is made under another name, synced, and only then put in its place. So nothing of
//! it needs a journal, and three syncs are all that a new store costs.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use crate::directory::{OpenError, beside, failed, private_file};
use crate::schema;

/// Makes the database, unless there is one. Its name is durable once the directory is synced.
///
/// # Errors
/// Where it cannot be made: nothing is there then.
pub(crate) fn create(database: &Path) -> Result<(), OpenError> {
    match fs::metadata(database) {
        // SQLite takes an empty file for a new database, and so did those who were cut off here before.
        Ok(found) if found.len() > 0 => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(database)(error)),
    }
    let part = beside(database, ".part");
    // What somebody who was cut off had begun.
    for ending in ["", "-wal", "-shm"] {
        remove(&beside(&part, ending))?;
    }
    private_file(&part).map_err(failed(&part))?;
    if let Err(error) = schema::make(&part) {
        // Where there is no room it would keep some.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    let synced = File::open(&part).and_then(|file| file.sync_all());
    synced.map_err(failed(&part))?;
    // A log that outlived its database is none of this one's.
    for ending in ["-wal", "-shm"] {
        remove(&beside(database, ending))?;
    }
    fs::rename(&part, database).map_err(failed(database))
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}
