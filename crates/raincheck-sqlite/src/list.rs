//! Listing jobs, newest first, on the index that fits the filter.
//!
//! Invariant: one call looks at a bounded number of rows, so a filter that nothing matches cannot hold a reader up; a
//! page that ends early has a cursor.

use std::sync::Arc;

use raincheck_core::job::State;
use raincheck_core::list::{Filter, Listed, Page};
use raincheck_core::name::Namespace;
use raincheck_core::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::batch_row;
use crate::row::{self, Found, QueueKey, QueueNames};

/// Rows that one call looks at: some milliseconds.
const ROWS_SEEN_MAX: u32 = 5_000;

/// The condition that an index answers, and its values. `?1` and `?2` bound the id.
fn driver(filter: &Filter, queue: Option<QueueKey>) -> (&'static str, Vec<Value>) {
    if let Some(batch) = filter.batch {
        let members = row::select_jobs!(
            "INDEXED BY jobs_batch WHERE batch = ?3 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
        );
        return (members, vec![batch_row::key(batch).into()]);
    }
    if let Some(tag) = &filter.tag {
        let tagged = row::select_jobs!(
            "WHERE seq IN (SELECT seq FROM tags WHERE tag = ?3 AND seq >= ?1 AND seq < ?2) ORDER BY seq DESC"
        );
        return (tagged, vec![tag.as_str().to_owned().into()]);
    }
    if let Some(group) = &filter.group {
        let grouped = row::select_jobs!(
            "INDEXED BY jobs_group WHERE job_group = ?3 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
        );
        return (grouped, vec![group.as_str().to_owned().into()]);
    }
    match (queue, filter.state) {
        (Some(queue), Some(State::Failed)) => {
            let failed = row::select_jobs!(
                "INDEXED BY jobs_failed WHERE queue = ?3 AND state = 3 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
            );
            (failed, vec![queue.into()])
        }
        (Some(queue), _) => {
            let queued = row::select_jobs!(
                "INDEXED BY jobs_queue WHERE queue = ?3 AND seq >= ?1 AND seq < ?2 ORDER BY seq DESC"
            );
            (queued, vec![queue.into()])
        }
        (None, _) => (
            row::select_jobs!("WHERE seq >= ?1 AND seq < ?2 ORDER BY seq DESC"),
            Vec::new(),
        ),
    }
}

/// One page.
pub(crate) fn list(
    conn: &Connection,
    names: &QueueNames,
    ns: &Namespace,
    page: &Page,
    now: Timestamp,
) -> rusqlite::Result<Listed> {
    let filter = &page.filter;
    let named = |name| {
        names
            .iter()
            .find(|(_, (owner, other))| owner == ns && other == name)
            .map(|(key, _)| *key)
    };
    let queue = filter.queue.as_ref().map(named);
    if queue == Some(None) {
        return Ok(Listed::default());
    }
    let first = |after: Timestamp| after.as_millis().saturating_add(1) << 12;
    let from = filter.submitted_after.map_or(0, first);
    let until = filter
        .submitted_before
        .map_or(i64::MAX, |before| before.as_millis() << 12);
    let cursor = page
        .cursor
        .and_then(|cursor| i64::try_from(cursor).ok())
        .unwrap_or(i64::MAX);
    let (sql, own) = driver(filter, queue.flatten());
    let mut statement = conn.prepare_cached(sql)?;
    let bounds = [Value::from(from), Value::from(until.min(cursor))];
    let mut rows = statement.query(params_from_iter(bounds.into_iter().chain(own)))?;
    let mut listed = Listed::default();
    let mut seen = 0;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let full = listed.jobs.len() >= page.limit as usize || seen >= ROWS_SEEN_MAX;
        if full {
            listed.cursor = last;
            break;
        }
        seen += 1;
        last = Some(row.get::<_, i64>(0)?.cast_unsigned());
        if let Found::Job(_, job) = row::read(row, names)?
            && job.namespace == *ns
            && filter.matches(&job, now)
        {
            listed.jobs.push(Arc::from(job));
        }
    }
    Ok(listed)
}
