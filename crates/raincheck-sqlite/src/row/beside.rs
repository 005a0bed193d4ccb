//! Results on their way to where they lie beside their jobs' rows.
//!
//! Invariant: what is written here is what [`body::result`](crate::body::result) reads.

use raincheck_core::content::JobResult;
use raincheck_core::id::{Fence, JobId};
use rusqlite::Connection;

use super::statements::{INSERT_RESULT, Kept};
use super::{headers_text, key};
use crate::sum;

/// What writes the rows of results.
pub(super) struct Beside<'c> {
    insert: Kept<'c>,
}

impl<'c> Beside<'c> {
    pub(super) fn new() -> Self {
        Self {
            insert: Kept::new(INSERT_RESULT),
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
        let headers = headers_text(&result.headers)?;
        let headers = headers.as_deref();
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
