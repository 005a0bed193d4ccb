//! The request that a handler gets.
//!
//! Invariant: headers that the submitter had forwarded cannot pass for Raincheck's own, nor steer the connection.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::Ctx;
use crate::hop::of_the_way;
use crate::webhooks::sign;

/// Headers that this server writes itself, beside those of the way.
const OURS: [&str; 3] = ["content-type", "idempotency-key", "user-agent"];

/// The input as it came, and what Raincheck says of the attempt; `lease_url` is where it can be settled later.
pub(super) fn request(target: Uri, ctx: &Ctx, lease_url: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(ctx.input.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    for (name, value) in &ctx.input.headers {
        let own = name.starts_with("raincheck-")
            || OURS.contains(&name.as_str())
            || sign::HEADERS.contains(&name.as_str());
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if !own && !of_the_way(&name) => append(headers, name, value),
            _ => {}
        }
    }
    let job = &ctx.job;
    let options = &job.options;
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("raincheck/", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(content_type) = &ctx.input.content_type {
        insert(headers, CONTENT_TYPE, content_type);
    }
    for (name, value) in [
        ("raincheck-job", Some(job.id.to_string())),
        ("raincheck-attempt", Some(job.attempt.to_string())),
        ("raincheck-fence", Some(job.fence.to_string())),
        ("raincheck-attempt-deadline", Some(ctx.deadline.to_string())),
        ("raincheck-lease", lease_url.map(str::to_owned)),
        ("idempotency-key", Some(job.id.to_string())),
        ("traceparent", ctx.traceparent.clone()),
        ("tracestate", options.tracestate.clone()),
    ] {
        if let Some(value) = value {
            insert(headers, HeaderName::from_static(name), &value);
        }
    }
    request
}

/// What the request is called in its signature: the same job's next attempt is another message.
pub(super) fn message_id(ctx: &Ctx) -> String {
    format!("{}_{}", ctx.job.id, ctx.job.fence)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What came in as a header goes out as one; a value that cannot is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}
