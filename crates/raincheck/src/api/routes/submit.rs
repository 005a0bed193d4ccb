//! Submitting a job: its body as it is, or as one JSON object.
//!
//! Invariant: what can be refused without the body is refused before the body is read; the 202 is rendered while the
//! commit runs and sent only after it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http_body::Body;
use raincheck_core::content::Input;
use raincheck_core::decide::NewJob;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{BODY_MAX_LIMIT, Queue};
use raincheck_core::store::{Change, Idempotency, Submission};
use tokio::time::Instant;

use super::many::submit_many;
use crate::api::Api;
use crate::api::answer::{
    IDEMPOTENCY_REPLAYED, RAINCHECK_ATTACHED, draining, json, retry_after, seconds_until, stamp,
    unknown_queue, value,
};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::committed::{self, Accepted, Committed};
use crate::api::extract::{QueuePath, body, json_or_lines};
use crate::api::options::{Asked, Fingerprinter, Head, callback, describing, named, trace_context};
use crate::api::prefer::{PREFERENCE_APPLIED, Prefer};
use crate::api::problem::Problem;
use crate::api::redeem::{self, Asking};
use crate::api::ticket::Ticket;
use crate::api::wire::accepted::AcceptedDocument;
use crate::api::wire::job::JobDocument;
use crate::api::wire::many::{Entries, LIST_BYTES_MAX, is_list};
use crate::api::wire::submit::{self as wire, SubmissionSchema};
use crate::api::wish::{Waited, Wish};
use crate::links::Links;
use crate::node::Node;

/// The largest input of a queue that does not exist yet.
const BODY_BYTES_DEFAULT: u64 = 1 << 20;

/// The largest JSON form: a body of the largest size as base64, and as much again for the rest as anyone needs.
const JSON_BYTES_MAX: u64 = BODY_MAX_LIMIT / 3 * 4 + (1 << 20);

/// Submit a job: the body is its input, of any content type, kept byte for byte.
///
/// Answered only after the job is on stable storage. With `Prefer: wait=N` the answer is held until the job is done, at
/// most N seconds, and is then its result.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/jobs", operation_id = "submit", tag = "jobs",
    params(("queue" = String, Path, description = "The line to wait in.", example = "thumbs")),
    request_body(content = Vec<u8>, content_type = "*/*", description = "The input."),
    responses(
        (status = 202, description = "Accepted and on stable storage; the start of its document.", body = JobDocument<'_>,
         content_type = "application/json"),
        (status = 200, description = "Under `Prefer: wait`, done in time: its result, with the result's own status."),
    )
)]
pub(crate) async fn submit_raw(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    submit(api, parts, content).await
}

/// The path of [`submit_raw`].
pub(crate) const RAW: &str = "/v1/queues/{queue}/jobs";

/// Whether a path is that of [`submit_raw`]; some spellings of it are found by the router alone.
pub(crate) fn is_raw(path: &str) -> bool {
    let queue = path
        .strip_prefix("/v1/queues/")
        .and_then(|rest| rest.strip_suffix("/jobs"));
    queue.is_some_and(|queue| !queue.is_empty() && !queue.contains('/'))
}

/// See [`submit_raw`]: the same, with a body that is in no box.
pub(crate) async fn submit<B>(api: Api, mut parts: Parts, content: B) -> Result<Response, Problem>
where
    B: Body<Data = Bytes>,
{
    let (api, received) = (&api, Instant::now());
    let caller = Caller::of(&mut parts, api, RAW).await?;
    let QueuePath(name) = QueuePath::of(&parts)?;
    let prefer = Prefer::of(&parts)?;
    let head = Head::read(&parts.headers)?;
    let wished = head.asked.options.callback.as_ref();
    callback::judge(&api.node.options().targets, wished, callback::HEADER)?;
    let mut headers = describing(&parts.headers)?;
    headers.extend(named(&parts.headers, &head.asked.forward)?);
    let queue = door(api, &caller.namespace, &name, head.key.is_some()).await?;
    let content = body(api, content, body_max(queue.as_deref()), "the queue").await?;
    let input = Input {
        content_type: head.content_type.map(str::to_owned),
        headers,
        body: content,
    };
    let wish = Wish {
        key: caller.kept().filter(|_| prefer.wait.is_some()),
        prefer,
        ticket: head.asked.ticket,
        received,
    };
    let submission = order(&api.node, &caller.namespace, name, head.asked, head.key, input);
    // The head's buffer is not held while the answer is waited for.
    drop(parts);
    place(api, &caller.namespace, submission, wish).await
}

/// Submit a job as JSON: queue, input and options in one object. Or up to 10,000 at once: an array of such objects, or
/// NDJSON, 64 MiB at most.
///
/// The entries of a list are independent of each other: the answer is a list in the order given, each a job, once it is
/// on stable storage, or a problem with its `index`. Each entry has its own `idempotency_key`; the header is refused,
/// and `Prefer: wait` counts for nothing. A list that is too long or no list at all is refused whole.
#[utoipa::path(
    post, path = "/v1/jobs", operation_id = "submitJson", tag = "jobs",
    request_body(content = inline(SubmissionSchema), content_type = "application/json"),
    responses(
        (status = 202, description = "Accepted and on stable storage; the start of its document.", body = JobDocument<'_>,
         content_type = "application/json"),
        (status = 200, description = "Under `Prefer: wait`, done in time: its result, with the result's own status."),
    )
)]
pub(crate) async fn submit_json(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let received = Instant::now();
    let (parts, content) = request.into_parts();
    let lines = json_or_lines(&parts.headers)?;
    let prefer = Prefer::of(&parts)?;
    let head = Head::read_for_json(&parts.headers)?;
    let content = body(&api, content, LIST_BYTES_MAX, "the JSON forms").await?;
    if lines || is_list(&content) {
        let entries = if lines {
            Entries::of_lines(&content)?
        } else {
            Entries::of_array(&content)?
        };
        let keyed = head.key.is_some();
        // In a box of its own, so that a single submission that waits is no larger for it.
        return Box::pin(submit_many(&api, &caller, &parts, keyed, entries)).await;
    }
    if content.len() as u64 > JSON_BYTES_MAX {
        let detail = format!("the body is larger than {JSON_BYTES_MAX} bytes, the limit of one job as JSON");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    let read = wire::Submission::read(&content)?;
    caller.queue(&read.queue)?;
    let key = one_key(head.key, read.key)?;
    let mut asked = read.asked;
    let wished = asked.options.callback.as_ref();
    callback::judge(&api.node.options().targets, wished, callback::FIELD)?;
    trace_context(&parts.headers, &mut asked.options);
    let headers = named(&parts.headers, &asked.forward)?;
    let queue = door(&api, &caller.namespace, &read.queue, key.is_some()).await?;
    fits(queue.as_deref(), read.body.len())?;
    let input = Input {
        content_type: read.content_type,
        headers,
        body: read.body,
    };
    let wish = Wish {
        key: caller.kept().filter(|_| prefer.wait.is_some()),
        prefer,
        ticket: asked.ticket,
        received,
    };
    let submission = order(&api.node, &caller.namespace, read.queue, asked, key, input);
    drop((parts, content));
    place(&api, &caller.namespace, submission, wish).await
}

/// The key of a JSON submission may stand in the head or in the body.
fn one_key(head: Option<String>, field: Option<String>) -> Result<Option<String>, Problem> {
    match (head, field) {
        (Some(head), Some(field)) if head != field => Err(Problem::bad_request(
            "Idempotency-Key and the field \"idempotency_key\" differ",
        )
        .at("/idempotency_key")),
        (head, field) => Ok(head.or(field)),
    }
}

/// The largest input of a queue, or of one that does not exist yet.
pub(crate) fn body_max(queue: Option<&Queue>) -> u64 {
    queue.map_or(BODY_BYTES_DEFAULT, Queue::body_max)
}

/// Refuses an input that is larger than its queue takes.
pub(crate) fn fits(queue: Option<&Queue>, bytes: usize) -> Result<(), Problem> {
    let limit = body_max(queue);
    if bytes as u64 <= limit {
        return Ok(());
    }
    let detail = format!("the input is larger than {limit} bytes, the limit of the queue");
    Err(Problem::new(Code::BodyTooLarge, detail))
}

/// Refuses at the door what the store would refuse anyway. A request with an idempotency key is let through, since a
/// repetition is recognised before any such refusal.
async fn door(
    api: &Api,
    namespace: &Namespace,
    name: &QueueName,
    keyed: bool,
) -> Result<Option<Arc<Queue>>, Problem> {
    let queue = api.node.queue(namespace, name).await?;
    admit(&api.node, queue.as_deref(), name, keyed)?;
    Ok(queue)
}

/// See [`door`].
pub(crate) fn admit(
    node: &Node,
    queue: Option<&Queue>,
    name: &QueueName,
    keyed: bool,
) -> Result<(), Problem> {
    if keyed {
        return Ok(());
    }
    if node.draining() {
        return Err(draining());
    }
    if queue.is_none() && !node.options().dev {
        return Err(unknown_queue(name.as_str()));
    }
    Ok(())
}

/// What the store is given.
pub(crate) fn order(
    node: &Node,
    namespace: &Namespace,
    queue: QueueName,
    asked: Asked<'_>,
    key: Option<String>,
    input: Input,
) -> Submission {
    let idempotency = key.map(|key| Idempotency {
        key,
        fingerprint: Fingerprinter::new(input.content_type.as_deref(), &asked).finish(&input.body),
    });
    let mut options = asked.options;
    options.unique = options.unique.map(|unique| unique.resolved(&input));
    let job = NewJob {
        id: node.store().mint(),
        namespace: namespace.clone(),
        queue,
        group: asked.group,
        priority: asked.priority,
        run_at: asked.run_at,
        delay: asked.delay,
        options: options.into(),
        retry_of: None,
        member: None,
    };
    Submission {
        job,
        input,
        idempotency,
        create_queue: false,
    }
}

/// Hands the submission over and answers with what became of it.
pub(crate) async fn place(
    api: &Api,
    namespace: &Namespace,
    submission: Submission,
    wish: Wish,
) -> Result<Response, Problem> {
    let (mut prefer, received) = (wish.prefer, wish.received);
    let (id, queue, starts_at) = (
        submission.job.id,
        submission.job.queue.clone(),
        submission.job.starts_at(),
    );
    // Registered before the job exists, so that not even its first change is missed. Where all places are taken the
    // wait is not granted: a preference may be ignored, a submission may not be lost.
    let waiter = prefer
        .wait
        .and_then(|wait| api.waiters.begin(&api.node, id, received, wait));
    if waiter.is_none() {
        prefer.wait = None;
    }
    let ticket = wish.ticket(api, namespace, id).await?;
    let fate = committed::submit(&**api.node.store(), api.node.intake(), namespace, submission);
    let links = api.node.links();
    let document = AcceptedDocument::of(links, id, &queue, starts_at)
        .with(ticket)
        .render();
    let new = match fate.await? {
        Accepted::New(new) => new,
        // What follows here and below is in boxes of its own, so that most submits, and all that wait, are no larger for it.
        Accepted::Replayed(job) => {
            drop(waiter);
            let mut response = Box::pin(there(api, namespace, &job, wish)).await?;
            tell(&mut response, IDEMPOTENCY_REPLAYED);
            return Ok(response);
        }
        Accepted::Attached(job) => {
            drop(waiter);
            let mut response = Box::pin(there(api, namespace, &job, wish)).await?;
            if job.get().done() && response.status() == StatusCode::ACCEPTED {
                *response.status_mut() = StatusCode::OK;
            }
            tell(&mut response, RAINCHECK_ATTACHED);
            return Ok(response);
        }
    };
    let Some(mut waiter) = waiter else {
        let seconds = seconds_until(starts_at, id.created_at());
        return Ok(accepted(links, &new, document, Some(seconds), prefer, ticket));
    };
    match wish.wait(api, &mut waiter).await {
        Waited::Done(change) => return Box::pin(finished(api, &change, prefer, ticket)).await,
        Waited::Alone => return Ok(accepted(links, &new, document, None, prefer, ticket)),
        Waited::Enough => {}
    }
    // The job was accepted a while ago: tell how it stands now.
    match api.node.store().get(namespace, id).await {
        Ok(Ok(job)) => Box::pin(standing(api, &job, prefer, ticket)).await,
        Ok(Err(_)) | Err(_) => Ok(accepted(links, &new, document, Some(1), prefer, ticket)),
    }
}

/// The 202 of a job that is on stable storage. Nothing else builds one for a new job.
pub(crate) fn accepted(
    links: Links<'_>,
    new: &Committed<JobId>,
    document: Vec<u8>,
    retry_after: Option<u64>,
    prefer: Prefer,
    ticket: Option<Ticket>,
) -> Response {
    let id = *new.get();
    let mut response = json(StatusCode::ACCEPTED, document);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(links.job(id, ticket)));
    stamp(headers, id, None);
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(applied) = prefer.applied(true) {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    response
}

/// The 202 with a job's document as it is now.
async fn standing(api: &Api, job: &Job, prefer: Prefer, ticket: Option<Ticket>) -> Result<Response, Problem> {
    let queue = api.node.queue(&job.namespace, &job.queue).await?;
    let now = api.node.store().now();
    let links = api.node.links();
    let document = JobDocument::of(links, job, queue.as_deref(), now);
    let (document, committed) = (document.with(ticket).render(), Committed::read(job));
    let retry_after = retry_after(job, now);
    let mut response = accepted(links, &committed, document, retry_after, prefer, ticket);
    stamp(response.headers_mut(), job.id, job.outcome());
    Ok(response)
}

fn tell(response: &mut Response, what: HeaderName) {
    response
        .headers_mut()
        .insert(what, HeaderValue::from_static("true"));
}

/// The answer about a job that was there before: the job as it is now, or under a wait its result.
async fn there(
    api: &Api,
    namespace: &Namespace,
    job: &Committed<Arc<Job>>,
    wish: Wish,
) -> Result<Response, Problem> {
    let (mut prefer, received) = (wish.prefer, wish.received);
    let id = job.get().id;
    let ticket = wish.ticket(api, namespace, id).await?;
    let waiter = prefer
        .wait
        .and_then(|wait| api.waiters.begin(&api.node, id, received, wait));
    if waiter.is_none() {
        prefer.wait = None;
    }
    let mut current = job.get().clone();
    let mut answer = None;
    if let Some(mut waiter) = waiter {
        let now = redeem::kept(api, namespace, id).await?;
        current = now.job.clone();
        let done = if now.job.done() {
            Waited::Done(now)
        } else {
            wish.wait(api, &mut waiter).await
        };
        if let Waited::Done(change) = done {
            answer = Some(finished(api, &change, prefer, ticket).await?);
        }
    }
    match answer {
        Some(answer) => Ok(answer),
        None => standing(api, &current, prefer, ticket).await,
    }
}

/// The result as the answer to the submit itself.
async fn finished(
    api: &Api,
    change: &Change,
    prefer: Prefer,
    ticket: Option<Ticket>,
) -> Result<Response, Problem> {
    let mut response = redeem::result(api, change, Asking::Submit, ticket).await?;
    let headers = response.headers_mut();
    let (links, id) = (api.node.links(), change.job.id);
    // The answer of a service that is given as it was may lead elsewhere: `Raincheck-Job` names the job in any case.
    for (name, link) in [
        (header::LOCATION, links.job(id, ticket)),
        (header::CONTENT_LOCATION, links.result(id, ticket)),
    ] {
        headers.entry(name).or_insert_with(|| value(link));
    }
    if let Some(applied) = prefer.applied(false) {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}
