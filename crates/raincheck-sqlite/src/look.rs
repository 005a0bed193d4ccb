//! Looking through every job's row for damage, whoever asks for it: a small store's before it is served, a large one's right
//! after, beside the writer, since millions of rows take seconds.
//!
//! Invariants: a row that is not as it was written is never given to anybody, for reading it compares its sums as well; that a
//! damaged one is passed over in silence is found here, and then the job is set aside where that was asked for, else the store has
//! failed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use rusqlite::{Connection, Row};

use crate::directory::{OpenError, row_error};
use crate::handover::Handover;
use crate::row::{self, state};
use crate::{schema, sum};

/// Rows of one slice: some milliseconds, so that the log is not held up.
const SLICE: u32 = 2_000;
/// The pause between two: the thread takes a part of a core.
const PAUSE: Duration = Duration::from_millis(4);

/// Jobs of which a row is not as it was written, and what is wrong with it.
pub(crate) type Looked = Vec<(u64, String)>;

/// Compares the sums of a slice of rows after this one; gives back the last of them, `None` where nothing follows.
fn slice(conn: &Connection, after: i64, limit: u32, found: &mut Looked) -> rusqlite::Result<Option<i64>> {
    let mut select = conn.prepare_cached(row::select_jobs!("WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?;
    let mut rows = select.query((after, limit))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        match whole(row, seq) {
            Err(error) if sum::is_damage(&error) => found.push((seq.cast_unsigned(), sum::told(&error))),
            looked => looked?,
        }
        last = Some(seq);
    }
    Ok(last)
}

fn whole(row: &Row<'_>, seq: i64) -> rusqlite::Result<()> {
    let state = row.get(3)?;
    if matches!(state, state::DELETED | state::PRUNED) {
        row::check_tombstone(row, seq)
    } else {
        row::check_sums(row, seq, row.get(2)?, state)
    }
}

/// Looks through all rows at once.
///
/// # Errors
/// Also for a row that is no job's: nothing is served without it.
pub(crate) fn at_once(conn: &Connection) -> rusqlite::Result<Looked> {
    let mut found = Vec::new();
    slice(conn, i64::MIN, u32::MAX, &mut found)?;
    sum::CHANGED.iter().try_for_each(|table| other(conn, *table))?;
    Ok(found)
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
    found: Mutex<Looked>,
    failure: Mutex<Option<String>>,
}

/// The writer's side of a look beside it.
#[derive(Debug)]
pub(crate) struct Look {
    database: PathBuf,
    sets_aside: bool,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Look {
    /// Starts the thread.
    pub(crate) fn start(
        database: &Path,
        handover: &Arc<Handover>,
        sets_aside: bool,
    ) -> Result<Self, OpenError> {
        let conn = schema::open_reader(database, 1024)?;
        let progress = Arc::new(Progress::default());
        let (theirs, handover, file) = (Arc::clone(&progress), Arc::clone(handover), database.to_owned());
        let thread = std::thread::Builder::new().name("look".to_owned());
        let thread = thread
            .spawn(move || {
                if let Err(error) = beside(&conn, &theirs, &handover) {
                    let reason = row_error(&file, error).to_string();
                    *theirs.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                    handover.nudge();
                }
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            database: database.to_owned(),
            sets_aside,
            progress,
            thread: Some(thread),
        })
    }

    /// What was found.
    pub(crate) fn failure(&self) -> Option<String> {
        let failure = self.progress.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The damaged jobs that were found since this was asked.
    pub(crate) fn take_found(&self) -> Looked {
        std::mem::take(&mut *self.progress.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether they are to be set aside.
    pub(crate) const fn sets_aside(&self) -> bool {
        self.sets_aside
    }

    /// What is said where such a job is not set aside.
    pub(crate) fn refusal(&self, detail: String) -> String {
        let path = self.database.clone();
        OpenError::Jobs {
            path,
            jobs: 1,
            detail,
        }
        .to_string()
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

fn beside(conn: &Connection, progress: &Progress, handover: &Handover) -> rusqlite::Result<()> {
    let stop = &progress.stop;
    let mut after = i64::MIN;
    while !stop.load(Ordering::Relaxed) {
        let mut found = Vec::new();
        let last = slice(conn, after, SLICE, &mut found)?;
        if !found.is_empty() {
            let mut all = progress.found.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(found);
            drop(all);
            handover.nudge();
        }
        match last {
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
