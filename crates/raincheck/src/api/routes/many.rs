//! Submitting many jobs at once, independent of each other.
//!
//! Invariants: entries go to the store in batches, so that they share syncs, and each batch is handed over before the
//! next is read; a job's document is in the answer only once the store has said that it is stored.

use std::pin::Pin;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use http::header::HeaderMap;
use http::request::Parts;
use raincheck_core::content::Input;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::{StoreError, Submission};

use super::list::SomeQueues;
use super::submit::{admit, fits, order};
use crate::api::Api;
use crate::api::answer::json;
use crate::api::caller::Caller;
use crate::api::committed::{self, Accepted};
use crate::api::options::{callback, named, trace_context};
use crate::api::problem::Problem;
use crate::api::query::no_query;
use crate::api::ticket::Ticket;
use crate::api::wire::accepted::AcceptedDocument;
use crate::api::wire::job::JobDocument;
use crate::api::wire::many::Entries;
use crate::api::wire::submit as wire;
use crate::links::Links;

/// So many entries make one batch of the store.
const BATCH: usize = 1_000;

/// About how large one entry of the answer is, in bytes.
const ANSWER_BYTES: usize = 640;

/// What became of a batch, in its order.
type Fates<'a> = Pin<Box<dyn Future<Output = Vec<Result<Accepted, Problem>>> + Send + 'a>>;

/// An entry ready for the store, how long its tickets shall be good, and the one for the job that it may make.
type Entry = (Submission, Option<Duration>, Option<Ticket>);

/// Entries that were handed to the store together, and those between them that were refused before.
struct Batch<'a> {
    /// Each entry: why it was refused, or `None` where the store has it.
    entries: Vec<Option<Problem>>,
    /// The documents of those that the store has, one after the other, written while it commits.
    drafts: Vec<u8>,
    /// Where each draft ends.
    ends: Vec<usize>,
    /// How long each one's tickets shall be good.
    spans: Vec<Option<Duration>>,
    fates: Fates<'a>,
}

/// Submits each entry of a list. The answer is a list in the same order, each a job or a problem.
pub(super) async fn submit_many(
    api: &Api,
    caller: &Caller,
    parts: &Parts,
    keyed: bool,
    entries: Entries<'_>,
) -> Result<Response, Problem> {
    no_query(parts)?;
    if keyed {
        let detail = "Idempotency-Key: a list takes one key per entry, in the field \"idempotency_key\"";
        return Err(Problem::bad_request(detail));
    }
    let mut desk = Desk {
        api,
        caller,
        namespace: &caller.namespace,
        headers: &parts.headers,
        queues: SomeQueues::default(),
        last: None,
    };
    let mut batches = Vec::with_capacity(entries.0.len().div_ceil(BATCH));
    let mut out = Vec::with_capacity(entries.0.len() * ANSWER_BYTES + 2);
    for chunk in entries.0.chunks(BATCH) {
        batches.push(desk.hand_over(chunk).await);
        // Others wait for this thread as well.
        tokio::task::yield_now().await;
    }
    out.push(b'[');
    let mut index = 0;
    for batch in batches {
        index = desk.tell(batch, index, &mut out).await?;
    }
    out.push(b']');
    Ok(json(StatusCode::OK, out))
}

/// What the entries of one request have in common.
struct Desk<'a> {
    api: &'a Api,
    caller: &'a Caller,
    namespace: &'a Namespace,
    headers: &'a HeaderMap,
    queues: SomeQueues,
    /// The queue of the entry before: mostly the next one's as well.
    last: Option<QueueName>,
}

impl<'a> Desk<'a> {
    /// Reads the entries and hands them to the store.
    async fn hand_over(&mut self, chunk: &[&[u8]]) -> Batch<'a> {
        let mut entries = Vec::with_capacity(chunk.len());
        let mut submissions = Vec::with_capacity(chunk.len());
        let (mut tickets, mut spans) = (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
        for entry in chunk {
            entries.push(match self.read(entry).await {
                Ok((submission, span, ticket)) => {
                    spans.push(span);
                    tickets.push(ticket);
                    submissions.push(submission);
                    None
                }
                Err(problem) => Some(problem),
            });
        }
        let heads: Vec<_> = submissions
            .iter()
            .map(|submission| {
                let job = &submission.job;
                (job.id, job.queue.clone(), job.starts_at())
            })
            .collect();
        let (store, intake) = (&**self.api.node.store(), self.api.node.intake());
        let fates = Box::pin(committed::submit_many(store, intake, self.namespace, submissions));
        let mut drafts = Vec::with_capacity(heads.len() * ANSWER_BYTES);
        let mut ends = Vec::with_capacity(heads.len());
        for ((id, queue, starts_at), ticket) in heads.iter().zip(&tickets) {
            AcceptedDocument::of(self.api.node.links(), *id, queue, *starts_at)
                .with(*ticket)
                .write(&mut drafts);
            ends.push(drafts.len());
        }
        Batch {
            entries,
            drafts,
            ends,
            spans,
            fates,
        }
    }

    /// One entry, ready for the store.
    async fn read(&mut self, entry: &[u8]) -> Result<Entry, Problem> {
        let read = wire::Submission::read_entry(entry, self.last.as_ref())?;
        self.caller.queue(&read.queue)?;
        let mut asked = read.asked;
        let wished = asked.options.callback.as_ref();
        callback::judge(&self.api.node.options().targets, wished, callback::FIELD)?;
        trace_context(self.headers, &mut asked.options);
        let headers = named(self.headers, &asked.forward)?;
        let queue = self.queues.get(self.api, self.namespace, &read.queue).await?;
        admit(&self.api.node, queue.as_deref(), &read.queue, read.key.is_some())?;
        fits(queue.as_deref(), read.body.len())?;
        let input = Input {
            content_type: read.content_type,
            headers,
            body: read.body,
        };
        if self.last.as_ref() != Some(&read.queue) {
            self.last = Some(read.queue.clone());
        }
        let span = asked.ticket;
        let submission = order(&self.api.node, self.namespace, read.queue, asked, read.key, input);
        let ticket = match span {
            None => None,
            Some(span) => Some(self.issue(submission.job.id, span).await?),
        };
        Ok((submission, span, ticket))
    }

    async fn issue(&self, id: JobId, span: Duration) -> Result<Ticket, StoreError> {
        let api = self.api;
        api.tickets.issue(&api.node, self.namespace, id, span).await
    }

    /// Writes what became of a batch whose first entry is the list's `index`; gives back the next one's.
    async fn tell(
        &mut self,
        batch: Batch<'_>,
        mut index: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, StoreError> {
        let mut start = 0;
        let mut ends = batch.ends.iter().zip(batch.spans);
        let mut fates = batch.fates.await.into_iter();
        for entry in batch.entries {
            if index > 0 {
                out.push(b',');
            }
            match entry {
                Some(problem) => refuse(out, self.api.node.links(), &problem, index),
                None => {
                    let (&end, span) = ends.next().expect("each that the store has is drafted");
                    match fates.next().expect("a store answers each entry of a batch") {
                        Ok(Accepted::New(_)) => out.extend_from_slice(&batch.drafts[start..end]),
                        Ok(Accepted::Replayed(job)) => {
                            self.repeat(out, job.get(), span, r#""idempotency_replayed":true"#)
                                .await?;
                        }
                        Ok(Accepted::Attached(job)) => {
                            self.repeat(out, job.get(), span, r#""attached":true"#).await?;
                        }
                        Err(problem) => refuse(out, self.api.node.links(), &problem, index),
                    }
                    start = end;
                }
            }
            index += 1;
        }
        Ok(index)
    }

    /// The job that an earlier entry or request made, as it is now, and why it stands here.
    async fn repeat(
        &mut self,
        out: &mut Vec<u8>,
        job: &Job,
        span: Option<Duration>,
        why: &str,
    ) -> Result<(), StoreError> {
        let ticket = match span {
            None => None,
            Some(span) => Some(self.issue(job.id, span).await?),
        };
        let queue = self.queues.get(self.api, self.namespace, &job.queue).await?;
        write(
            out,
            &JobDocument::of(
                self.api.node.links(),
                job,
                queue.as_deref(),
                self.api.node.store().now(),
            )
            .with(ticket),
        );
        add(out, why);
        Ok(())
    }
}

fn write(out: &mut Vec<u8>, document: &impl serde::Serialize) {
    serde_json::to_writer(out, document).expect("a document's keys are text");
}

/// Adds a field to the object that was written last.
fn add(out: &mut Vec<u8>, field: &str) {
    let brace = out.pop();
    debug_assert_eq!(brace, Some(b'}'), "an object was written");
    out.push(b',');
    out.extend_from_slice(field.as_bytes());
    out.push(b'}');
}

/// A problem with the entry. The whole answer has a request's id, a problem in it has none.
fn refuse(out: &mut Vec<u8>, links: Links<'_>, problem: &Problem, index: usize) {
    write(out, &problem.document(links, ""));
    add(out, &format!("\"index\":{index}"));
    if problem.in_doubt() {
        add(out, r#""outcome":"unknown""#);
    }
}
