//! What an error of a transaction means for the store.
//!
//! Invariant: an error of a commit that says nothing else leaves in doubt whether it happened.

use rusqlite::ErrorCode;

/// Why a transaction came to nothing.
pub(super) enum Fault {
    /// No space is left; rolled back.
    Full,
    /// The file cannot be relied on any more. Whether the commit happened is not known if `in_doubt`.
    Broken { reason: String, in_doubt: bool },
    /// One operation cannot be run; rolled back.
    Operation(rusqlite::Error),
}

pub(super) fn fault(error: rusqlite::Error, committing: bool) -> Fault {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Fault::Full,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen,
        ) => Fault::Broken {
            reason: error.to_string(),
            in_doubt: committing,
        },
        _ if committing => Fault::Broken {
            reason: error.to_string(),
            in_doubt: true,
        },
        _ => Fault::Operation(error),
    }
}
