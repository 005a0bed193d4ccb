//! Results on their way to where they lie beside their jobs' rows.
//!
//! Invariant: what is written here is what [`body::result`](crate::body::result) reads.

use std::cell::RefCell;

use raincheck_core::content::JobResult;
use raincheck_core::id::{Fence, JobId};
use rusqlite::Connection;

use super::statements::{INSERT_RESULT, Kept};
use super::{key, texts};
use crate::sum;

/// What writes the rows of results.
pub(super) struct Beside<'c> {
    insert: Kept<'c>,
    headers: RefCell<String>,
}

impl<'c> Beside<'c> {
    pub(super) fn new() -> Self {
        Self {
            insert: Kept::new(INSERT_RESULT),
            headers: RefCell::default(),
        }
    }

    /// Inserts a job's result at this key; `emitted` names the claim whose output is its body already.
    pub(super) fn insert(
        &self,
        conn: &'c Connection,
        (at, id): (i64, JobId),
        result: &JobResult,
        emitted: Option<Fence>,
    ) -> rusqlite::Result<()> {
        let (kind, fence) = (result.content_type.as_deref(), emitted.map(|fence| fence.0));
        let body: &[u8] = if emitted.is_some() { &[] } else { &result.body };
        let mut headers = self.headers.borrow_mut();
        let headers = texts::headers(&mut headers, &result.headers)?;
        let numbers = [Some(key(id)), Some(result.status.into()), fence.map(i64::from)];
        let parts = [kind.map(str::as_bytes), headers.map(str::as_bytes), Some(body)];
        self.insert.run(conn, |values| {
            values
                .put(at)?
                .put(result.status)?
                .put(kind)?
                .put(headers)?
                .put(body)?
                .put(fence)?
                .put(sum::of(numbers, parts))?;
            Ok(())
        })?;
        // It may be large.
        self.insert.forget();
        Ok(())
    }
}
