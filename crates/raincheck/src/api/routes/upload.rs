//! An upload of a batch: its lines, one after the other, on their way into the store.
//!
//! Invariants: no more is held than the line that is read, the group that gathers and the one that is being committed;
//! groups are handed over in their order, and the next only after the one before the last was committed.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::HeaderMap;
use raincheck_core::batch::{Batch, BatchId, BatchMissing, BatchRefused, Line};
use raincheck_core::content::Input;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::BODY_MAX_LIMIT;
use raincheck_core::store::Answer;

use super::fetch::Fetching;
use super::list::SomeQueues;
use super::submit::{fits, order};
use crate::api::Api;
use crate::api::answer::draining;
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::extract::{body_problem, closing};
use crate::api::options::{callback, named, trace_context};
use crate::api::problem::Problem;
use crate::api::wire::submit as wire;
use crate::fetch::blank;
use crate::server::{Lines, Piece};

/// The longest line: a body of the largest size as base64, and as much again for the rest as anyone needs.
const LINE_BYTES_MAX: u64 = BODY_MAX_LIMIT / 3 * 4 + (1 << 20);

/// So many lines make one step of the store: some milliseconds of its time.
const GROUP_LINES: usize = 500;

/// About so many bytes do as well.
const GROUP_BYTES: usize = 512 << 10;

/// An upload under way.
pub(super) struct Upload<'a> {
    pub(super) api: &'a Api,
    pub(super) caller: &'a Caller,
    pub(super) namespace: &'a Namespace,
    pub(super) headers: &'a HeaderMap,
    /// The queue of lines that name none.
    pub(super) queue: Option<&'a QueueName>,
    pub(super) id: BatchId,
    /// Lines that were taken before.
    pub(super) taken: u64,
    /// What makes its lines jobs where they are URLs to be fetched.
    fetching: Option<&'a Fetching>,
    group: Vec<Line>,
    bytes: usize,
    /// Settings of queues, as they were when the group began.
    queues: SomeQueues,
    /// The queue of the line before: mostly the next one's as well.
    last: Option<QueueName>,
    committing: Option<Answer<Result<Arc<Batch>, BatchRefused>>>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        api: &'a Api,
        caller: &'a Caller,
        headers: &'a HeaderMap,
        queue: Option<&'a QueueName>,
        id: BatchId,
        taken: u64,
    ) -> Self {
        Self {
            api,
            caller,
            namespace: &caller.namespace,
            headers,
            queue,
            id,
            taken,
            fetching: None,
            group: Vec::with_capacity(GROUP_LINES),
            bytes: 0,
            queues: SomeQueues::default(),
            last: None,
            committing: None,
        }
    }

    /// The same with lines that are URLs to be fetched.
    pub(super) const fn fetching(mut self, fetching: &'a Fetching) -> Self {
        self.fetching = Some(fetching);
        self
    }

    /// Has the store take these lines; how many there were.
    ///
    /// # Errors
    /// As of [`Upload::run`].
    pub(super) async fn run_list(mut self, lines: Vec<Bytes>) -> Result<u64, Problem> {
        let mut index = 0;
        for line in lines {
            self.next(index, Ok(line)).await?;
            index += 1;
        }
        self.hand_over(index).await?;
        self.committed().await?;
        Ok(index)
    }

    /// Reads the body to its end and has the store take its lines; how many there were.
    ///
    /// # Errors
    /// When the body breaks off, the node leaves, or the store or the batch takes no more. What was committed until then
    /// stays, and the rest is unread.
    pub(super) async fn run(mut self, content: Body) -> Result<u64, Problem> {
        let mut lines = Lines::new(
            content,
            LINE_BYTES_MAX,
            self.api.options.body_pace,
            &self.api.room,
        );
        let mut index = 0;
        loop {
            let piece = tokio::select! {
                biased;
                () = self.api.node.drained().cancelled() => return Err(closing(draining())),
                piece = lines.next() => piece,
            };
            let line = match piece.map_err(|error| body_problem(self.api, &error))? {
                Some(Piece::Line(line)) if self.fetching.is_some() && blank(&line) => continue,
                Some(Piece::Line(line)) => Ok(line),
                Some(Piece::TooLong) => Err(too_long()),
                Some(Piece::Pause) => {
                    self.hand_over(index).await?;
                    continue;
                }
                None => break,
            };
            self.next(index, line).await?;
            index += 1;
        }
        self.hand_over(index).await?;
        self.committed().await?;
        Ok(index)
    }

    /// Takes the line with this index, unless it was taken before, and hands the group over where it is large enough.
    async fn next(&mut self, index: u64, line: Result<Bytes, Problem>) -> Result<(), Problem> {
        // What was taken before was read before.
        if index >= self.taken {
            self.take(line).await?;
        }
        if self.group.len() >= GROUP_LINES || self.bytes >= GROUP_BYTES {
            self.hand_over(index + 1).await?;
            // Others wait for this thread as well.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Adds a line to the group.
    async fn take(&mut self, line: Result<Bytes, Problem>) -> Result<(), Problem> {
        let read = match line {
            Ok(line) => {
                self.bytes += line.len();
                self.read(&line).await
            }
            Err(problem) => Err(problem),
        };
        let line = match read {
            Ok(line) => line,
            // The store's trouble is not the line's.
            Err(problem) if problem.code().status().is_server_error() => return Err(closing(problem)),
            Err(problem) => Line::Bad {
                code: problem.code().as_str().to_owned(),
                detail: problem.detail().to_owned(),
            },
        };
        self.group.push(line);
        Ok(())
    }

    /// One line, ready for the store.
    async fn read(&mut self, line: &[u8]) -> Result<Line, Problem> {
        if let Some(fetching) = self.fetching {
            return fetching.line(self.api, self.namespace, self.headers, line);
        }
        let read = wire::Submission::read_line(line, self.last.as_ref(), self.queue)?;
        self.caller.queue(&read.queue)?;
        let mut asked = read.asked;
        for (given, field, why) in [
            (
                asked.options.keep.is_some(),
                "keep",
                "is the batch's: send Raincheck-Keep",
            ),
            (
                asked.ticket.is_some(),
                "ticket",
                "is not given for jobs of a batch: no answer would show it",
            ),
        ] {
            if given {
                return Err(Problem::bad_request(format!("the field {field:?}: {why}")));
            }
        }
        let wished = asked.options.callback.as_ref();
        callback::judge(&self.api.node.options().targets, wished, callback::FIELD)?;
        trace_context(self.headers, &mut asked.options);
        let headers = named(self.headers, &asked.forward)?;
        let queue = self.queues.get(self.api, self.namespace, &read.queue).await?;
        fits(queue.as_deref(), read.body.len())?;
        let input = Input {
            content_type: read.content_type,
            headers,
            body: read.body,
        };
        if self.last.as_ref() != Some(&read.queue) {
            self.last = Some(read.queue.clone());
        }
        let submission = order(&self.api.node, self.namespace, read.queue, asked, read.key, input);
        Ok(Line::Job(Box::new(submission)))
    }

    /// Hands the group over, of which the line `end` would be the next, once the one before was committed.
    async fn hand_over(&mut self, end: u64) -> Result<(), Problem> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::replace(&mut self.group, Vec::with_capacity(GROUP_LINES));
        self.bytes = 0;
        self.queues = SomeQueues::default();
        let first = end - group.len() as u64;
        self.committed().await?;
        let intake = self.api.node.intake();
        let handed_over = intake.add_lines(self.namespace, self.id, first, group);
        self.committing = Some(handed_over.ok_or_else(|| closing(draining()))?);
        Ok(())
    }

    /// Waits until what was handed over is on stable storage.
    async fn committed(&mut self) -> Result<(), Problem> {
        if let Some(committing) = self.committing.take() {
            let answer = committing.await.map_err(|error| closing(error.into()))?;
            answer.map_err(|why| closing(refused(why, self.id)))?;
        }
        Ok(())
    }
}

fn too_long() -> Problem {
    let detail = format!("the line is longer than {LINE_BYTES_MAX} bytes, the limit of one job as JSON");
    Problem::new(Code::BodyTooLarge, detail)
}

/// Why a batch takes no lines.
pub(super) fn refused(why: BatchRefused, id: BatchId) -> Problem {
    match why {
        BatchRefused::Missing(why) => missing(why, id),
        BatchRefused::IdempotencyMismatch => Problem::new(
            Code::IdempotencyMismatch,
            "the Idempotency-Key was used before, for a batch with another queue, callback or retention",
        ),
        BatchRefused::Cancelled => {
            let detail = format!("{id} was cancelled and takes no more lines; send the rest as a new batch");
            Problem::new(Code::BatchClosed, detail)
        }
        BatchRefused::Sealed { lines } | BatchRefused::Gap { lines } => {
            let detail = format!(
                "{id} has {lines} lines, which were sent under this Idempotency-Key before; this upload has another \
                 number of them"
            );
            Problem::new(Code::IdempotencyMismatch, detail)
        }
    }
}

/// A batch that is not there.
pub(super) fn missing(why: BatchMissing, id: BatchId) -> Problem {
    match why {
        BatchMissing::Unknown => unknown_batch(),
        BatchMissing::Expired => {
            let detail = format!("{id} has outlived its retention, and its jobs with it");
            Problem::new(Code::BatchExpired, detail)
        }
    }
}

/// No batch has this id.
pub(super) fn unknown_batch() -> Problem {
    Problem::new(
        Code::UnknownBatch,
        "no batch has this id, or it is gone for more than 24 h",
    )
}
