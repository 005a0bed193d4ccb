//! What a webhook says.
//!
//! Invariant: it is smaller than [`BODY_MAX`], and holds nothing that a reader of the job may not see.

use http::header::CONTENT_ENCODING;
use raincheck_core::batch::BatchStatus;
use raincheck_core::content::JobResult;
use raincheck_core::queue::Queue;
use raincheck_core::store::{About, Outgoing};
use raincheck_core::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::batch::BatchDocument;
use super::wire::content::strict;
use super::wire::job::JobDocument;
use crate::links::Links;

/// A webhook is smaller than this: a result that does not fit is redeemed at its URL.
const BODY_MAX: usize = 20_000;

#[derive(Serialize)]
struct Webhook<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Inline<'a>>,
}

#[derive(Serialize)]
struct Inline<'a> {
    status: u16,
    content_type: &'a str,
    json: &'a RawValue,
}

/// The body of a webhook: the job as its document, and the result where it is JSON and fits; or the batch.
pub(crate) fn body(outgoing: &Outgoing, queue: Option<&Queue>, outside: &str, now: Timestamp) -> Vec<u8> {
    let base = in_json(outside);
    let links = Links::below(&base);
    let mut document = Vec::new();
    let data = match &outgoing.about {
        About::Job { job, result } => {
            document.reserve(1024);
            JobDocument::of(links, job, queue, now).write(&mut document);
            Data {
                job: serde_json::from_slice(&document).ok(),
                batch: None,
                result: result.as_deref().and_then(inline),
            }
        }
        About::Batch(status) => Data {
            job: None,
            batch: Some(batch(status, Links::below(outside))),
            result: None,
        },
    };
    let mut webhook = Webhook {
        r#type: outgoing.delivery.event.name(),
        timestamp: outgoing.delivery.created_at,
        data,
    };
    let whole = super::answer::render(&webhook);
    if whole.len() < BODY_MAX || webhook.data.result.is_none() {
        return whole;
    }
    webhook.data.result = None;
    super::answer::render(&webhook)
}

/// A text as it stands between quotes.
fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// A batch with URLs that can be followed from elsewhere, without what its rejected lines were where that does not fit.
fn batch(status: &BatchStatus, links: Links<'_>) -> Value {
    let mut document = serde_json::to_value(BatchDocument::of(links, status)).unwrap_or_default();
    let lines = document.get_mut("rejected_lines").and_then(Value::as_array_mut);
    let mut left = BODY_MAX / 2;
    if let Some(lines) = lines {
        let fit = lines.iter().take_while(|line| {
            let size = line.to_string().len() + 1;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let fit = fit.count();
        lines.truncate(fit);
    }
    document
}

fn inline(result: &JobResult) -> Option<Inline<'_>> {
    let content_type = result.content_type.as_deref()?;
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let coded = result
        .headers
        .iter()
        .any(|(name, _)| name == CONTENT_ENCODING.as_str());
    if !json || coded || result.body.len() >= BODY_MAX {
        return None;
    }
    Some(Inline {
        status: result.status,
        content_type,
        json: strict(&result.body)?,
    })
}
