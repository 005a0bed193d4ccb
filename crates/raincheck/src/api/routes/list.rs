//! Listing jobs.
//!
//! Invariant: one request is one page of bounded work; a caller who follows the cursors sees every job that was there
//! all along exactly once.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::Queue;
use raincheck_core::store::StoreError;

use crate::api::Api;
use crate::api::answer::{json, render};
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::wire::job::JobDocument;
use crate::api::wire::page::{self, Cursor, PageDocument};

/// List jobs, newest first, a page at a time.
///
/// Filters are taken together. A page may be short, even empty; only `"cursor": null` ends the list.
#[utoipa::path(
    get, path = "/v1/jobs", operation_id = "listJobs", tag = "jobs",
    params(
        ("queue" = Option<String>, Query, description = "Only jobs of this queue.", example = "thumbs"),
        ("state" = Option<String>, Query, description = "Only jobs that stand so when they are looked at: `scheduled`, \
         `queued`, `running`, `succeeded`, `failed`, `cancelled` or `expired`.", example = "failed"),
        ("tag" = Option<String>, Query, description = "Only jobs with this tag.", example = "eu"),
        ("group" = Option<String>, Query, description = "Only jobs of this group.", example = "tenant-7"),
        ("batch" = Option<String>, Query, description = "Only jobs of this batch.",
         example = "batch_01jd8zq3k5e7rv2m4n6p8s0t1w"),
        ("submitted_after" = Option<String>, Query, description = "Only jobs accepted after this instant: RFC 3339, or \
         `@` and seconds since 1970.", example = "2026-11-21T06:00:00Z"),
        ("submitted_before" = Option<String>, Query, description = "Only jobs accepted before this instant.",
         example = "@1795240800"),
        ("limit" = Option<u32>, Query, description = "At most so many jobs, 1 to 200. Unless given, 50.",
         minimum = 1, maximum = 200, example = 50),
        ("cursor" = Option<String>, Query, description = "The `cursor` of the page before, opaque."),
    ),
    responses((status = 200, description = "A page.", body = PageDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn list_jobs(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let page = page::page(request.uri().query())?;
    drop(request);
    if let Some(queue) = &page.filter.queue {
        caller.queue(queue)?;
    }
    let mut listed = api.node.store().list(&caller.namespace, page).await?;
    listed.jobs.retain(|job| caller.sees(&job.queue));
    let mut queues = SomeQueues::default();
    let mut settings = Vec::with_capacity(listed.jobs.len());
    for job in &listed.jobs {
        settings.push(queues.get(&api, &job.namespace, &job.queue).await?);
    }
    let now = api.node.store().now();
    let jobs = listed.jobs.iter().zip(&settings);
    let document = PageDocument {
        jobs: jobs
            .map(|(job, queue)| JobDocument::of(api.node.links(), job, queue.as_deref(), now))
            .collect(),
        cursor: listed.cursor.map(Cursor),
    };
    Ok(json(StatusCode::OK, render(&document)))
}

/// The queues that one request meets, each looked up once.
#[derive(Debug, Default)]
pub(crate) struct SomeQueues(Vec<(QueueName, Option<Arc<Queue>>)>);

impl SomeQueues {
    /// The queue's settings, as they were when this request first met it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn get(
        &mut self,
        api: &Api,
        namespace: &Namespace,
        name: &QueueName,
    ) -> Result<Option<Arc<Queue>>, StoreError> {
        // Most requests meet one queue or a few; one that meets many asks the node, whose cache is a map.
        const KEPT: usize = 8;
        if let Some((_, queue)) = self.0.iter().find(|(known, _)| known == name) {
            return Ok(queue.clone());
        }
        let queue = api.node.queue(namespace, name).await?;
        if self.0.len() < KEPT {
            self.0.push((name.clone(), queue.clone()));
        }
        Ok(queue)
    }
}
