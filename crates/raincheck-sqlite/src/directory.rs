//! The store's directory: who owns it, who may read it.
//!
//! Invariant: at most one process has a directory open, by a lock that ends with the process however it ends; nobody but
//! its owner can read what is in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::create::create;
use crate::sum;

/// Why a store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use already, by another process or in this one: close that one, or choose another directory (of a server: --store)", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be made, read or written.
    #[error("{} cannot be used as a store's directory: give this user the permission to write it, or choose another directory (of a server: --store)", .path.display())]
    Directory {
        /// The directory or a file in it.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened, or is damaged.
    #[error("{} cannot be opened as a database; if it is damaged, restore it from a backup, or move it away to start anew", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// There is no room for the database.
    #[error("{} cannot be written, for its disk is full: make room, or choose another directory (of a server: --store)", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// The rows of the database do not fit together.
    #[error("{} holds a row that cannot be read: {detail}; restore it from a backup, or move it away to start anew", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        detail: String,
    },
    /// Rows of jobs are damaged; with [`Options::set_aside_damaged`](crate::Options::set_aside_damaged) they are set aside.
    #[error("{} holds {} ({detail}): restore it from a backup; or, to go on with the others, start once with --set-aside-damaged", .path.display(), damaged_jobs(*.jobs))]
    Jobs {
        /// The file.
        path: PathBuf,
        /// How many.
        jobs: usize,
        /// What is wrong with one of them.
        detail: String,
    },
    /// The pages of the database do not fit together.
    #[error("{} is damaged: {detail}; restore it from a backup, or move it away to start anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found first.
        detail: String,
    },
    /// The log holds less than was committed.
    #[error("{} is damaged, cut or gone, and with it what was acknowledged last: put it back as it was or restore the store from a backup; to go on with what is there, delete {}", .path.display(), .seal.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// The note that tells how far it went.
        seal: PathBuf,
    },
    /// Another program made the database.
    #[error("{} is a database of another program: choose another directory (of a server: --store)", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program made the database.
    #[error("{} has version {found}, this program knows up to {known}: use the newer program, or choose another directory (of a server: --store)", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// The newest version known here.
        known: usize,
    },
    /// Its secrets are sealed under a master key that is not at hand.
    #[error("the secrets in {} are encrypted under the master key {wanted}, {}", .path.display(), instead(.given.as_deref()))]
    MasterKey {
        /// The file.
        path: PathBuf,
        /// The id of the key that they are sealed under.
        wanted: String,
        /// The id of the key that was given, if any.
        given: Option<String>,
    },
    /// The file system cannot hold a write-ahead log.
    #[error("{} lies on a file system without shared memory, which the write-ahead log needs", .path.display())]
    NoWal {
        /// The file.
        path: PathBuf,
    },
    /// The SQLite library is too old.
    #[error("SQLite {found} is too old: 3.51.3 or newer is needed")]
    OldSqlite {
        /// The version found.
        found: String,
    },
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// So many jobs, in words.
fn damaged_jobs(jobs: usize) -> String {
    match jobs {
        1 => "a damaged job".to_owned(),
        jobs => format!("{jobs} damaged jobs"),
    }
}

/// What is at hand instead of the master key.
fn instead(given: Option<&str>) -> String {
    given.map_or_else(
        || "and no master key was given".to_owned(),
        |given| format!("and the one that was given is {given}"),
    )
}

/// An open directory; the lock ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Closed after all connections: SQLite's locks on the file end as soon as anything of this process closes it.
    database: Arc<File>,
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be, takes its lock, and makes the database if there is none; only the owner can read it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(path)
                    .map_err(failed(path))?;
            }
            made => made.map_err(failed(path))?,
        }
        let lock = private_file(&path.join("lock")).map_err(failed(&path.join("lock")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(failed(path)(source));
            }
        }
        let database = path.join("raincheck.db");
        create(&database)?;
        let file = private_file(&database).map_err(failed(&database))?;
        // Another umask or a copy may have left it open to others; SQLite gives its side files the same mode.
        file.set_permissions(PermissionsExt::from_mode(0o600))
            .map_err(failed(&database))?;
        let directory = Self {
            path: path.to_owned(),
            database: Arc::new(file),
            _lock: lock,
        };
        directory.sync()?;
        Ok(directory)
    }

    /// Makes the names in the directory, and its own name, survive a power cut. SQLite syncs the directory itself when it
    /// makes its log, but goes on when that fails; so this is called again once the log is there.
    pub(crate) fn sync(&self) -> Result<(), OpenError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        for path in [self.path.as_path(), parent.unwrap_or(Path::new("."))] {
            let synced = File::open(path).and_then(|dir| dir.sync_all());
            synced.map_err(failed(path))?;
        }
        Ok(())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("raincheck.db")
    }

    /// The database, to be synced: whoever has it lets it go before this directory.
    pub(crate) fn database_file(&self) -> Arc<File> {
        Arc::clone(&self.database)
    }
}

/// The file whose name is this one's with that behind it.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// What of the directory could not be used, and why.
pub(crate) fn failed(path: &Path) -> impl Fn(std::io::Error) -> OpenError + '_ {
    |source| OpenError::Directory {
        path: path.to_owned(),
        source,
    }
}

/// A file that only its owner can read, made where it is not there.
pub(crate) fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Why rows could not be read when the store was opened.
pub(crate) fn row_error(database: &Path, source: rusqlite::Error) -> OpenError {
    if let rusqlite::Error::FromSqlConversionFailure(..) = &source {
        return OpenError::Row {
            path: database.to_owned(),
            detail: sum::told(&source),
        };
    }
    OpenError::Database {
        path: database.to_owned(),
        source,
    }
}
