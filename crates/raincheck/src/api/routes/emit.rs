//! What workers show while they work: chunks of output and log.
//!
//! Invariant: a chunk is answered 200 once it is kept, so whoever follows the job can have it from then on.

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use raincheck_core::output::{Piece, Stream};

use super::leases::one;
use crate::api::Api;
use crate::api::acts::{Known, SEQ};
use crate::api::caller::Caller;
use crate::api::extract::{LeasePath, SETTINGS_BYTES_MAX, body, json_only};
use crate::api::options::SENT_TO_HANDLERS;
use crate::api::problem::Problem;
use crate::api::query::no_query;
use crate::api::text;
use crate::api::wire::asked::EmitSchema;
use crate::api::wire::lease::Act;
use crate::api::wire::leased::EmittedDocument;

const STREAM: &str = "raincheck-stream";

/// Emit a chunk of output or log.
///
/// Chunks are numbered from 0 within a lease, output and log together. The same chunk again is 200 again, so that one
/// whose answer was lost can be repeated. With `Raincheck-Seq` the body is the chunk, any bytes; else it is JSON.
/// An attempt may emit as many bytes of output as the queue's `result_max`, and as many of log, in at most 100,000
/// chunks. A result that equals what was emitted as output is stored once.
#[utoipa::path(
    post, path = "/v1/leases/{lease}/emit", operation_id = "emit", tag = "workers",
    params(
        ("lease" = String, Path, description = "The lease."),
        ("Raincheck-Seq" = Option<u32>, Header, description = "The chunk's number, where the body is the chunk itself."),
        ("Raincheck-Stream" = Option<String>, Header, description = "`output` (unless given) or `log`, where the body is the chunk itself."),
    ),
    request_body(content(
        (inline(EmitSchema) = "application/json"),
        (Vec<u8> = "*/*"),
    )),
    responses((status = 200, description = "The chunk is kept.", body = EmittedDocument, content_type = "application/json"))
)]
pub(crate) async fn emit(
    State(api): State<Api>,
    caller: Caller,
    LeasePath(lease): LeasePath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    no_query(&parts)?;
    let raw = head(&parts.headers)?;
    if raw.is_none() {
        json_only(&parts.headers)?;
    }
    let known = Known::find(&api, &caller, &lease).await?;
    let limit = known.result_max();
    let act = match raw {
        Some((seq, stream)) => {
            let body = body(
                &api,
                content,
                limit,
                "what an attempt may emit, the queue's result_max",
            )
            .await?;
            Act::Emit {
                seq,
                piece: Piece { stream, body },
            }
        }
        None => {
            // As base64, and the fields around it.
            let limit = limit / 3 * 4 + SETTINGS_BYTES_MAX;
            let body = body(&api, content, limit, "one chunk of this queue").await?;
            Act::read("emit", &body)?
        }
    };
    one(&api, &caller.namespace, lease, act, None, known).await
}

/// Number and stream of a chunk that is the body itself.
fn head(headers: &HeaderMap) -> Result<Option<(u32, Stream)>, Problem> {
    for name in headers.keys().map(http::HeaderName::as_str) {
        let taken = name == SEQ || name == STREAM || SENT_TO_HANDLERS.contains(&name);
        if name.starts_with("raincheck-") && !taken {
            let name = text::short(name);
            let detail = format!("{name}: there is no such option here; /openapi.json lists them");
            return Err(Problem::bad_request(detail));
        }
        if taken && headers.get_all(name).iter().nth(1).is_some() {
            return Err(Problem::bad_request(format!("{name}: given twice")));
        }
    }
    let value = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default().trim())
    };
    let stream = match value(STREAM) {
        None => None,
        Some("output") => Some(Stream::Output),
        Some("log") => Some(Stream::Log),
        Some(_) => return Err(Problem::bad_request("Raincheck-Stream: takes output or log")),
    };
    match value(SEQ.as_str()) {
        None if stream.is_some() => {
            let detail = "Raincheck-Stream: goes with Raincheck-Seq, where the body is the chunk itself";
            Err(Problem::bad_request(detail))
        }
        None => Ok(None),
        Some(seq) => {
            let seq = seq
                .parse()
                .ok()
                .filter(|_| seq.bytes().all(|b| b.is_ascii_digit()));
            let wrong = || Problem::bad_request("Raincheck-Seq: takes a whole number, the chunk's, from 0");
            Ok(Some((seq.ok_or_else(wrong)?, stream.unwrap_or(Stream::Output))))
        }
    }
}
