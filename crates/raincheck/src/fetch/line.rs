//! One result as a line of NDJSON, as `raincheck fetch` writes it.
//!
//! Invariant: a line has a `seq`, and lines that are written in their order can be gone on with behind the last of them.

use raincheck_core::batch::Finished;
use raincheck_core::job::Outcome;
use serde::Serialize;

use super::text;
use super::told::Fetched;
use crate::api::wire::batch::in_one_line;
use crate::api::wire::content::{Shown, shown_whole};

/// What is known of one URL's end.
#[derive(Debug)]
pub struct FetchedLine<'a> {
    /// Its place in the order of ends, from 1.
    pub seq: u64,
    /// Which URL of the list it was, from 0.
    pub index: u64,
    /// What was told of the answer. Where there is nothing, `url` stands in.
    pub fetched: Option<Fetched<'a>>,
    /// The URL, where there was no answer.
    pub url: Option<&'a str>,
    /// How it ended.
    pub outcome: &'a str,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The content type of the answer.
    pub content_type: Option<&'a str>,
    /// The answer.
    pub body: FetchedBody<'a>,
    /// Why it failed: a code, and a text for people.
    pub error: Option<(&'a str, &'a str)>,
}

/// A body within a line.
#[derive(Debug)]
pub enum FetchedBody<'a> {
    /// There is none here.
    None,
    /// These bytes, to be shown by their type; whether they have a content coding.
    Bytes(&'a [u8], bool),
}

impl<'a> FetchedLine<'a> {
    /// The line of a job that has ended, of whose answer this was told; `url` is asked for where there was none.
    #[must_use]
    pub fn of(finished: &'a Finished, fetched: Option<Fetched<'a>>, url: Option<&'a str>) -> Self {
        let (job, result) = (&finished.job, finished.result.as_deref());
        let in_file = fetched.is_some_and(|fetched| fetched.in_file);
        Self {
            seq: finished.place,
            index: job.member.map_or(0, |member| member.index),
            fetched,
            url,
            outcome: job.outcome().map_or("", Outcome::as_str),
            status: result.map(|result| result.status),
            content_type: result.and_then(|result| result.content_type.as_deref()),
            body: match result {
                Some(result) if !in_file => {
                    let coded = result.headers.iter().any(|(name, _)| name == "content-encoding");
                    FetchedBody::Bytes(&result.body, coded)
                }
                Some(_) | None => FetchedBody::None,
            },
            error: job
                .error
                .as_ref()
                .map(|error| (error.code.as_str(), error.detail.as_str())),
        }
    }

    /// Writes it, with its end.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"seq\":");
        json(out, &self.seq);
        member(out, "index", &self.index);
        match &self.fetched {
            // Its members become ours.
            Some(fetched) => {
                let members = fetched.json.trim();
                out.push(b',');
                out.extend_from_slice(&members.as_bytes()[1..members.len() - 1]);
            }
            None => member(out, "url", &self.url),
        }
        member(out, "outcome", &self.outcome);
        member(out, "status", &self.status);
        member(out, "content_type", &self.content_type);
        if let FetchedBody::Bytes(body, coded) = &self.body {
            match shown_whole(self.content_type, *coded, body) {
                Shown::Json(raw) => member(out, "json", &in_one_line(raw)),
                Shown::Text(text) => {
                    name(out, "text");
                    text::write(out, text);
                }
                Shown::Base64(text) => member(out, "base64", &text),
                Shown::TooLarge => {}
            }
        }
        if let Some((code, detail)) = self.error {
            member(out, "error", &Error { code, detail });
        }
        out.extend_from_slice(b"}\n");
    }
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn member<T: Serialize>(out: &mut Vec<u8>, key: &str, value: &T) {
    name(out, key);
    json(out, value);
}

fn json<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a line's keys are text");
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    detail: &'a str,
}
