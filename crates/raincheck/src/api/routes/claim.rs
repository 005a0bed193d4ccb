//! Claiming jobs for a worker elsewhere.
//!
//! Invariant: what was claimed is in the answer or on its way back to the queue.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use raincheck_core::name::QueueName;
use raincheck_core::queue::Queue;
use tokio::time::Instant;

use crate::api::Api;
use crate::api::answer::{draining, no_content, unknown_queue};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::delivered::leases;
use crate::api::extract::{QueuePath, SETTINGS_BYTES_MAX, body, json_only};
use crate::api::prefer::{PREFERENCE_APPLIED, Prefer};
use crate::api::problem::Problem;
use crate::api::wire::asked::ClaimSchema;
use crate::api::wire::lease::ClaimAsked;
use crate::api::wire::leased::{LeaseDocument, LeasesDocument};
use crate::pull::Wanted;
use crate::pull::handed::Handed;
use crate::pull::roll::Holder;
use crate::server::Presence;

use super::leases::WorkerHead;

/// Claim jobs: take up to `max` of them, each under a lease.
///
/// Answered only after the claim is on stable storage. With `Prefer: wait=N` held until there is a job, at most N
/// seconds; those who wait are served in the order in which they came. An answer that could not be written gives the
/// jobs back, the attempts uncharged; a `claim_id` that is repeated while its leases live brings the same leases.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/claim", operation_id = "claim", tag = "workers",
    params(("queue" = String, Path, description = "The line to take from.", example = "thumbs")),
    request_body(content = inline(ClaimSchema), content_type = "application/json"),
    responses(
        (status = 200, description = "The leases.", body = LeasesDocument<'_>, content_type = "application/json"),
        (status = 204, description = "There is nothing to do."),
    )
)]
pub(crate) async fn claim(
    State(api): State<Api>,
    caller: Caller,
    QueuePath(name): QueuePath,
    request: Request,
) -> Result<Response, Problem> {
    let received = Instant::now();
    let (parts, content) = request.into_parts();
    let prefer = Prefer::of(&parts)?;
    json_only(&parts.headers)?;
    WorkerHead::read(&parts.headers, &[])?;
    let content = body(&api, content, SETTINGS_BYTES_MAX, "a claim").await?;
    let asked = ClaimAsked::read(&content)?;
    let presence = parts.extensions.get::<Presence>().cloned();
    // The head's buffer is not held while jobs are waited for.
    drop((parts, content));
    if api.node.draining() {
        return Err(draining());
    }
    let queue = api.node.queue(&caller.namespace, &name).await?;
    pulled(&api, &name, queue.as_deref())?;
    let lease_for = asked.lease_for.or_else(|| queue.as_deref().map(Queue::lease_for));
    let wanted = Wanted {
        max: asked.max,
        term: lease_for.unwrap_or(std::time::Duration::from_secs(30)),
        claim_id: asked.claim_id,
        holder: Arc::new(Holder {
            namespace: caller.namespace,
            queue: name,
            worker: asked.worker,
        }),
    };
    let handed = claimed(&api, &wanted, prefer, received, presence).await?;
    let mut response = match handed {
        Some(handed) => answer(&api, handed, queue.as_deref()),
        None => no_content(),
    };
    if let Some(applied) = prefer.applied(false) {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// Refuses a claim from a queue that is not there or that the server works itself. Under `--dev` a queue comes with its
/// first job, and its workers may wait for that.
fn pulled(api: &Api, name: &QueueName, queue: Option<&Queue>) -> Result<(), Problem> {
    let kind = match queue.map(Queue::worker) {
        Some(worker) if worker.pulled() => return Ok(()),
        None if api.node.options().dev => return Ok(()),
        None => return Err(unknown_queue(name.as_str())),
        Some(worker) => worker.kind(),
    };
    let detail = format!(
        "the server works queue \"{name}\" itself ({kind}); its jobs can be claimed once its settings say \
         \"worker\": \"pull\""
    );
    Err(Problem::new(Code::QueueNotPull, detail))
}

/// What there is, or comes within the wait; `None` where nothing does.
async fn claimed(
    api: &Api,
    wanted: &Wanted,
    prefer: Prefer,
    received: Instant,
    presence: Option<Presence>,
) -> Result<Option<Handed>, Problem> {
    let pull = api.node.pull();
    let wait = prefer.wait.filter(|wait| !wait.is_zero());
    let Some(wait) = wait else {
        let handed = pull.claim(wanted).await?;
        return Ok(Some(handed).filter(|handed| !handed.leased.is_empty()));
    };
    let Some(_place) = api.waiters.place() else {
        // Work that is there is given out; only the wait is refused.
        let handed = pull.claim(wanted).await?;
        if handed.leased.is_empty() {
            return Err(api.waiters.refused());
        }
        return Ok(Some(handed));
    };
    let gone = async {
        match presence {
            Some(presence) => presence.left().await,
            None => std::future::pending().await,
        }
    };
    Ok(pull.claim_by(wanted, received + wait, gone).await?)
}

fn answer(api: &Api, handed: Handed, queue: Option<&Queue>) -> Response {
    let now = api.node.store().now();
    let Handed { leased, lent } = handed;
    let documents = leased
        .iter()
        .filter_map(|leased| LeaseDocument::of(api.node.links(), leased, queue, now, api.node.traces()));
    let document = LeasesDocument {
        leases: documents.collect(),
    };
    leases(document.render(), vec![lent])
}
