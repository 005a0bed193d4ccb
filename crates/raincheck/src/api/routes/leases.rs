//! What workers do with their leases: one at a time, or many in one request.
//!
//! Invariant: a lease that is over changes nothing; the limit on a result is checked before the store is asked.

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};
use raincheck_core::content::{Header, JobResult};
use raincheck_core::id::LeaseId;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::queue::{BODY_MAX_LIMIT, Queue};
use raincheck_core::store::Leased;
use raincheck_core::time::Timestamp;
use serde_json::value::RawValue;

use crate::api::Api;
use crate::api::acts::{Done, Known, Performed, perform};
use crate::api::answer::{render, stamp};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::delivered::leases;
use crate::api::extract::{JsonRequest, LeasePath, SETTINGS_BYTES_MAX, body};
use crate::api::options::{SENT_TO_HANDLERS, title};
use crate::api::problem::Problem;
use crate::api::query::no_query;
use crate::api::text;
use crate::api::wire::asked::{EntrySchema, FailSchema, ReleaseSchema, RenewSchema};
use crate::api::wire::lease::{Act, Entry, status};
use crate::api::wire::leased::{
    EmittedDocument, EntryDocument, Fate, LeaseDocument, RenewedDocument, SettledDocument, render_entries,
};
use crate::pull::CLAIM_MAX;
use crate::workers::KEPT_HEADERS;

/// So many entries one request may have.
const ENTRIES_MAX: usize = 1_000;
/// The largest body of many entries: a result of the largest size as base64, and as much again for the rest as anyone
/// needs.
const ENTRIES_BYTES_MAX: u64 = BODY_MAX_LIMIT / 3 * 4 + (1 << 20);

const STATUS: &str = "raincheck-status";
const CLAIM: &str = "raincheck-claim";

/// What the head of a worker's request says.
#[derive(Debug, Default)]
pub(super) struct WorkerHead {
    status: Option<u16>,
    claim: Option<u32>,
}

impl WorkerHead {
    /// Reads the head, in which of the `Raincheck-*` headers only these are taken.
    ///
    /// # Errors
    /// When one does not exist here, is given twice or cannot be.
    pub(super) fn read(headers: &HeaderMap, taken: &[&str]) -> Result<Self, Problem> {
        let mut head = Self::default();
        for name in headers.keys().map(header::HeaderName::as_str) {
            if !name.starts_with("raincheck-") || SENT_TO_HANDLERS.contains(&name) {
                continue;
            }
            let wrong = |why: &str| {
                let name = title(&text::short(name));
                Problem::bad_request(format!("{name}: {why}"))
            };
            if !taken.contains(&name) {
                return Err(wrong("there is no such option here; /openapi.json lists them"));
            }
            let mut values = headers.get_all(name).iter();
            let (Some(value), None) = (values.next(), values.next()) else {
                return Err(wrong("given twice"));
            };
            let value = value.to_str().unwrap_or_default().trim();
            if name == STATUS {
                head.status = Some(status(value).map_err(|why| wrong(&why))?);
            } else {
                let claim = value.parse().ok().filter(|claim| *claim <= CLAIM_MAX);
                head.claim = Some(claim.ok_or_else(|| wrong("takes a whole number, 0 to 100"))?);
            }
        }
        Ok(head)
    }
}

/// Renew a lease: hold the job longer, tell how far it is, and hear whether to stop.
#[utoipa::path(
    post, path = "/v1/leases/{lease}/renew", operation_id = "renewLease", tag = "workers",
    params(("lease" = String, Path, description = "The lease.")),
    request_body(content = inline(RenewSchema), content_type = "application/json"),
    responses((status = 200, description = "The lease runs on.", body = RenewedDocument, content_type = "application/json"))
)]
pub(crate) async fn renew(
    State(api): State<Api>,
    caller: Caller,
    LeasePath(lease): LeasePath,
    request: JsonRequest,
) -> Result<Response, Problem> {
    by_json(&api, &caller, lease, "renew", request).await
}

/// Settle a lease: the attempt failed. It is tried again after the backoff while attempts are left, unless `retry` is
/// false.
#[utoipa::path(
    post, path = "/v1/leases/{lease}/fail", operation_id = "failLease", tag = "workers",
    params(
        ("lease" = String, Path, description = "The lease."),
        ("Raincheck-Claim" = Option<u32>, Header, description = "Take up to so many next jobs of the queue as well."),
    ),
    request_body(content = inline(FailSchema), content_type = "application/json"),
    responses((status = 200, description = "The attempt is over.", body = SettledDocument<'_>,
               content_type = "application/json"))
)]
pub(crate) async fn fail(
    State(api): State<Api>,
    caller: Caller,
    LeasePath(lease): LeasePath,
    request: JsonRequest,
) -> Result<Response, Problem> {
    by_json(&api, &caller, lease, "fail", request).await
}

/// Settle a lease: give the job back, the attempt uncharged.
#[utoipa::path(
    post, path = "/v1/leases/{lease}/release", operation_id = "releaseLease", tag = "workers",
    params(("lease" = String, Path, description = "The lease.")),
    request_body(content = inline(ReleaseSchema), content_type = "application/json"),
    responses((status = 200, description = "The job waits again, or is cancelled where that was asked.",
               body = SettledDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn release(
    State(api): State<Api>,
    caller: Caller,
    LeasePath(lease): LeasePath,
    request: JsonRequest,
) -> Result<Response, Problem> {
    by_json(&api, &caller, lease, "release", request).await
}

async fn by_json(
    api: &Api,
    caller: &Caller,
    lease: LeaseId,
    action: &'static str,
    JsonRequest { parts, content }: JsonRequest,
) -> Result<Response, Problem> {
    let taken: &[&str] = if action == "fail" { &[CLAIM] } else { &[] };
    let head = WorkerHead::read(&parts.headers, taken)?;
    let content = body(api, content, SETTINGS_BYTES_MAX, action).await?;
    let act = Act::read(action, &content)?;
    caller.claims(head.claim)?;
    let known = Known::find(api, caller, &lease).await?;
    one(api, &caller.namespace, lease, act, head.claim, known).await
}

/// Settle a lease: the attempt succeeded, the body is its result.
///
/// Kept byte for byte with its content type and the headers `Content-Disposition`, `Content-Digest`,
/// `Content-Encoding`, `Content-Language` and `Repr-Digest`. Repeated with the same content it is 200 again.
#[utoipa::path(
    post, path = "/v1/leases/{lease}/succeed", operation_id = "succeedLease", tag = "workers",
    params(
        ("lease" = String, Path, description = "The lease."),
        ("Raincheck-Status" = Option<u16>, Header,
         description = "The status that the result is redeemed with: 200 to 299 or 400 to 599; 200 unless given."),
        ("Raincheck-Claim" = Option<u32>, Header, description = "Take up to so many next jobs of the queue as well."),
    ),
    request_body(content = Vec<u8>, content_type = "*/*", description = "The result."),
    responses((status = 200, description = "The job has succeeded.", body = SettledDocument<'_>,
               content_type = "application/json"))
)]
pub(crate) async fn succeed(
    State(api): State<Api>,
    caller: Caller,
    LeasePath(lease): LeasePath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    no_query(&parts)?;
    let head = WorkerHead::read(&parts.headers, &[STATUS, CLAIM])?;
    let mut content_types = visible(&parts.headers, "content-type")?;
    let content_type = content_types.pop();
    if !content_types.is_empty() {
        return Err(Problem::bad_request("Content-Type: given twice"));
    }
    let mut kept = Vec::new();
    for name in KEPT_HEADERS {
        kept.extend(visible(&parts.headers, name)?);
    }
    caller.claims(head.claim)?;
    let known = Known::find(&api, &caller, &lease).await?;
    let content = body(&api, content, known.result_max(), "the queue's results").await?;
    drop(parts);
    let content_type = content_type.map(|(_, value)| value);
    let result = JobResult::new(head.status.unwrap_or(200), content_type, kept, content);
    one(
        &api,
        &caller.namespace,
        lease,
        Act::Succeed(result),
        head.claim,
        known,
    )
    .await
}

/// The values of a header, which must be fit to be sent again.
fn visible(headers: &HeaderMap, name: &'static str) -> Result<Vec<Header>, Problem> {
    let values = headers.get_all(name).iter().map(HeaderValue::to_str);
    let values = values.map(|value| value.map(|value| (name.to_owned(), value.to_owned())));
    values
        .collect::<Result<_, _>>()
        .map_err(|_| Problem::bad_request(format!("the header {name} holds more than visible ASCII")))
}

/// Does one thing with one lease.
pub(super) async fn one(
    api: &Api,
    namespace: &Namespace,
    lease: LeaseId,
    act: Act,
    claim: Option<u32>,
    known: Known,
) -> Result<Response, Problem> {
    let entry = Entry { lease, act, claim };
    let Performed { mut done, lent } = perform(api, namespace, vec![(entry, known)]).await?;
    let done = done.pop().expect("each entry has a fate");
    let now = api.node.store().now();
    match done {
        Ok(Done::Renewed(job, renewed)) => {
            let mut response = leases(render(&RenewedDocument::of(&renewed, now)), lent);
            stamp(response.headers_mut(), job, None);
            Ok(response)
        }
        Ok(Done::Emitted { job, seq, emitted }) => {
            let document = EmittedDocument {
                seq,
                cancel_requested: emitted.cancel_requested,
            };
            let mut response = leases(render(&document), lent);
            stamp(response.headers_mut(), job, None);
            Ok(response)
        }
        Ok(Done::Settled { job, leased, queue }) => {
            let document = settled(api, &job, leased.as_deref(), queue.as_deref(), now);
            let mut response = leases(document.render(), lent);
            stamp(response.headers_mut(), job.id, job.outcome());
            Ok(response)
        }
        // How the job stands is told as well, where it is still there.
        Err(problem) => Err(match api.node.store().get(namespace, lease.job).await {
            Ok(Ok(job)) => problem.about(job.id, job.outcome()),
            Ok(Err(_)) | Err(_) => problem,
        }),
    }
}

/// Renew, emit and settle under many leases at once, at most 1,000: they share a commit and are independent of each other.
#[utoipa::path(
    post, path = "/v1/leases", operation_id = "actOnLeases", tag = "workers",
    request_body(content = Vec<EntrySchema>, content_type = "application/json"),
    responses((status = 200, description = "What became of each, in the order given: with status 200, or a problem.",
               body = Vec<EntryDocument<'_>>, content_type = "application/json"))
)]
pub(crate) async fn many(
    State(api): State<Api>,
    caller: Caller,
    JsonRequest { parts, content }: JsonRequest,
) -> Result<Response, Problem> {
    WorkerHead::read(&parts.headers, &[])?;
    let content = body(&api, content, ENTRIES_BYTES_MAX, "one request").await?;
    let entries: Vec<&RawValue> = serde_json::from_slice(&content)
        .map_err(|_| Problem::bad_request("the body is not a JSON array of objects"))?;
    if entries.len() > ENTRIES_MAX {
        let detail = format!(
            "{} entries; one request takes at most {ENTRIES_MAX}",
            entries.len()
        );
        return Err(Problem::bad_request(detail));
    }
    let mut read = Vec::with_capacity(entries.len());
    let mut names = Vec::with_capacity(entries.len());
    for raw in entries {
        match Entry::read(raw.get().as_bytes()) {
            Ok(entry) => {
                let lease = Some(entry.lease.to_string());
                match Known::find(&api, &caller, &entry.lease).await {
                    Ok(known) => {
                        names.push((lease, None));
                        read.push((entry, known));
                    }
                    Err(problem) if problem.code() == Code::LeaseLost => names.push((lease, Some(problem))),
                    Err(problem) => return Err(problem),
                }
            }
            Err((lease, problem)) => names.push((lease, Some(problem))),
        }
    }
    let Performed { done, lent } = perform(&api, &caller.namespace, read).await?;
    let mut done = done.into_iter();
    let fates: Vec<_> = names
        .into_iter()
        .map(|(lease, unread)| {
            (
                lease,
                unread.map_or_else(|| done.next(), |problem| Some(Err(problem))),
            )
        })
        .collect();
    let now = api.node.store().now();
    let documents: Vec<_> = fates
        .iter()
        .filter_map(|(lease, fate)| {
            let lease = lease.as_deref();
            Some(EntryDocument {
                lease,
                fate: shown(&api, fate.as_ref()?, now),
            })
        })
        .collect();
    Ok(leases(render_entries(&documents), lent))
}

fn shown<'a>(api: &'a Api, fate: &'a Result<Done, Problem>, now: Timestamp) -> Fate<'a> {
    let status = 200;
    match fate {
        Ok(Done::Renewed(job, renewed)) => Fate::Renewed {
            status,
            job: *job,
            renewed: RenewedDocument::of(renewed, now),
        },
        Ok(Done::Emitted { job, seq, emitted }) => Fate::Emitted {
            status,
            job: *job,
            emitted: EmittedDocument {
                seq: *seq,
                cancel_requested: emitted.cancel_requested,
            },
        },
        Ok(Done::Settled { job, leased, queue }) => Fate::Settled {
            status,
            settled: settled(api, job, leased.as_deref(), queue.as_deref(), now),
        },
        Err(problem) => Fate::refused(api.node.links(), problem),
    }
}

/// How a job stands that was settled, and what was claimed with it.
fn settled<'a>(
    api: &'a Api,
    job: &'a Job,
    leased: Option<&'a [Leased]>,
    queue: Option<&'a Queue>,
    now: Timestamp,
) -> SettledDocument<'a> {
    let mut document = SettledDocument::of(job, now);
    document.leases = leased.map(|leased| {
        let documents = leased.iter();
        documents
            .filter_map(|leased| LeaseDocument::of(api.node.links(), leased, queue, now, api.node.traces()))
            .collect()
    });
    document
}
