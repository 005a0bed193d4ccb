//! Streams of events: of one job, and of all.
//!
//! Invariant: the feed is joined before the store is read, so that nothing falls between.

use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};
use raincheck_core::store::Output;

use crate::api::Api;
use crate::api::answer::{missing, stamp};
use crate::api::caller::Caller;
use crate::api::events::all::AllStream;
use crate::api::events::form::{Form, Place};
use crate::api::events::job::{Asked, JobStream, PAGE};
use crate::api::events::{head, nothing};
use crate::api::extract::JobPath;
use crate::api::problem::Problem;
use crate::api::query::{self, once, pairs, unknown, yes_or_no};
use crate::api::text;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Follow a job: its state, progress, output and log as they come.
///
/// Server-sent events, or with `Accept: application/x-ndjson` one JSON object `{"event", "id", "data"}` a line:
/// `state` (the job document), `progress` (`{fraction, message}`, without an id), `output` and `log` (`{attempt, seq}` and
/// `text`, or `base64` where the bytes are not UTF-8; a log has `at` too), `reset` (`{attempt}`: a new attempt begins, what
/// the one before put out is void), `done` (`{outcome}`; then the stream ends). `Last-Event-ID` or `after` takes any `id`
/// of this stream and goes on there: the newest state once, then every output and log after it, after any restart. What
/// was put out by earlier attempts stays as long as it is within the queue's `result_max`. A comment (NDJSON: `ping`)
/// every 15 s keeps the line open. A server that leaves says when to come back (`retry`) and closes.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", operation_id = "followJob", tag = "jobs",
    params(
        ("id" = String, Path, description = "The job."),
        ("after" = Option<String>, Query, description = "Go on after the event with this id; `Last-Event-ID` wins."),
        ("follow" = Option<bool>, Query, description = "`false`: end when all that happened so far is told."),
        ("Last-Event-ID" = Option<String>, Header, description = "The same, as browsers send it."),
    ),
    responses(
        (status = 200, description = "The stream.", content((String = "text/event-stream"), (String = "application/x-ndjson"))),
        (status = 204, description = "The job is done and the reader has seen that."),
    )
)]
pub(crate) async fn follow_job(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let asked = asked(&parts)?;
    let form = Form::of(&parts.headers);
    let permit = api.streams.place()?;
    let following = api.node.feeds().follow(id);
    let after = asked.after.map_or(0, |place| place.n);
    let page = api
        .node
        .store()
        .output(&caller.namespace, id, after, PAGE)
        .await?;
    let page = page.map_err(|why| missing(why, id))?;
    let job = page.job.clone();
    let mut response = if over(&page, asked.after)? {
        let mut response = head(form);
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        response
    } else {
        let mut response = head(form);
        *response.body_mut() = if parts.method == Method::HEAD {
            nothing()
        } else {
            JobStream::body(api.clone(), form, following, page, asked, permit)
        };
        response
    };
    stamp(response.headers_mut(), job.id, job.outcome());
    Ok(response)
}

/// Whether the reader has seen the end.
fn over(page: &Output, place: Option<Place>) -> Result<bool, Problem> {
    let ahead = place.is_some_and(|place| place.n > page.last);
    if ahead && !page.job.done() {
        return Err(Problem::bad_request(
            "no event of this job has this id yet: it belongs to another job",
        ));
    }
    Ok(ahead)
}

/// Where the reader goes on, and whether beyond what is there.
fn asked(parts: &Parts) -> Result<Asked, Problem> {
    let (mut after, mut follow) = (None, None);
    for (name, value) in pairs(parts.uri.query()) {
        match name {
            "after" => once(&mut after, name, value)?,
            "follow" => once(&mut follow, name, yes_or_no(name, value)?)?,
            _ => return Err(unknown(name)),
        }
    }
    let follow = follow.unwrap_or(true);
    let header = parts.headers.get(LAST_EVENT_ID);
    let header = header.map(|value| value.to_str().unwrap_or("?").trim());
    // Who comes back to a URL with ?after= by itself has got further since.
    let Some(text) = header.filter(|id| !id.is_empty()).or(after) else {
        return Ok(Asked { after: None, follow });
    };
    let after = text.parse().map(Some).map_err(|_| {
        let text = text::short(text);
        Problem::bad_request(format!(
            "{text:?} is not the id of an event; take it from the stream as it is"
        ))
    })?;
    Ok(Asked { after, follow })
}

/// Follow all jobs: each one's document whenever it is accepted, starts, tells of progress or changes.
///
/// For those who show jobs. Not resumable: list the jobs after opening the stream, and again after every `relist`, which
/// a reader gets that was too slow. Server-sent events or NDJSON, as for one job; events have no ids.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "followAll", tag = "jobs",
    params(("queue" = Option<String>, Query, description = "Only jobs of this queue.")),
    responses(
        (status = 200, description = "The stream.", content((String = "text/event-stream"), (String = "application/x-ndjson"))),
    )
)]
pub(crate) async fn follow_all(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let queue = query::queue(&parts)?;
    if let Some(queue) = &queue {
        caller.queue(queue)?;
    }
    let form = Form::of(&parts.headers);
    let permit = api.streams.place()?;
    let mut response = head(form);
    *response.body_mut() = if parts.method == Method::HEAD {
        nothing()
    } else {
        AllStream::body(api, caller, queue, form, permit)
    };
    Ok(response)
}
