//! What `POST /v1/fetch` takes as JSON: URLs, and the terms on which they are fetched.
//!
//! Invariant: a term is a number or a text, read by the same rule as in a query.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use raincheck_core::delivery::Callback;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::problem::Problem;
use crate::api::text;
use crate::api::wire::submit::fields;
use crate::fetch::Terms;

/// URLs to fetch, and on which terms.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Fetch)]
#[expect(
    dead_code,
    reason = "it is the shape for the OpenAPI document; fields are read one by one"
)]
pub(crate) struct FetchRequest {
    /// What to fetch.
    #[schema(example = json!(["https://example.org/", {"url": "https://example.org/x", "method": "HEAD"}]))]
    urls: Vec<FetchItem>,
    /// A queue whose worker is `fetch`, whose limits are taken. Unless given, one is made for the limits.
    #[schema(example = "pages")]
    queue: Option<String>,
    /// So many requests at once. Unless given, 100.
    #[schema(minimum = 1, maximum = 100_000, example = 100)]
    concurrency: Option<u32>,
    /// So many of them at one host. Unless given, 4.
    #[schema(minimum = 1, maximum = 100_000, example = 4)]
    per_host: Option<u32>,
    /// So many URLs begin in so much time. Unless given, no bound.
    #[schema(example = "50/s")]
    rate: Option<String>,
    /// How often each is attempted. Unless given, 5.
    #[schema(minimum = 1, maximum = 100, example = 5)]
    max_attempts: Option<u32>,
    /// How long between attempts.
    #[schema(example = "exponential;base=2s;cap=10m")]
    backoff: Option<String>,
    /// One attempt's time, redirects and all. Unless given, 1m.
    #[schema(example = "1m")]
    timeout: Option<String>,
    /// The time for all attempts of one URL. Unless given, no bound.
    #[schema(example = "1h")]
    deadline: Option<String>,
    /// How many redirects are followed. Unless given, 10.
    #[schema(maximum = 20, example = 10)]
    follow: Option<u32>,
    /// The largest body, a number of bytes or a size. Unless given, the queue's `result_max`.
    #[schema(example = "1MiB")]
    max_body: Option<String>,
    /// An earlier batch: where its answers still hold, they are taken over without being sent again.
    #[schema(example = "batch_01jd8zq3k5e7rv2m4n6p8s0t1w")]
    since: Option<String>,
    /// How long the batch stays when it is done. Unless given, 24 h, 7 d where one failed.
    #[schema(example = "7d")]
    keep: Option<String>,
    /// A webhook here when the batch is done.
    #[schema(example = "https://example.org/done")]
    callback: Option<FetchCallback>,
}

/// A URL, or an object with more to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "it is a shape for the OpenAPI document, of fetch::Wanted"
)]
pub(crate) enum FetchItem {
    /// The URL.
    #[schema(example = "https://example.org/")]
    Url(String),
    /// The URL and how it is asked.
    Object {
        /// Where it is.
        #[schema(example = "https://example.org/x")]
        url: String,
        /// `GET` unless given.
        #[serde(default)]
        method: FetchMethod,
        /// Further headers to send, at most 32.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// How many redirects are followed; 10 unless given.
        #[schema(maximum = 20)]
        follow: Option<u32>,
        /// The largest body, a number of bytes or a size; the queue's `result_max` unless given.
        #[schema(example = "1MiB")]
        max_body: Option<String>,
    },
}

/// How a URL is asked.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum FetchMethod {
    /// Head and body.
    #[default]
    Get,
    /// The head alone.
    Head,
}

/// Where a webhook is sent: a URL, or an object with it, as a job's callback is written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is a shape for the OpenAPI document")]
pub(crate) enum FetchCallback {
    /// The URL.
    #[schema(example = "https://example.org/done")]
    Url(String),
    /// The URL, as a job's callback has it; of a batch nothing but its end is told.
    Object {
        /// Where.
        #[schema(example = "https://example.org/done")]
        url: String,
    },
}

/// Reads the document: its URLs as lines, its terms into `terms`.
///
/// # Errors
/// What cannot be read, and where it stands.
pub(crate) fn read_request(body: &[u8], terms: &mut Terms) -> Result<Vec<Bytes>, Problem> {
    let mut urls = None;
    for (name, raw) in &fields(body)? {
        let shown = text::short(name);
        let wrong =
            |why: String| Problem::bad_request(format!("the field {shown:?}: {why}")).at(format!("/{shown}"));
        if &**name == "urls" {
            let list: Vec<&RawValue> =
                serde_json::from_str(raw.get()).map_err(|_| wrong("takes a list of URLs".to_owned()))?;
            let list = list
                .iter()
                .map(|url| Bytes::copy_from_slice(url.get().as_bytes()));
            if urls.replace(list.collect()).is_some() {
                return Err(wrong("given twice".to_owned()));
            }
            continue;
        }
        if raw.get() == "null" && Terms::NAMES.contains(&&**name) {
            continue;
        }
        let text = match raw.get().as_bytes().first() {
            Some(b'"') => super::submit::string(raw).map_err(|why| wrong(why.into_owned()))?,
            Some(b'{') if &**name == "callback" => callback_url(raw).map_err(|why| wrong(why.to_owned()))?,
            Some(b'0'..=b'9') => Cow::Borrowed(raw.get()).into_owned(),
            _ => {
                return Err(if Terms::NAMES.contains(&&**name) {
                    wrong("takes a text or a whole number".to_owned())
                } else {
                    unknown(&shown)
                });
            }
        };
        if !terms.take(name, &text).map_err(|why| wrong(why.to_string()))? {
            return Err(unknown(&shown));
        }
    }
    urls.ok_or_else(|| {
        Problem::bad_request("the field \"urls\": is missing; it takes a list of URLs").at("/urls".to_owned())
    })
}

/// The URL of a callback that is written as a job's is.
fn callback_url(raw: &RawValue) -> Result<String, &'static str> {
    let callback: Callback = serde_json::from_str(raw.get())
        .map_err(|_| r#"takes a URL, as a text or as an object: {"url":"https://…"}"#)?;
    if callback != Callback::to(&callback.url) {
        return Err("a batch tells of its completion only; leave events out");
    }
    Ok(callback.url)
}

fn unknown(name: &str) -> Problem {
    let names = Terms::NAMES.into_iter().chain(["urls"]);
    let why = text::no_such("term", name, names, "/openapi.json lists them");
    Problem::bad_request(format!("the field {name:?}: {why}")).at(format!("/{name}"))
}
