//! Looking through every job's row for damage, whoever asks for it: a small store's before it is served, a large one's right
//! after, beside the writer, since millions of rows take seconds.
//!
//! Invariants: a row that is not as it was written is never given to anybody, for reading it compares its sums as well; that a
//! damaged one is passed over in silence is found here, and then the store has failed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use rusqlite::Connection;

use crate::directory::{OpenError, row_error};
use crate::handover::Handover;
use crate::row::{self, state};
use crate::{schema, sum};

/// Rows of one slice: some milliseconds, so that the log is not held up.
const SLICE: u32 = 2_000;
/// The pause between two: the thread takes a part of a core.
const PAUSE: Duration = Duration::from_millis(4);

/// Compares the sums of a slice of rows after this one; gives back the last of them, `None` where nothing follows.
fn slice(conn: &Connection, after: i64, limit: u32) -> rusqlite::Result<Option<i64>> {
    let mut select = conn.prepare_cached(row::select_jobs!("WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?;
    let mut rows = select.query((after, limit))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (seq, state) = (row.get(0)?, row.get(3)?);
        if matches!(state, state::DELETED | state::PRUNED) {
            row::check_tombstone(row, seq)?;
        } else {
            row::check_sums(row, seq, row.get(2)?, state)?;
        }
        last = Some(seq);
    }
    Ok(last)
}

/// Looks through all rows at once.
pub(crate) fn at_once(conn: &Connection) -> rusqlite::Result<()> {
    slice(conn, i64::MIN, u32::MAX)?;
    sum::CHANGED.iter().try_for_each(|table| other(conn, *table))
}

/// Compares the sums of a table's rows that are not jobs.
fn other(conn: &Connection, (what, changed): (&'static str, &str)) -> rusqlite::Result<()> {
    if conn.prepare(changed)?.exists([])? {
        return Err(sum::other_changed(what));
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// The writer's side of a look beside it.
#[derive(Debug)]
pub(crate) struct Look {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Look {
    /// Starts the thread.
    pub(crate) fn start(database: &Path, handover: &Arc<Handover>) -> Result<Self, OpenError> {
        let conn = schema::open_reader(database, 1024)?;
        let progress = Arc::new(Progress::default());
        let (theirs, handover, database) = (Arc::clone(&progress), Arc::clone(handover), database.to_owned());
        let thread = std::thread::Builder::new().name("look".to_owned());
        let thread = thread
            .spawn(move || {
                if let Err(error) = beside(&conn, &theirs.stop) {
                    let reason = row_error(&database, error).to_string();
                    *theirs.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                    handover.nudge();
                }
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            progress,
            thread: Some(thread),
        })
    }

    /// What was found.
    pub(crate) fn failure(&self) -> Option<String> {
        let failure = self.progress.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the thread.
    pub(crate) fn stop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was the thread's own; the writer is ending anyway.
            let _ = thread.join();
        }
    }
}

fn beside(conn: &Connection, stop: &AtomicBool) -> rusqlite::Result<()> {
    let mut after = i64::MIN;
    while !stop.load(Ordering::Relaxed) {
        match slice(conn, after, SLICE)? {
            Some(last) => after = last,
            None => break,
        }
        sleep(PAUSE);
    }
    for table in sum::CHANGED {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        other(conn, table)?;
        sleep(PAUSE);
    }
    Ok(())
}
