//! The name of every metric, and what it counts.
//!
//! Invariants: a metric is named here and nowhere else; names say their unit, in base units, and never end in `_total`,
//! which the encoder adds to counters (Prometheus, metric and label naming). The integration tests keep a list of what a
//! server shows, so that no name changes unnoticed: dashboards and alerts are written against them.

/// A metric's name and help.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name(pub(super) &'static str, pub(super) &'static str);

pub(super) const SUBMITTED: Name = Name(
    "raincheck_jobs_submitted",
    "Jobs accepted by this node; the source is submit, batch or retry",
);
pub(super) const FINISHED: Name = Name("raincheck_jobs_finished", "Jobs that ended, by how they ended");
pub(super) const ATTEMPTS: Name = Name("raincheck_job_attempts", "Attempts that ended, by how they ended");
pub(super) const WAIT: Name = Name(
    "raincheck_job_wait_seconds",
    "From the moment a job could be claimed to its claim",
);
pub(super) const RUN: Name = Name("raincheck_job_run_seconds", "How long attempts took");
pub(super) const WHOLE: Name = Name(
    "raincheck_job_total_seconds",
    "From a job's submission to its end",
);
pub(super) const RECLAIMED: Name = Name(
    "raincheck_leases_reclaimed",
    "Leases that ended because their worker was silent",
);

pub(super) const JOBS: Name = Name("raincheck_jobs", "Jobs in the store, by where they stand");
pub(super) const PAUSED: Name = Name("raincheck_queue_paused", "Whether the queue is paused: 1 or 0");
pub(super) const OLDEST: Name = Name(
    "raincheck_queue_oldest_job_age_seconds",
    "How long the oldest job that could be claimed has waited; 0 where none does",
);
pub(super) const LIMIT_WAITS: Name = Name(
    "raincheck_queue_limit_waits",
    "How often a limit kept jobs back that waited; the limit is named as in waiting_for",
);
pub(super) const WORKERS: Name = Name(
    "raincheck_workers",
    "Workers elsewhere that this node heard of lately",
);
pub(super) const SLOTS: Name = Name(
    "raincheck_worker_slots",
    "Attempts that this node works itself: busy, or free up to the queue's concurrency",
);

pub(super) const PUSHES: Name = Name(
    "raincheck_push_requests",
    "Requests to handlers, by status; `none` where there was no answer",
);
pub(super) const PUSH_TIME: Name = Name(
    "raincheck_push_request_seconds",
    "From a push's first byte to the head of its answer",
);
pub(super) const CIRCUITS: Name = Name(
    "raincheck_push_circuit_open",
    "Hosts of the queue's URLs that only probes are sent to, because requests there failed",
);
pub(super) const DELIVERIES: Name = Name(
    "raincheck_webhook_deliveries",
    "Tries of webhooks, by result: taken, failed or gone",
);

pub(super) const FETCHES: Name = Name(
    "raincheck_fetch_requests",
    "Requests for URLs that are fetched, redirects included, by status; `none` where there was no answer",
);
pub(super) const FETCHED: Name = Name("raincheck_fetch_bytes", "Bytes of bodies that were fetched");

pub(super) const PROXIED: Name = Name(
    "raincheck_proxy_requests",
    "Requests that went by a proxy's rule, by its path, status and what became of them: pass, late (a job after a while), job, refused, gone (its client, 499)",
);
pub(super) const RESPONDED: Name = Name(
    "raincheck_respond_async_requests",
    "Requests of the application's own routes below respond_async, by the layer's queue, status and what became of them: pass, late (a job after a while), job, refused",
);
pub(super) const PENDING: Name = Name(
    "raincheck_webhook_pending",
    "Webhooks that are to be sent, now or later",
);

pub(super) const REQUESTS: Name = Name(
    "raincheck_http_requests",
    "Requests that were answered, by route, method and status",
);
pub(super) const REQUEST_TIME: Name = Name(
    "raincheck_http_request_seconds",
    "From a request's head to the head of its answer, waiting included",
);
pub(super) const WAITERS: Name = Name(
    "raincheck_http_waiters",
    "Requests that wait for a job or a claim (long-poll), and open streams",
);

pub(super) const COMMITS: Name = Name(
    "raincheck_store_commit_seconds",
    "How long commits took, sync included",
);
pub(super) const COMMIT_JOBS: Name = Name(
    "raincheck_store_commit_batch_jobs",
    "Transitions of jobs in one commit",
);
pub(super) const STORE_SIZE: Name = Name("raincheck_store_size_bytes", "What the store takes on disk");
pub(super) const STORE_DAMAGED: Name = Name(
    "raincheck_store_damaged_jobs",
    "Jobs that were set aside since the start, because a row of theirs is not as it was written; /readyz names them",
);
pub(super) const STORE_ERRORS: Name = Name(
    "raincheck_store_errors",
    "What the store could not do: apply an operation, write for want of space, commit",
);

pub(super) const SPANS_DROPPED: Name = Name(
    "raincheck_trace_spans_dropped",
    "Spans that the collector did not take, or that there was no room for",
);

pub(super) const NODES: Name = Name("raincheck_nodes", "Nodes that share the store");
pub(super) const BUILD: Name = Name("raincheck_build", "What runs here");

pub(super) const CPU: Name = Name("process_cpu_seconds", "Processor time of this process");
pub(super) const RESIDENT: Name = Name("process_resident_memory_bytes", "Resident memory");
pub(super) const FILES: Name = Name("process_open_fds", "Open file descriptors");
pub(super) const FILES_MAX: Name = Name("process_max_fds", "How many file descriptors may be open");
pub(super) const STARTED: Name = Name(
    "process_start_time_seconds",
    "When the process began, in seconds since 1970",
);
