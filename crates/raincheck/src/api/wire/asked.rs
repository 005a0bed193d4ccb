//! What pull workers send, as the OpenAPI document describes it; [`lease`](super::lease) reads it.
//!
//! Invariant: a field that is read is described here.

use utoipa::ToSchema;

/// A claim. An empty body asks for one job.
#[derive(ToSchema)]
#[schema(as = Claim)]
#[expect(dead_code, reason = "describes what ClaimAsked::read takes")]
pub(crate) struct ClaimSchema {
    /// How the worker calls itself; shown with the attempts it runs. Unless given `anonymous`.
    #[schema(example = "gpu-1", min_length = 1, max_length = 255)]
    worker: Option<String>,
    /// At most so many jobs, 1 unless given.
    #[schema(minimum = 1, maximum = 100, example = 4)]
    max: Option<u32>,
    /// How long the worker holds a job without renewing, 1 s to 12 h; the queue's `lease_for` unless given.
    #[schema(example = "30s")]
    lease_for: Option<String>,
    /// Names this claim: repeated by the same worker while its leases live, it brings the same leases.
    #[schema(min_length = 1, max_length = 255)]
    claim_id: Option<String>,
}

/// A renewal. An empty body renews for the term of the claim.
#[derive(ToSchema)]
#[schema(as = Renewal)]
#[expect(dead_code, reason = "describes what Act::read takes")]
pub(crate) struct RenewSchema {
    /// For so long from now, 1 s to 12 h, but never past the attempt's deadline; the claim's term unless given.
    #[schema(example = "30s")]
    lease_for: Option<String>,
    /// How far the attempt is; stays as it was where absent.
    progress: Option<ProgressSchema>,
}

/// How far an attempt is.
#[derive(ToSchema)]
#[schema(as = Progress)]
#[expect(dead_code, reason = "describes what Act::read takes")]
pub(crate) struct ProgressSchema {
    /// From 0 to 1.
    #[schema(minimum = 0, maximum = 1, example = 0.4)]
    fraction: Option<f64>,
    /// For people.
    #[schema(max_length = 1024, example = "page 4")]
    message: Option<String>,
}

/// A failure. An empty body is `handler-failed`, to be tried again.
#[derive(ToSchema)]
#[schema(as = Failure)]
#[expect(dead_code, reason = "describes what Act::read takes")]
pub(crate) struct FailSchema {
    /// Why.
    error: Option<FailErrorSchema>,
    /// Whether another attempt may help; true unless given.
    retry: Option<bool>,
    /// The least delay before it.
    #[schema(example = "30s")]
    retry_after: Option<String>,
}

/// Why an attempt failed.
#[derive(ToSchema)]
#[schema(as = FailureError)]
#[expect(dead_code, reason = "describes what Act::read takes")]
pub(crate) struct FailErrorSchema {
    /// A stable word; `handler-failed` unless given.
    #[schema(max_length = 64, example = "no-such-image")]
    code: Option<String>,
    /// What happened, for people; cut off after 4 KiB.
    detail: Option<String>,
}

/// Giving a job back. An empty body gives it back at once.
#[derive(ToSchema)]
#[schema(as = Release)]
#[expect(dead_code, reason = "describes what Act::read takes")]
pub(crate) struct ReleaseSchema {
    /// How long the job waits before it can be claimed again; not at all unless given.
    #[schema(example = "10s")]
    delay: Option<String>,
}

/// A chunk of output or log: exactly one of `output`, `output_base64` and `log`.
#[derive(ToSchema)]
#[schema(as = Emission)]
#[expect(dead_code, reason = "describes what Act::read takes")]
pub(crate) struct EmitSchema {
    /// The chunk's number within the lease, from 0, over output and log.
    #[schema(example = 0)]
    seq: u32,
    /// Output as text.
    #[schema(example = "It is raining")]
    output: Option<String>,
    /// Output as base64 (RFC 4648 section 4).
    output_base64: Option<String>,
    /// A piece of log.
    #[schema(example = "model loaded\n")]
    log: Option<String>,
}

/// One entry of many: a lease, what to do with it, and the fields of that action.
#[derive(ToSchema)]
#[schema(as = LeaseAction)]
#[expect(dead_code, reason = "describes what Entry::read takes")]
pub(crate) struct EntrySchema {
    /// The lease.
    lease: String,
    /// `renew`, `emit`, `succeed`, `fail` or `release`. Chunks are kept before anything else of the request is done.
    #[schema(example = "succeed")]
    action: String,
    /// renew: for so long from now.
    lease_for: Option<String>,
    /// renew: how far the attempt is.
    progress: Option<ProgressSchema>,
    /// emit: the chunk's number within the lease.
    seq: Option<u32>,
    /// emit: output as text.
    output: Option<String>,
    /// emit: output as base64.
    output_base64: Option<String>,
    /// emit: a piece of log.
    log: Option<String>,
    /// succeed: the result as JSON. At most one of `json`, `text` and `base64`; none is an empty result.
    #[schema(value_type = Option<Value>)]
    json: Option<()>,
    /// succeed: the result as text.
    text: Option<String>,
    /// succeed: the result as base64 (RFC 4648 section 4).
    base64: Option<String>,
    /// succeed: the result's content type. Unless given `application/json`, `text/plain; charset=utf-8` or
    /// `application/octet-stream`, after the field that the result is in.
    content_type: Option<String>,
    /// succeed: the status that the result is redeemed with, 200 unless given.
    status: Option<u16>,
    /// succeed: headers to be kept with the result: `content-disposition`, `content-digest`, `content-encoding`,
    /// `content-language`, `repr-digest`.
    #[schema(value_type = Option<Object>)]
    headers: Option<()>,
    /// fail: why.
    error: Option<FailErrorSchema>,
    /// fail: whether another attempt may help; true unless given.
    retry: Option<bool>,
    /// fail: the least delay before it.
    retry_after: Option<String>,
    /// release: how long the job waits before it can be claimed again.
    delay: Option<String>,
    /// succeed and fail: take up to so many next jobs of the same queue as well; 100 at most for all entries together.
    #[schema(maximum = 100)]
    claim: Option<u32>,
}
