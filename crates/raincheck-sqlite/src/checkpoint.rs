//! Moving pages from the write-ahead log into the database file, beside the writer.
//!
//! A second connection does the bulk while commits go on, and syncs it; what they appended meanwhile is a small rest, which the writer
//! moves itself between two transactions, for only a log that was moved whole can start again at its beginning. SQLite syncs the
//! database only then: without that sync the writer's would find all of the bulk.
//! Invariant: a checkpoint that fails is never tried again: its failure poisons the store; only where no space was left for
//! it, which harms nothing, it is made later. The thread also looks how much space is left, and stands behind all others: where
//! a server has a tenth of a core, moving the log at once would take all of it for most of a second.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::directory::OpenError;
use crate::handover::Handover;
use crate::schema;
use crate::space::Space;
use crate::writer::Shared;

/// What the writer may be left to move itself: a few milliseconds.
const LOG_PAGES_REST: i64 = 1_000;

/// Passes beside the writer before the rest is given to it, however large.
const PASSES_MAX: u32 = 5;

/// The same where space is low: the log is used anew from its beginning instead of growing, so that what is finished then takes
/// little more of the disk.
const LOG_PAGES_LOW: u32 = 128;

/// How long between two looks at the space that is left, at most.
const SPACE_LOOK: Duration = Duration::from_secs(1);

/// How far the thread stands behind those that answer, in steps of nice: a tenth of their share of the processor.
const BEHIND: i32 = 10;

/// Commits between two looks at the log's length.
const COMMITS_PER_LOOK: u32 = 16;

#[derive(Debug, Default)]
struct Progress {
    /// A rest is left for the writer.
    rest: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// The writer's side.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    look: Option<SyncSender<()>>,
    commits: u32,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

/// `(pages in the log, pages moved)` after a checkpoint in this mode.
fn checkpoint(conn: &Connection, pragma: &str) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached(pragma)?
        .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// Only tells how long the log is.
const NOOP: &str = "PRAGMA wal_checkpoint(NOOP)";

/// Moves what can be moved without making anybody wait.
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

impl Checkpoint {
    /// Starts the thread.
    pub(crate) fn start(
        database: &Path,
        file: Arc<File>,
        log_pages: u32,
        handover: &Arc<Handover>,
        shared: &Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let conn = schema::open_checkpointer(database)?;
        shared.space.measure(&conn);
        let (look, looks) = sync_channel(1);
        let progress = Arc::new(Progress::default());
        let (theirs, handover, shared) = (Arc::clone(&progress), Arc::clone(handover), Arc::clone(shared));
        let thread = std::thread::Builder::new().name("checkpoint".to_owned());
        let thread = thread
            .spawn(move || {
                stand_behind();
                let sync = Box::new(move || file.sync_data());
                let moving = Moving { conn, sync };
                beside(&moving, log_pages, &looks, &theirs, &handover, &shared.space);
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            look: Some(look),
            commits: 0,
            progress,
            thread: Some(thread),
        })
    }

    /// Has the thread look at the log every few commits, and moves the rest that a pass left.
    pub(crate) fn after_commit(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.progress.rest.swap(false, Ordering::AcqRel)
            && let Err(error) = checkpoint(conn, PASSIVE)
            && !full(&error)
        {
            return Err(error);
        }
        self.commits += 1;
        if self.commits >= COMMITS_PER_LOOK
            && let Some(look) = &self.look
        {
            self.commits = 0;
            // A full channel means that the thread is about to look anyway.
            let _ = look.try_send(());
        }
        Ok(())
    }

    /// Why a pass failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.progress
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        self.look = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was the thread's own; the writer is ending anyway.
            let _ = thread.join();
        }
    }
}

/// Gives this thread less of the processor than the others of its process. Elsewhere than on Linux that would be the whole
/// process, and where it is not allowed nothing is lost but that.
fn stand_behind() {
    #[cfg(target_os = "linux")]
    if let Ok(nice) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, (nice + BEHIND).min(19));
    }
}

/// What moves the log beside the writer.
struct Moving {
    conn: Connection,
    /// Syncs the database.
    sync: Box<dyn Fn() -> io::Result<()> + Send>,
}

/// Why a log was not moved.
enum Unmoved {
    /// No space was left for it: it is in the log as before.
    Full,
    Broken(String),
}

fn beside(
    moving: &Moving,
    log_pages: u32,
    looks: &Receiver<()>,
    progress: &Progress,
    handover: &Handover,
    space: &Space,
) {
    loop {
        let asked = looks.recv_timeout(SPACE_LOOK);
        let fits = space.measure(&moving.conn);
        match asked {
            Ok(()) if !fits => continue,
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if fits && space.low() => {}
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let pages = if space.low() {
            LOG_PAGES_LOW.min(log_pages)
        } else {
            log_pages
        };
        match moving.passes(pages) {
            Ok(true) => progress.rest.store(true, Ordering::Release),
            Ok(false) => {}
            // Nothing is lost: what could not be moved is in the log, and moved when there is space.
            Err(Unmoved::Full) => tracing::warn!("the log waits for space to be moved into the database"),
            Err(Unmoved::Broken(error)) => {
                let reason = format!("a checkpoint failed: {error}");
                *progress.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                handover.nudge();
                return;
            }
        }
    }
}

/// Whether it failed for want of space, which leaves the log as it was.
fn full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

impl Moving {
    /// Moves the log beside the writer where it is long enough; whether a rest is left for the writer.
    fn passes(&self, log_pages: u32) -> Result<bool, Unmoved> {
        let (log, moved) = checkpoint(&self.conn, NOOP)?;
        if log - moved < i64::from(log_pages) {
            return Ok(false);
        }
        for _ in 0..PASSES_MAX {
            let (log, moved) = checkpoint(&self.conn, PASSIVE)?;
            if log - moved <= LOG_PAGES_REST {
                break;
            }
        }
        (self.sync)()?;
        Ok(true)
    }
}

impl From<rusqlite::Error> for Unmoved {
    fn from(error: rusqlite::Error) -> Self {
        if full(&error) {
            return Self::Full;
        }
        Self::Broken(error.to_string())
    }
}

impl From<io::Error> for Unmoved {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// A database whose log has at least so many pages, and what moves it; syncs are counted.
    fn moving(dir: &Path, rows: u32) -> (Connection, Moving, Arc<AtomicU32>) {
        let path = dir.join("db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)")
            .unwrap();
        for _ in 0..rows {
            conn.execute("INSERT INTO t VALUES (zeroblob(5000))", []).unwrap();
        }
        let syncs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&syncs);
        let sync = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let moving = Moving {
            conn: Connection::open(&path).unwrap(),
            sync,
        };
        (conn, moving, syncs)
    }

    #[test]
    fn what_was_moved_beside_the_writer_is_synced_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let (_conn, moving, syncs) = moving(dir.path(), 20);
        assert!(!moving.passes(1_000).ok().unwrap());
        assert_eq!(syncs.load(Ordering::Relaxed), 0, "nothing was moved");
        assert!(moving.passes(20).ok().unwrap());
        assert_eq!(syncs.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_sync_that_fails_is_no_want_of_space() {
        let dir = tempfile::tempdir().unwrap();
        let (_conn, mut moving, _) = moving(dir.path(), 20);
        moving.sync = Box::new(|| Err(io::ErrorKind::StorageFull.into()));
        assert!(matches!(moving.passes(20), Err(Unmoved::Broken(_))));
    }
}
