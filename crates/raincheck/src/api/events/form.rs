//! How events are written: as server-sent events (WHATWG HTML section 9.2) or as NDJSON, and where a reader goes on.
//!
//! Invariant: both forms carry the same names, ids and data; data is JSON without a line break.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use raincheck_core::output::{Chunk, Stream};
use raincheck_core::time::Timestamp;
use serde::Serialize;

use crate::api::answer::render;
use crate::api::text::to_base64;

/// One of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`.
    Lines,
}

/// How far a reader is: the last version and the last chunk that it got. After the end it is one chunk further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) version: u32,
    pub(crate) n: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version, self.n)
    }
}

/// The text is no id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (version, n) = text.split_once('.').ok_or(NoPlace)?;
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !plain(version) || !plain(n) {
            return Err(NoPlace);
        }
        Ok(Self {
            version: version.parse().map_err(|_| NoPlace)?,
            n: n.parse().map_err(|_| NoPlace)?,
        })
    }
}

/// A chunk inside JSON: `text` where it is UTF-8, else `base64`.
#[derive(Serialize)]
struct ChunkDocument<'a> {
    attempt: u32,
    seq: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Form {
    /// What the request accepts: NDJSON where it is named before server-sent events, else those.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
                let is = |wanted: &str| name.eq_ignore_ascii_case(wanted) && !refused;
                if is("application/x-ndjson") || is("application/jsonl") {
                    return Self::Lines;
                }
                if is("text/event-stream") {
                    return Self::Sse;
                }
            }
        }
        Self::Sse
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }

    /// Which of an event's shared forms it is.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Sse => 0,
            Self::Lines => 1,
        }
    }

    /// An event whose data is this JSON.
    pub(crate) fn event(self, name: &str, id: Option<Place>, data: &[u8]) -> Bytes {
        let mut written = Vec::with_capacity(data.len() + 64);
        let mut put = |part: &str| written.extend_from_slice(part.as_bytes());
        let id = id.map(|id| id.to_string());
        match self {
            Self::Sse => {
                put("event: ");
                put(name);
                if let Some(id) = &id {
                    put("\nid: ");
                    put(id);
                }
                put("\ndata: ");
                written.extend_from_slice(data);
                written.extend_from_slice(b"\n\n");
            }
            Self::Lines => {
                put("{\"event\":\"");
                put(name);
                if let Some(id) = &id {
                    put("\",\"id\":\"");
                    put(id);
                }
                put("\",\"data\":");
                written.extend_from_slice(data);
                written.extend_from_slice(b"}\n");
            }
        }
        written.into()
    }

    /// An event with these data.
    pub(crate) fn say(self, name: &str, id: Option<Place>, data: &impl Serialize) -> Bytes {
        self.event(name, id, &render(data))
    }

    /// A chunk.
    pub(crate) fn chunk(self, chunk: &Chunk, version: u32) -> Bytes {
        let text = std::str::from_utf8(&chunk.piece.body).ok();
        let (name, at) = match chunk.piece.stream {
            Stream::Output => ("output", None),
            Stream::Log => ("log", Some(chunk.at)),
        };
        let document = ChunkDocument {
            attempt: chunk.attempt,
            seq: chunk.seq,
            at,
            text,
            base64: text.is_none().then(|| to_base64(&chunk.piece.body)),
        };
        let id = Place { version, n: chunk.n };
        self.say(name, Some(id), &document)
    }

    /// Keeps the line open.
    pub(crate) const fn ping(self) -> Bytes {
        match self {
            Self::Sse => Bytes::from_static(b":\n\n"),
            Self::Lines => Bytes::from_static(b"{\"event\":\"ping\"}\n"),
        }
    }

    /// Asks the reader to come back after so many milliseconds.
    pub(crate) fn retry(self, millis: u64) -> Bytes {
        match self {
            Self::Sse => format!("retry: {millis}\n\n").into(),
            Self::Lines => format!("{{\"event\":\"retry\",\"data\":{{\"millis\":{millis}}}}}\n").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ndjson_is_written_where_it_is_asked_for_first() {
        for (accept, form) in [
            (None, Form::Sse),
            (Some("*/*"), Form::Sse),
            (Some("application/json"), Form::Sse),
            (Some("application/x-ndjson"), Form::Lines),
            (Some("application/jsonl; q=0.9, */*"), Form::Lines),
            (Some("text/event-stream, application/x-ndjson"), Form::Sse),
            (Some("text/event-stream;q=0, application/X-NDJSON"), Form::Lines),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Form::of(&headers), form, "{accept:?}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { version: 3, n: 17 };
        assert_eq!(place.to_string(), "3.17");
        assert_eq!("3.17".parse(), Ok(place));
        for text in [
            "",
            "3",
            "3.",
            ".7",
            "-3.1",
            "+3.1",
            "3.1.2",
            "a.b",
            "99999999999.1",
        ] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text:?}");
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let id = Some(Place { version: 2, n: 1 });
        let data = br#"{"attempt":2}"#;
        let sse = Form::Sse.event("reset", id, data);
        assert_eq!(sse, "event: reset\nid: 2.1\ndata: {\"attempt\":2}\n\n");
        let line = Form::Lines.event("reset", id, data);
        assert_eq!(
            line,
            "{\"event\":\"reset\",\"id\":\"2.1\",\"data\":{\"attempt\":2}}\n"
        );
        assert_eq!(
            Form::Lines.event("x", None, b"{}"),
            "{\"event\":\"x\",\"data\":{}}\n"
        );
        assert_eq!(Form::Sse.event("x", None, b"{}"), "event: x\ndata: {}\n\n");
    }
}
