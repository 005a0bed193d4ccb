//! Acting on all jobs that a filter matches: first a preview, then the deed.
//!
//! Invariants: one request is bounded work, a slice of the listing at a time, and never holds a transaction open between
//! slices; only jobs that matched when the preview was made are acted on.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use raincheck_core::decide::{BulkAction, BulkMatch, bulk};
use raincheck_core::id::JobId;
use raincheck_core::job::{Job, State as Stand};
use raincheck_core::list::{Filter, Page};
use raincheck_core::name::Namespace;
use raincheck_core::store::{ChangeRefused, Counts, Retry, StoreError, SubmitRefused};
use raincheck_core::time::Timestamp;

use super::list::SomeQueues;
use crate::api::Api;
use crate::api::answer::{draining, json, render};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::extract::{JsonRequest, SETTINGS_BYTES_MAX, body};
use crate::api::problem::Problem;
use crate::api::wire::bulk::{Bulk, BulkAnswer, Confirm, DoneDocument, PreviewDocument};
use crate::api::wire::job::JobDocument;

/// At most so many jobs are acted on in one request.
const ACTED_MAX: usize = 10_000;

/// So many jobs are acted on in one step of the store, so that others get their turn in between.
const BATCH: usize = 500;

/// At most so many slices of the listing are read in one request, some milliseconds each.
const SLICES_MAX: usize = 20;

/// At most so many until the first job that is due is found: who repeats the first `confirm` walks past all that was done.
const SLICES_SEARCHED_MAX: usize = 1_000;

/// So many of them are for counting what remains, where that is not known.
const SLICES_TO_COUNT: usize = 5;

/// Jobs of one slice.
const SLICE: u32 = 2_000;

/// How many jobs a preview shows.
const SAMPLE: usize = 10;

/// Cancel, retry or delete all jobs that a filter matches.
///
/// Without `confirm` nothing is changed: the answer tells how many jobs match, shows some of them and gives a `confirm`.
/// Sent with that and the same action and filter, the request acts on the jobs that matched then, at most 10,000; while
/// more remain, the answer gives the next `confirm`. Repeating a request whose answer was lost is harmless.
#[utoipa::path(
    post, path = "/v1/jobs/bulk", operation_id = "bulk", tag = "jobs",
    request_body(content = crate::api::wire::bulk::BulkSchema, content_type = "application/json"),
    responses((status = 200, description = "Without `confirm` the preview, with it what was done.",
               body = BulkAnswer<'_>, content_type = "application/json"))
)]
pub(crate) async fn bulk_jobs(
    State(api): State<Api>,
    caller: Caller,
    JsonRequest { content, .. }: JsonRequest,
) -> Result<Response, Problem> {
    let content = body(&api, content, SETTINGS_BYTES_MAX, "this path").await?;
    let asked = Bulk::read(&content)?;
    let action = asked.action;
    refuse_nonsense(action, &asked.filter)?;
    if action == BulkAction::Retry && api.node.draining() {
        return Err(draining());
    }
    let scan = |at, below| Scan {
        api: &api,
        caller: &caller,
        namespace: &caller.namespace,
        action,
        filter: &asked.filter,
        at,
        below: Some(below),
        slices: 0,
        slices_max: SLICES_MAX,
    };
    match asked.confirm {
        None => {
            let at = api.node.store().now();
            preview(scan(at, api.node.store().mint().seq())).await
        }
        Some(confirm) => act(scan(confirm.at, confirm.below), confirm).await,
    }
}

/// A state that no job of the action can have is a slip of the caller's.
fn refuse_nonsense(action: BulkAction, filter: &Filter) -> Result<(), Problem> {
    let finished = |state| !matches!(state, Stand::Scheduled | Stand::Queued | Stand::Running);
    let why = match (action, filter.state) {
        (_, None) => return Ok(()),
        (BulkAction::Cancel, Some(state)) if finished(state) => "a finished job cannot be cancelled",
        (BulkAction::Retry, Some(state)) if !finished(state) => "only a finished job can be retried",
        (BulkAction::Delete, Some(state)) if !finished(state) => "only a finished job can be deleted",
        (BulkAction::Cancel | BulkAction::Retry | BulkAction::Delete, Some(_)) => return Ok(()),
    };
    Err(Problem::bad_request(format!("the field \"state\": {why}")).at("/filter/state"))
}

/// A walk through the listing, newest first.
struct Scan<'a> {
    api: &'a Api,
    caller: &'a Caller,
    namespace: &'a Namespace,
    action: BulkAction,
    filter: &'a Filter,
    /// When the preview was made.
    at: Timestamp,
    /// The listing's cursor; `None` where nothing follows.
    below: Option<u64>,
    slices: usize,
    slices_max: usize,
}

impl Scan<'_> {
    /// The next slice, at most `limit` jobs that matched at the time of the preview and whether each is due; `None` where
    /// nothing follows or this request has read enough.
    async fn next(&mut self, limit: u32) -> Result<Option<Vec<(Arc<Job>, BulkMatch)>>, StoreError> {
        let Some(cursor) = self.below.filter(|_| self.slices < self.slices_max) else {
            return Ok(None);
        };
        self.slices += 1;
        // A final state stays what it is, so the listing can look for it; any other may have changed since.
        let state = match (self.action, self.filter.state) {
            (BulkAction::Cancel, _) => None,
            (BulkAction::Retry, None) => Some(Stand::Failed),
            (BulkAction::Retry | BulkAction::Delete, state) => state,
        };
        let page = Page {
            filter: Filter {
                state,
                ..self.filter.clone()
            },
            cursor: Some(cursor),
            limit: limit.min(SLICE),
        };
        let listed = self.api.node.store().list(self.namespace, page).await?;
        self.below = listed.cursor;
        let judged = listed.jobs.into_iter().map(|job| {
            let found = bulk(&job, self.action, self.filter, self.at);
            (job, found)
        });
        Ok(Some(
            judged.filter(|(_, found)| *found != BulkMatch::Other).collect(),
        ))
    }

    /// How many jobs match from here on, and whether those are all.
    async fn count(&mut self) -> Result<(u64, bool), StoreError> {
        let mut count = 0;
        self.slices_max = self.slices + SLICES_TO_COUNT;
        while let Some(slice) = self.next(SLICE).await? {
            count += slice.len() as u64;
        }
        Ok((count, self.below.is_none()))
    }

    /// How many jobs match, where that can be told from the queues' own counts.
    async fn counted(&self) -> Result<Option<u64>, StoreError> {
        let filter = self.filter;
        let plain = filter.tag.is_none()
            && filter.group.is_none()
            && filter.batch.is_none()
            && filter.submitted_after.is_none()
            && filter.submitted_before.is_none();
        // Which jobs were retried before is not counted anywhere.
        if !plain || self.action == BulkAction::Retry {
            return Ok(None);
        }
        let store = self.api.node.store();
        let queues = match &filter.queue {
            Some(name) => store.queue(self.namespace, name).await?.into_iter().collect(),
            None => store.queues(self.namespace).await?,
        };
        let counts = queues
            .iter()
            .map(|status| counted(self.action, filter.state, &status.counts));
        Ok(Some(counts.sum()))
    }
}

/// How many jobs of a queue an action is for.
fn counted(action: BulkAction, state: Option<Stand>, counts: &Counts) -> u64 {
    match (action, state) {
        (BulkAction::Cancel, None) => counts.unfinished(),
        (BulkAction::Retry | BulkAction::Delete, None) => {
            counts.succeeded + counts.failed + counts.cancelled + counts.expired
        }
        (_, Some(Stand::Scheduled)) => counts.scheduled,
        (_, Some(Stand::Queued)) => counts.queued,
        (_, Some(Stand::Running)) => counts.running,
        (_, Some(Stand::Succeeded)) => counts.succeeded,
        (_, Some(Stand::Failed)) => counts.failed,
        (_, Some(Stand::Cancelled)) => counts.cancelled,
        (_, Some(Stand::Expired)) => counts.expired,
    }
}

async fn preview(mut scan: Scan<'_>) -> Result<Response, Problem> {
    let (api, at) = (scan.api, scan.at);
    let below = scan.below.unwrap_or_default();
    let known = scan.counted().await?;
    let mut sample: Vec<Arc<Job>> = Vec::new();
    let (mut seen, mut matched) = (0, 0);
    while let Some(slice) = scan.next(SLICE).await? {
        matched += slice.len() as u64;
        let due = slice.into_iter().filter(|(_, found)| *found == BulkMatch::Due);
        for (job, _) in due {
            seen += 1;
            if sample.len() < SAMPLE {
                sample.push(job);
            }
        }
        if known.is_some_and(|count| seen >= count.min(SAMPLE as u64)) {
            break;
        }
    }
    let exact = known.is_some() || scan.below.is_none();
    let count = known.unwrap_or(seen);
    let mut queues = SomeQueues::default();
    let mut settings = Vec::with_capacity(sample.len());
    for job in &sample {
        settings.push(queues.get(api, &job.namespace, &job.queue).await?);
    }
    // Those about which nothing is left to do are met on the way as well.
    let left = exact.then(|| known.unwrap_or(matched));
    let confirm = Confirm::new(scan.action, scan.filter, at, below, left);
    let answer = BulkAnswer::Preview(PreviewDocument {
        count,
        exact,
        sample: sample
            .iter()
            .zip(&settings)
            .map(|(job, queue)| JobDocument::of(api.node.links(), job, queue.as_deref(), at))
            .collect(),
        confirm: (count > 0 || !exact).then(|| confirm.to_text()),
    });
    Ok(json(StatusCode::OK, render(&answer)))
}

async fn act(mut scan: Scan<'_>, confirm: Confirm) -> Result<Response, Problem> {
    let mut due: Vec<JobId> = Vec::new();
    let mut handled = 0;
    scan.slices_max = SLICES_SEARCHED_MAX;
    loop {
        let over = confirm.left.is_some_and(|left| handled >= left);
        let room = u32::try_from(ACTED_MAX - due.len()).unwrap_or(0);
        if over || room == 0 {
            break;
        }
        let Some(slice) = scan.next(room).await? else {
            break;
        };
        handled += slice.len() as u64;
        let slice = slice.into_iter().filter(|(_, found)| *found == BulkMatch::Due);
        let searching = due.is_empty();
        due.extend(slice.map(|(job, _)| job.id));
        if searching && !due.is_empty() {
            scan.slices_max = scan.slices + SLICES_MAX;
        }
    }
    // The oldest first, as they came.
    due.reverse();
    let (acted, refused) = carry_out(&scan, &due).await?;
    let below = scan.below;
    let (remaining, exact) = match (below, confirm.left) {
        (None, _) => (0, true),
        (Some(_), Some(left)) => (left.saturating_sub(handled), true),
        (Some(_), None) => scan.count().await?,
    };
    let next = below.filter(|_| remaining > 0 || !exact).map(|below| {
        let left = exact.then_some(remaining);
        Confirm::new(scan.action, scan.filter, scan.at, below, left).to_text()
    });
    let answer = BulkAnswer::Done(DoneDocument {
        acted,
        refused,
        remaining,
        exact,
        confirm: next,
    });
    Ok(json(StatusCode::OK, render(&answer)))
}

/// Acts on these jobs; how many were, and why others were not. One that is gone meanwhile counts as neither.
async fn carry_out(scan: &Scan<'_>, due: &[JobId]) -> Result<(u64, BTreeMap<&'static str, u64>), StoreError> {
    let mut acted = 0;
    let mut refused = BTreeMap::new();
    if due.is_empty() {
        return Ok((acted, refused));
    }
    let (node, ns) = (scan.caller.node(scan.api), scan.namespace);
    let store = node.changing();
    let mut count = |answer: Result<(), Code>| match answer {
        Ok(()) => acted += 1,
        Err(code) => *refused.entry(code.as_str()).or_default() += 1,
    };
    for batch in due.chunks(BATCH) {
        match scan.action {
            BulkAction::Cancel => {
                let answers = store.cancel(ns, batch.to_vec()).await?;
                answers
                    .into_iter()
                    .filter(|answer| answer.as_ref().is_ok_and(|job| job.cancel_requested))
                    .for_each(|_| count(Ok(())));
            }
            BulkAction::Retry => {
                let retry = |id: &JobId| Retry {
                    id: *id,
                    new_id: store.mint(),
                };
                let answers = store.retry(ns, batch.iter().map(retry).collect()).await?;
                answers
                    .into_iter()
                    .filter_map(|answer| told(answer.map(drop)))
                    .for_each(&mut count);
            }
            BulkAction::Delete => {
                let answers = store.delete(ns, batch.to_vec()).await?;
                answers.into_iter().filter_map(told).for_each(&mut count);
            }
        }
    }
    Ok((acted, refused))
}

fn told(answer: Result<(), ChangeRefused>) -> Option<Result<(), Code>> {
    match answer {
        Ok(()) => Some(Ok(())),
        Err(ChangeRefused::Missing(_)) => None,
        Err(ChangeRefused::NotDone) => Some(Err(Code::JobNotDone)),
        Err(ChangeRefused::Submit(why)) => Some(Err(match why {
            SubmitRefused::UnknownQueue => Code::UnknownQueue,
            SubmitRefused::QueueFull { .. } | SubmitRefused::QueueBytesFull { .. } => Code::QueueFull,
            SubmitRefused::IdempotencyMismatch => Code::IdempotencyMismatch,
            SubmitRefused::UniqueConflict { .. } => Code::UniqueConflict,
        })),
    }
}
