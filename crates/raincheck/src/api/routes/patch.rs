//! Changing a job that has not started.
//!
//! Invariant: a change is made to the version that the caller named, or not at all; who names none changes what is
//! there.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderMap};
use raincheck_core::decide::PatchRefused;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::store::PatchError;

use crate::api::Api;
use crate::api::answer::missing;
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::conditional::{Expected, expected, weak_tag};
use crate::api::extract::{JobPath, JsonRequest, SETTINGS_BYTES_MAX, body};
use crate::api::problem::Problem;
use crate::api::redeem::document;
use crate::api::wire::job::JobDocument;
use crate::api::wire::patch::{PatchSchema, read};

/// Change a job that has not started: its priority, its earliest start, its tags.
///
/// With `If-Match` only where the job's version is the one named; else 412 `job-changed`. What is there already
/// changes nothing, not even the version.
#[utoipa::path(
    patch, path = "/v1/jobs/{id}", operation_id = "patchJob", tag = "jobs",
    params(("id" = String, Path, description = "The job.")),
    request_body(content = inline(PatchSchema), content_type = "application/json"),
    responses((status = 200, description = "The job as it is now.", body = JobDocument<'_>,
               content_type = "application/json"))
)]
pub(crate) async fn patch_job(
    State(api): State<Api>,
    caller: Caller,
    JobPath(id): JobPath,
    JsonRequest { parts, content }: JsonRequest,
) -> Result<Response, Problem> {
    let content = body(&api, content, SETTINGS_BYTES_MAX, "changes").await?;
    let mut patch = read(&content)?;
    patch.if_version = wanted(&api, &caller.namespace, id, &parts.headers).await?;
    let mut answers = api
        .node
        .store()
        .patch(&caller.namespace, vec![(id, patch)])
        .await?;
    match answers.pop().expect("a store answers each entry of a batch") {
        Ok(job) => Ok(document(&api, StatusCode::OK, &job, None).await?),
        Err(PatchError::Missing(why)) => Err(missing(why, id)),
        Err(PatchError::Refused(why)) => {
            let job = current(&api, &caller.namespace, id).await?;
            Err(refused(why, &job))
        }
    }
}

/// The version that the job must have; `None` where any will do.
async fn wanted(
    api: &Api,
    namespace: &Namespace,
    id: JobId,
    headers: &HeaderMap,
) -> Result<Option<u32>, Problem> {
    let versions = match expected(headers) {
        Ok(Expected::Any) => return Ok(None),
        Ok(Expected::Versions(versions)) => versions,
        Err(why) => return Err(Problem::bad_request(format!("If-Match: {why}"))),
    };
    if let [version] = versions[..] {
        return Ok(Some(version));
    }
    // One of several: the one that it has now, unless it moves before the change is made.
    let job = current(api, namespace, id).await?;
    if versions.contains(&job.version) {
        return Ok(Some(job.version));
    }
    Err(refused(PatchRefused::Changed, &job))
}

async fn current(api: &Api, namespace: &Namespace, id: JobId) -> Result<Arc<Job>, Problem> {
    let job = api.node.store().get(namespace, id).await?;
    job.map_err(|why| missing(why, id))
}

fn refused(why: PatchRefused, job: &Job) -> Problem {
    let (id, version) = (job.id, job.version);
    let problem = match why {
        PatchRefused::Started => Problem::new(
            Code::JobStarted,
            format!("{id} has started or is done and cannot be changed; cancel it, or submit another"),
        ),
        PatchRefused::Changed => Problem::new(
            Code::JobChanged,
            format!("{id} is at version {version}, not the one in If-Match; read it again and decide anew"),
        ),
    };
    problem
        .about(id, job.outcome())
        .header(header::ETAG, weak_tag(version))
}
