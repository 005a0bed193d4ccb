//! The statements that every job's row is written by.
//!
//! Invariant: each runs with all of its values bound anew.

use std::borrow::Cow;
use std::cell::RefCell;

use raincheck_core::content::JobResult;
use rusqlite::{Connection, PrepFlags, Statement, ToSql};

/// How many rows the statements that insert them take at once. One for each row opens the table and all its indexes anew.
pub(super) const AT_ONCE: [usize; 3] = [16, 4, 1];

/// Inserts so many jobs. The first that cannot be written ends it, and with it the transaction: SQLite need not keep what
/// would take back the others.
pub(super) fn insert(members: bool, rows: usize) -> String {
    let (columns, values) = if members {
        (", batch, batch_tail, batch_index", ", ?, ?, ?")
    } else {
        ("", "")
    };
    let row = format!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0{values})");
    format!(
        "INSERT OR FAIL INTO jobs (seq, tail, queue, priority, run_at, job_group, options, history, idempotency, input_type, \
         input, sum, asked_sum, history_sum, input_sum, state, version, attempt, fence, started_at, lease, cancelling{columns}) \
         VALUES {}",
        vec![row; rows].join(", ")
    )
}

/// Ends a job that ran. When its row may go is written where it has an end of its own, its place among those that have ended
/// where it is a member of a batch: SQLite then looks at the index of the one or of the other.
macro_rules! end_job {
    ($last:literal, $left:literal) => {
        concat!(
            "UPDATE jobs SET state = ?2, version = ?3, attempt = ?4, cancelling = ?5, finished_at = ?6, ",
            "lease = NULL, history = ?7, settled = ?8, sum = ?9, history_sum = ?10, ",
            $last,
            " = ?11",
            $left,
            " WHERE seq = ?1"
        )
    };
}

/// The same for each thing that an attempt's end may leave: nothing, a result in the row, a result beside it.
macro_rules! end_jobs {
    ($last:literal) => {
        [
            end_job!($last, ""),
            end_job!(
                $last,
                ", result_sum = ?12, result_status = ?13, result_type = ?14, result = ?15"
            ),
            end_job!($last, ", result_sum = ?12, result_at = ?13"),
        ]
    };
}

/// Marks a job as claimed.
pub(super) const CLAIM_JOB: &str = "UPDATE jobs SET state = 1, version = ?2, attempt = ?3, fence = ?4, started_at = ?5, lease = ?6, settled = NULL, \
     sum = ?7 WHERE seq = ?1";

/// A statement that is prepared when it is first needed and then kept. To look one up each time costs a copy of its text,
/// two hashes of it, and to forget each value.
pub(super) struct Kept<'c> {
    sql: Cow<'static, str>,
    statement: RefCell<Option<Statement<'c>>>,
}

impl<'c> Kept<'c> {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self {
            sql: sql.into(),
            statement: RefCell::new(None),
        }
    }

    /// Runs it with what `bind` gives it: every value, for those of the last time are still there.
    pub(super) fn run(
        &self,
        conn: &'c Connection,
        bind: impl FnOnce(&mut Values<'_, 'c>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut kept = self.statement.borrow_mut();
        let statement = match &mut *kept {
            Some(statement) => statement,
            none => none.insert(conn.prepare_with_flags(&self.sql, PrepFlags::SQLITE_PREPARE_PERSISTENT)?),
        };
        let mut values = Values { statement, column: 0 };
        bind(&mut values)?;
        debug_assert_eq!(values.column, values.statement.parameter_count(), "{}", self.sql);
        values.statement.raw_execute()?;
        Ok(())
    }

    /// Forgets the values of the last time.
    pub(super) fn forget(&self) {
        if let Some(statement) = &mut *self.statement.borrow_mut() {
            statement.clear_bindings();
        }
    }
}

/// The values of a statement, in the order of their numbers.
pub(super) struct Values<'s, 'c> {
    statement: &'s mut Statement<'c>,
    column: usize,
}

impl Values<'_, '_> {
    pub(super) fn put(&mut self, value: impl ToSql) -> rusqlite::Result<&mut Self> {
        self.column += 1;
        self.statement.raw_bind_parameter(self.column, value)?;
        Ok(self)
    }
}

pub(super) const END: [&str; 3] = end_jobs!("expires_at");
pub(super) const END_MEMBER: [&str; 3] = end_jobs!("batch_place");

/// What an attempt's end leaves beside the job's next state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left<'r> {
    /// No result.
    Nothing,
    /// A result that goes into the row.
    InRow(&'r JobResult),
    /// A result that lies at this key of its table.
    Beside(i64),
}

impl Left<'_> {
    /// Its statement's place among those of [`END`].
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::InRow(_) => 1,
            Self::Beside(_) => 2,
        }
    }
}

/// Keeps a result beside its job's row.
pub(super) const INSERT_RESULT: &str = "INSERT OR FAIL INTO results (seq, status, content_type, headers, body, fence, sum) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
