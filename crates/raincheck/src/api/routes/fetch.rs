//! Fetching many URLs: a batch whose jobs ask them and keep the answers.
//!
//! Invariants: a URL that may never be asked makes no job; a queue is made for a batch's limits before the batch is opened, and not too
//! many of them.

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::request::Parts;
use raincheck_core::batch::{BatchId, Line, NewBatch};
use raincheck_core::decide::Fingerprint;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{BODY_MAX_LIMIT, Queue, Worker};
use raincheck_core::store::Idempotency;
use sha2::{Digest as _, Sha256};

use super::batches::Opened;
use super::submit::fits;
use super::upload::{Upload, missing};
use crate::api::Api;
use crate::api::answer::draining;
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::extract::{body, json_or_lines};
use crate::api::options::{Head, trace_context};
use crate::api::problem::Problem;
use crate::api::query::{pairs, unknown};
use crate::api::text;
use crate::api::wire::batch::BatchDocument;
use crate::api::wire::fetch::{FetchRequest, read_request};
use crate::fetch::{Checked, Earlier, Terms, Wanted, earlier};
use crate::outward::target::{Targets, check_callback, check_literal};

/// So many queues are made for limits of batches; those that nothing is in go first.
const QUEUES_MAX: usize = 64;

/// Fetch many URLs as one batch.
///
/// Each URL is a job: `GET`, redirects followed, retried after 408, 425, 429, 5xx and broken connections, not before `Retry-After`;
/// any other answer, also a 4xx, is its result. The body is JSON, or lines (NDJSON or text), streamed, any number of them: a URL, a URL
/// as JSON or an object, with the terms in the query. Lines that are blank or begin with `#` do not count. URLs lead to public addresses
/// by https, and elsewhere only as the server allows. Results: `GET /v1/batches/{id}/results`. An upload that broke off may be repeated
/// as one of `POST /v1/batches`. `Raincheck-Keep` and `Raincheck-Callback` say the same as `keep` and `callback`.
#[utoipa::path(
    post, path = "/v1/fetch", operation_id = "fetch", tag = "batches",
    params(
        ("queue" = Option<String>, Query, description = "Of lines: as the field of the JSON form. A queue whose worker is \
         `fetch`, whose limits are taken.", example = "pages"),
        ("concurrency" = Option<u32>, Query, description = "So many requests at once. Unless given, 100.", example = 100),
        ("per_host" = Option<u32>, Query, description = "So many of them at one host. Unless given, 4.", example = 4),
        ("rate" = Option<String>, Query, description = "So many URLs begin in so much time.", example = "50/s"),
        ("max_attempts" = Option<u32>, Query, description = "How often each is attempted. Unless given, 5.", example = 5),
        ("backoff" = Option<String>, Query, description = "How long between attempts.",
         example = "exponential;base=2s;cap=10m"),
        ("timeout" = Option<String>, Query, description = "One attempt's time, redirects and all. Unless given, 1m.",
         example = "1m"),
        ("deadline" = Option<String>, Query, description = "The time for all attempts of one URL.", example = "1h"),
        ("follow" = Option<u32>, Query, description = "How many redirects are followed. Unless given, 10.", maximum = 20),
        ("max_body" = Option<String>, Query, description = "The largest body. Unless given, the queue's `result_max`.",
         example = "1MiB"),
        ("since" = Option<String>, Query, description = "An earlier batch: where its answers still hold, they are taken over.",
         example = "batch_01jd8zq3k5e7rv2m4n6p8s0t1w"),
        ("keep" = Option<String>, Query, description = "How long the batch stays when it is done.", example = "7d"),
        ("callback" = Option<String>, Query, description = "A webhook here when the batch is done."),
    ),
    request_body(content((FetchRequest = "application/json"), (String = "application/x-ndjson"), (String = "text/plain"))),
    responses((status = 202, description = "All URLs are on stable storage.", body = BatchDocument<'_>,
               content_type = "application/json"))
)]
pub(crate) async fn fetch(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    let head = Head::read_for_batch(&parts.headers)?;
    let mut terms = of_query(&parts)?;
    let (content, list) = if lines(&parts.headers)? {
        (Some(content), Vec::new())
    } else {
        let read = body(
            &api,
            content,
            BODY_MAX_LIMIT,
            "URLs in one document; send more of them as lines",
        )
        .await?;
        (None, read_request(&read, &mut terms)?)
    };
    of_head(&api.node.options().targets, &head, &mut terms)?;
    if api.node.draining() {
        return Err(draining());
    }
    let namespace = &caller.namespace;
    let fetching = Fetching::begin(&api, &caller, terms).await?;
    checked(&fetching, &api, &list)?;
    let new = NewBatch {
        id: BatchId::new(api.node.store().mint()),
        keep: fetching.terms.keep,
        open_for: None,
        callback: fetching.terms.callback.clone(),
        idempotency: head.key.map(|key| Idempotency {
            key,
            fingerprint: fingerprint(&fetching.terms, &list),
        }),
    };
    let opened = Opened::open(&api, namespace, new).await?;
    let upload =
        Upload::new(&api, &caller, &parts.headers, None, opened.id, opened.taken).fetching(&fetching);
    let count = match content {
        Some(content) => upload.run(content).await?,
        None => upload.run_list(list).await?,
    };
    opened.seal(&api, namespace, count).await
}

/// What a repeated upload has to say again: the terms and, of a document, its URLs. Lines are counted, as those of a batch are.
fn fingerprint(terms: &Terms, list: &[Bytes]) -> Fingerprint {
    let mut digest = Sha256::new_with_prefix(format!("fetch {terms:?}"));
    for url in list {
        digest.update(b"\n");
        digest.update(url);
    }
    digest.finalize().into()
}

/// Refuses a document with URLs that cannot be asked, before anything is stored.
fn checked(fetching: &Fetching, api: &Api, list: &[Bytes]) -> Result<(), Problem> {
    for (index, url) in list.iter().enumerate() {
        if let Err(why) = fetching.wanted(api, url) {
            let detail = format!("urls: {}", why.detail());
            return Err(Problem::bad_request(detail).at(format!("/urls/{index}")));
        }
    }
    Ok(())
}

/// Whether the body is lines; else it is JSON.
fn lines(headers: &HeaderMap) -> Result<bool, Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let text = ["text/plain", "text/uri-list"];
    if text.iter().any(|text| essence.eq_ignore_ascii_case(text))
        && !headers.contains_key(header::CONTENT_ENCODING)
    {
        return Ok(true);
    }
    json_or_lines(headers).map_err(|_| {
        let detail = "this path takes URLs: as JSON (application/json), as NDJSON (application/x-ndjson) or as lines of text \
                      (text/plain), and none of them with Content-Encoding";
        Problem::new(Code::UnsupportedMediaType, detail)
    })
}

/// The terms that the query says.
fn of_query(parts: &Parts) -> Result<Terms, Problem> {
    let mut terms = Terms::default();
    for (name, value) in pairs(parts.uri.query()) {
        let decoded = text::form_decoded(value);
        let decoded =
            decoded.ok_or_else(|| Problem::bad_request(format!("?{name}= is not percent-encoded UTF-8")))?;
        let taken = terms.take(name, &decoded);
        if !taken.map_err(|why| Problem::bad_request(format!("?{name}=: {why}")))? {
            return Err(unknown(name));
        }
    }
    Ok(terms)
}

/// What the head says of the batch.
fn of_head(targets: &Targets, head: &Head<'_>, terms: &mut Terms) -> Result<(), Problem> {
    let options = &head.asked.options;
    if terms.keep.is_some() && options.keep.is_some() {
        return Err(Problem::bad_request(
            "Raincheck-Keep and keep say the same; send one",
        ));
    }
    terms.keep = terms.keep.or(options.keep);
    if let Some(callback) = &options.callback {
        if *callback != raincheck_core::delivery::Callback::to(&callback.url) || terms.callback.is_some() {
            let detail =
                "Raincheck-Callback: a batch tells of its completion only; leave events out, and callback";
            return Err(Problem::bad_request(detail));
        }
        terms.callback = Some(callback.url.clone());
    }
    if let Some(url) = &terms.callback {
        check_callback(targets, url).map_err(|why| Problem::bad_request(format!("callback: {why}")))?;
    }
    Ok(())
}

/// What makes jobs of URLs.
pub(super) struct Fetching {
    terms: Terms,
    queue: QueueName,
    settings: std::sync::Arc<Queue>,
    earlier: Option<Earlier>,
}

impl Fetching {
    /// The queue is there, and what an earlier batch brought is known.
    async fn begin(api: &Api, caller: &Caller, terms: Terms) -> Result<Self, Problem> {
        if terms.queue.is_some() && terms.limited() {
            let detail =
                "queue: the limits are the queue's; leave concurrency, per_host and rate out, or the queue";
            return Err(Problem::bad_request(detail));
        }
        let queue = terms.queue();
        caller.queue(&queue)?;
        let namespace = &caller.namespace;
        let settings = match api.node.queue(namespace, &queue).await? {
            Some(known) if known.worker() == Worker::Fetch => known,
            Some(known) => {
                let kind = known.worker().kind();
                let detail = format!(
                    "queue \"{queue}\" is there for other work (its worker is {kind}); name one whose worker is fetch"
                );
                return Err(Problem::bad_request(detail));
            }
            None if terms.queue.is_some() => return Err(crate::api::answer::unknown_queue(queue.as_str())),
            None => make(api, namespace, &queue, &terms).await?,
        };
        let earlier = match terms.since {
            Some(batch) => {
                let status = api.node.store().batch(namespace, batch).await?;
                status.map_err(|why| missing(why, batch))?;
                Some(earlier(&**api.node.store(), namespace, batch).await?)
            }
            None => None,
        };
        Ok(Self {
            terms,
            queue,
            settings,
            earlier,
        })
    }

    /// What a line asks for, where it may.
    fn wanted(&self, api: &Api, line: &[u8]) -> Result<Checked, Problem> {
        let wanted = Wanted::read(line).and_then(Wanted::checked);
        let checked = wanted.map_err(Problem::bad_request)?;
        let allowed = check_literal(&api.node.options().targets, &checked.uri);
        allowed.map_err(|why| Problem::bad_request(why.to_string()))?;
        if checked.wanted.since.is_some() {
            return Err(Problem::bad_request("since: is the batch's"));
        }
        if checked
            .wanted
            .max_body
            .is_some_and(|most| most.0 > self.settings.result_max())
        {
            let most = self.settings.result_max();
            return Err(Problem::bad_request(format!(
                "max_body: at most {most}, the queue's result_max"
            )));
        }
        Ok(checked)
    }

    /// One line, ready for the store.
    pub(super) fn line(
        &self,
        api: &Api,
        namespace: &Namespace,
        headers: &HeaderMap,
        line: &[u8],
    ) -> Result<Line, Problem> {
        let mut checked = self.wanted(api, line)?;
        let earlier = self.earlier.as_ref();
        checked.wanted.since = earlier.and_then(|earlier| earlier.of(&checked.wanted.url));
        let mut submission = self
            .terms
            .job(api.node.store().mint(), namespace, &self.queue, checked);
        trace_context(headers, &mut submission.job.options);
        fits(Some(&*self.settings), submission.input.body.len())?;
        Ok(Line::Job(Box::new(submission)))
    }
}

/// Makes the queue for these limits. Where there are many, one that nothing is in gives way.
async fn make(
    api: &Api,
    namespace: &Namespace,
    queue: &QueueName,
    terms: &Terms,
) -> Result<std::sync::Arc<Queue>, Problem> {
    if Terms::made(queue) {
        let all = api.node.store().queues(namespace).await?;
        let made: Vec<_> = all
            .iter()
            .filter(|status| Terms::made(&status.queue.name))
            .collect();
        if made.len() >= QUEUES_MAX {
            let mut gone = false;
            for status in made {
                gone = api
                    .node
                    .delete_queue(namespace, &status.queue.name)
                    .await?
                    .is_ok();
                if gone {
                    break;
                }
            }
            if !gone {
                let detail = format!(
                    "{QUEUES_MAX} queues work for batches with other limits; wait for one of these, or take its limits"
                );
                return Err(Problem::new(Code::QueueFull, detail).retry_after(10));
            }
        }
    }
    let put = api
        .node
        .put_queue(namespace, queue, terms.settings(0), false)
        .await?;
    put.map_err(|why| Problem::bad_request(format!("queue \"{queue}\": {why}")))
}
