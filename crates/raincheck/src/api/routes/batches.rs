//! Batches: opened by an upload, looked at, waited for, redeemed, cancelled.
//!
//! Invariant: a batch is on stable storage before the first of its lines is, and the 202 is sent only after all of them
//! and the end of the upload are.

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use raincheck_core::batch::{BatchId, BatchOpened, BatchStatus, NewBatch};
use raincheck_core::delivery::Callback;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::Idempotency;
use tokio::time::{Instant, sleep_until};

use super::upload::{Upload, missing, refused, unknown_batch};
use crate::api::Api;
use crate::api::answer::{IDEMPOTENCY_REPLAYED, draining, json, render, value};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::events::batch::ResultsStream;
use crate::api::events::form::Form;
use crate::api::events::{head, nothing};
use crate::api::extract::{BatchPath, NoBody, json_or_lines};
use crate::api::options::{Fingerprinter, Head, callback};
use crate::api::prefer::{PREFERENCE_APPLIED, Prefer};
use crate::api::problem::Problem;
use crate::api::query::{self, NoQuery, once, pairs, unknown, yes_or_no};
use crate::api::wire::batch::{BatchDocument, ResultDocument};
use crate::bound::in_time;
use crate::upkeep::tend::SLICE;

/// Submit any number of jobs as one batch: NDJSON, a submission a line, streamed.
///
/// Not atomic: lines are stored in groups while they come, and may run at once. A line that makes no job counts as
/// `rejected` and is listed with its `index`. A line has the fields of `POST /v1/jobs`, but for `keep` and `ticket`. An
/// upload that broke off may be repeated within 1 h under the same `Idempotency-Key`: lines that were accepted are
/// skipped, by index; then the batch is cancelled. Members stay as long as their batch: 24 h after it is done, 7 d
/// where one failed, or as `Raincheck-Keep` says. A repetition of a whole upload is answered with
/// `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/batches", operation_id = "submitBatch", tag = "batches",
    params(("queue" = Option<String>, Query, description = "The queue of lines that name none.", example = "thumbs")),
    request_body(content = String, content_type = "application/x-ndjson", description = "The lines."),
    responses((status = 202, description = "All lines are on stable storage.", body = BatchDocument<'_>,
               content_type = "application/json"))
)]
pub(crate) async fn submit_batch(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    let queue = query::queue(&parts)?;
    if !json_or_lines(&parts.headers)? {
        let detail = "a batch is NDJSON, a submission a line: send Content-Type: application/x-ndjson";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let (new, namespace) = (new_batch(&api, &parts, queue.as_ref())?, &caller.namespace);
    if api.node.draining() {
        return Err(draining());
    }
    let opened = Opened::open(&api, namespace, new).await?;
    let upload = Upload::new(
        &api,
        &caller,
        &parts.headers,
        queue.as_ref(),
        opened.id,
        opened.taken,
    );
    let lines = upload.run(content).await?;
    opened.seal(&api, namespace, lines).await
}

/// A batch that is uploaded: a new one, or one that was begun under the same key before.
pub(super) struct Opened {
    pub(super) id: BatchId,
    /// Lines that were taken before.
    pub(super) taken: u64,
    sealed: bool,
}

impl Opened {
    pub(super) async fn open(api: &Api, namespace: &Namespace, new: NewBatch) -> Result<Self, Problem> {
        let id = new.id;
        let opened = api.node.store().open_batch(namespace, new).await?;
        Ok(match opened.map_err(|why| refused(why, id))? {
            BatchOpened::Created(batch) => Self {
                id: batch.id,
                taken: 0,
                sealed: false,
            },
            BatchOpened::Replayed(status) => Self {
                id: status.batch.id,
                taken: status.batch.lines,
                sealed: status.batch.sealed(),
            },
        })
    }

    /// All of its lines have been taken.
    pub(super) async fn seal(
        self,
        api: &Api,
        namespace: &Namespace,
        lines: u64,
    ) -> Result<Response, Problem> {
        let id = self.id;
        let status = api.node.store().seal_batch(namespace, id, lines).await?;
        let status = status.map_err(|why| refused(why, id))?;
        let mut response = answer(api, StatusCode::ACCEPTED, &status);
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, value(api.node.links().batch(id)));
        if self.sealed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

/// What the head asks for.
fn new_batch(api: &Api, parts: &Parts, queue: Option<&QueueName>) -> Result<NewBatch, Problem> {
    let head = Head::read_for_batch(&parts.headers)?;
    let wished = head.asked.options.callback.as_ref();
    if wished.is_some_and(|callback| *callback != Callback::to(&callback.url)) {
        let detail = "Raincheck-Callback: a batch tells of its completion only; leave events out";
        return Err(Problem::bad_request(detail));
    }
    callback::judge(&api.node.options().targets, wished, callback::HEADER)?;
    let fingerprint = || {
        let fingerprinter = Fingerprinter::new(None, &head.asked);
        fingerprinter.finish(queue.map_or("", QueueName::as_str).as_bytes())
    };
    Ok(NewBatch {
        id: BatchId::new(api.node.store().mint()),
        keep: head.asked.options.keep,
        open_for: None,
        callback: wished.map(|callback| callback.url.clone()),
        idempotency: head.key.map(|key| Idempotency {
            key,
            fingerprint: fingerprint(),
        }),
    })
}

/// After how many seconds it is worth looking again at a batch that is not done.
const LOOK_AGAIN: u64 = 1;

pub(super) fn answer(api: &Api, code: StatusCode, status: &BatchStatus) -> Response {
    let mut response = json(code, render(&BatchDocument::of(api.node.links(), status)));
    if !status.batch.done() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(LOOK_AGAIN));
    }
    response
}

async fn read(api: &Api, namespace: &Namespace, id: BatchId) -> Result<BatchStatus, Problem> {
    let status = in_time(api.node.store().batch(namespace, id)).await?;
    status.map_err(|why| missing(why, id))
}

/// Read a batch. With `Prefer: wait=N` held until it is done.
#[utoipa::path(
    get, path = "/v1/batches/{id}", operation_id = "getBatch", tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    responses((status = 200, description = "The batch.", body = BatchDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn get_batch(
    State(api): State<Api>,
    caller: Caller,
    BatchPath(id): BatchPath,
    request: Request,
) -> Result<Response, Problem> {
    let received = Instant::now();
    let prefer = Prefer::of(&request.into_parts().0)?;
    let id = id.ok_or_else(unknown_batch)?;
    let Some(wait) = prefer.wait else {
        return Ok(answer(
            &api,
            StatusCode::OK,
            &read(&api, &caller.namespace, id).await?,
        ));
    };
    let _place = api.waiters.place().ok_or_else(|| api.waiters.refused())?;
    let mut following = api.node.batches().follow(id);
    let status = loop {
        let status = read(&api, &caller.namespace, id).await?;
        if status.batch.done() {
            break status;
        }
        tokio::select! {
            biased;
            () = api.node.drained().cancelled() => break status,
            () = sleep_until(received + wait) => break status,
            () = following.changed() => {}
        }
    };
    let mut response = answer(&api, StatusCode::OK, &status);
    if let Some(applied) = prefer.applied(false) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// Redeem the results of a batch as they come: NDJSON, in the order in which its jobs end.
///
/// Each line has a `seq`; `after` goes on behind it, after any restart. Follows the batch until it is done, with a blank
/// line every 15 s while nothing ends. A server that leaves ends the stream early: whoever wants all compares with the
/// batch, or asks again until a stream with `after` is empty. A job that was deleted is left out.
#[utoipa::path(
    get, path = "/v1/batches/{id}/results", operation_id = "getBatchResults", tag = "batches",
    params(
        ("id" = String, Path, description = "The batch."),
        ("after" = Option<u64>, Query, description = "Only results behind the one with this `seq`.", example = 17),
        ("follow" = Option<bool>, Query, description = "`false`: end when all that ended so far is told."),
    ),
    responses((status = 200, description = "The stream.", body = ResultDocument<'_>,
               content_type = "application/x-ndjson"))
)]
pub(crate) async fn get_results(
    State(api): State<Api>,
    caller: Caller,
    BatchPath(id): BatchPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let (after, follow) = place(&parts)?;
    let id = id.ok_or_else(unknown_batch)?;
    let permit = api.streams.place()?;
    let following = api.node.batches().follow(id);
    read(&api, &caller.namespace, id).await?;
    let mut response = head(Form::Lines);
    response.headers_mut().remove(header::VARY);
    *response.body_mut() = if parts.method == Method::HEAD {
        nothing()
    } else {
        let stream = ResultsStream::new(api.clone(), caller, id, following, permit);
        stream.body(after, follow)
    };
    Ok(response)
}

/// Where the reader goes on, and whether beyond what is there.
fn place(parts: &Parts) -> Result<(u64, bool), Problem> {
    let (mut after, mut follow) = (None, None);
    for (name, value) in pairs(parts.uri.query()) {
        match name {
            "after" => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let read = value.parse().ok().filter(|_| digits);
                let wrong = || Problem::bad_request("?after= takes the \"seq\" of a result");
                once(&mut after, name, read.ok_or_else(wrong)?)?;
            }
            "follow" => once(&mut follow, name, yes_or_no(name, value)?)?,
            _ => return Err(unknown(name)),
        }
    }
    Ok((after.unwrap_or(0), follow.unwrap_or(true)))
}

/// Cancel a batch: it takes no more lines, and all its jobs that are unfinished are cancelled. Again it changes nothing.
#[utoipa::path(
    post, path = "/v1/batches/{id}/cancel", operation_id = "cancelBatch", tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    responses(
        (status = 200, description = "All of it is cancelled, or was done already.", body = BatchDocument<'_>,
         content_type = "application/json"),
        (status = 202, description = "Some of it runs; its workers are being told.", body = BatchDocument<'_>,
         content_type = "application/json"),
    )
)]
pub(crate) async fn cancel_batch(
    State(api): State<Api>,
    caller: Caller,
    BatchPath(id): BatchPath,
    _: NoQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    let id = id.ok_or_else(unknown_batch)?;
    loop {
        // Upkeep goes on with it where the caller goes away.
        let cancelled = api
            .node
            .store()
            .cancel_batch(&caller.namespace, id, SLICE)
            .await?;
        let cancelled = cancelled.map_err(|why| missing(why, id))?;
        if cancelled.more {
            tokio::task::yield_now().await;
            continue;
        }
        let code = if cancelled.status.batch.done() {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        };
        return Ok(answer(&api, code, &cancelled.status));
    }
}
