//! Bytes inside JSON: `json` where the content type is JSON, `text` where it is text, `base64` otherwise, `url` where
//! they are too many.
//!
//! Invariants: what was sent as one of them reads back as the same bytes; JSON stands in the answer as it came, and only
//! where no reader of the answer could stumble over it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use raincheck_core::content::Input;
use raincheck_core::id::JobId;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::text;
use crate::links::Links;

/// More bytes than these are fetched by themselves.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// An input inside JSON: exactly one of `json`, `text`, `base64` and `url`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Content)]
pub(crate) struct ContentDocument<'a> {
    /// The content type as it came.
    #[schema(example = "application/json")]
    content_type: Option<&'a str>,
    /// How many bytes it has. White space around `json` is not shown; where it matters, fetch the job's input.
    #[schema(example = 12)]
    size: usize,
    /// Further headers for the handler: content coding and language, and those that `Raincheck-Forward` named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    /// The bytes, where they are JSON that every reader takes: no half surrogate, no number beyond a float's range, nested at
    /// most 100 deep.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    json: Option<&'a RawValue>,
    /// The bytes, where they are text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The bytes as base64 (RFC 4648 section 4), where they are neither or have a content coding.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Where the bytes are, when there are more than 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// What the content type says of the bytes.
enum Kind {
    Json,
    Text,
    Other,
}

fn kind(content_type: &str) -> Kind {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    match essence.split_once('/') {
        Some(("application", name)) if name == "json" || name.ends_with("+json") => Kind::Json,
        Some(("text", _)) => Kind::Text,
        Some(_) | None => Kind::Other,
    }
}

impl<'a> ContentDocument<'a> {
    /// The input of this job.
    pub(crate) fn of(links: Links<'_>, id: JobId, input: &'a Input) -> Self {
        let mut headers: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
        for (name, value) in &input.headers {
            let entry = headers.entry(name).or_default();
            if entry.is_empty() {
                *entry = value.into();
            } else {
                // Several lines of one header are one list (RFC 9110 section 5.2).
                let entry = entry.to_mut();
                entry.push_str(", ");
                entry.push_str(value);
            }
        }
        let mut document = Self {
            content_type: input.content_type.as_deref(),
            size: input.body.len(),
            json: None,
            text: None,
            base64: None,
            url: None,
            headers,
        };
        let body = &*input.body;
        let coded = document.headers.contains_key(CONTENT_ENCODING.as_str());
        match shown(document.content_type, coded, body) {
            Shown::Json(json) => document.json = Some(json),
            Shown::Text(text) => document.text = Some(text),
            Shown::Base64(base64) => document.base64 = Some(base64),
            Shown::TooLarge => document.url = Some(links.of_job(id, "/input", None)),
        }
        document
    }
}

/// How bytes stand inside JSON.
pub(crate) enum Shown<'a> {
    /// As the JSON that they are.
    Json(&'a RawValue),
    /// As the text that they are.
    Text(&'a str),
    /// As base64 (RFC 4648 section 4).
    Base64(String),
    /// Not at all.
    TooLarge,
}

/// How these bytes stand inside JSON; `coded` where they have a content coding.
pub(crate) fn shown<'a>(content_type: Option<&str>, coded: bool, body: &'a [u8]) -> Shown<'a> {
    if body.len() > INLINE_BYTES_MAX {
        return Shown::TooLarge;
    }
    shown_whole(content_type, coded, body)
}

/// The same, however many they are.
pub(crate) fn shown_whole<'a>(content_type: Option<&str>, coded: bool, body: &'a [u8]) -> Shown<'a> {
    let found = match kind(content_type.filter(|_| !coded).unwrap_or_default()) {
        Kind::Json => strict(body).map(Shown::Json),
        Kind::Text => std::str::from_utf8(body).ok().map(Shown::Text),
        Kind::Other => None,
    };
    found.unwrap_or_else(|| Shown::Base64(text::to_base64(body)))
}

/// How deep JSON may nest that stands in a document of ours: less than any common reader takes, which reads the whole.
const DEPTH_MAX: u8 = 100;

/// JSON that every reader takes: no half surrogates, no number beyond a float's range, not too deep. One that a strict
/// reader refused would take the whole document with it, and the other jobs in it.
pub(crate) fn strict(body: &[u8]) -> Option<&RawValue> {
    let json: &RawValue = serde_json::from_slice(body).ok()?;
    let mut reader = serde_json::Deserializer::from_str(json.get());
    Strict(DEPTH_MAX).deserialize(&mut reader).is_ok().then_some(json)
}

/// Reads a value as a strict reader does, keeps nothing of it, and goes so many levels deep.
#[derive(Clone, Copy)]
struct Strict(u8);

impl Strict {
    fn inside<E: Error>(self) -> Result<Self, E> {
        self.0
            .checked_sub(1)
            .map(Self)
            .ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while values.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while fields.next_key_seed(inside)?.is_some() {
            fields.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// The bytes that stand in a field `json`, `text` or `base64`, and the content type that they have unless told.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn bytes_of(field: &str, raw: &RawValue) -> Result<(Bytes, &'static str), Cow<'static, str>> {
    match field {
        "json" => Ok((Bytes::copy_from_slice(raw.get().as_bytes()), "application/json")),
        "text" => Ok((super::submit::string(raw)?.into(), "text/plain; charset=utf-8")),
        _ => {
            let bytes = text::base64(&super::submit::string(raw)?);
            let bytes = bytes.ok_or("not base64 (RFC 4648 section 4, with padding)")?;
            Ok((bytes.into(), "application/octet-stream"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content_type: Option<&str>, headers: &[(&str, &str)], body: &[u8]) -> String {
        let input = Input {
            content_type: content_type.map(str::to_owned),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            body: Bytes::copy_from_slice(body),
        };
        serde_json::to_string(&ContentDocument::of(
            Links::default(),
            JobId::from_parts(1 << 40, 1),
            &input,
        ))
        .unwrap()
    }

    #[test]
    fn bytes_are_json_text_or_base64_by_their_content_type() {
        for (kind, body, expected) in [
            (
                Some("application/json"),
                &b" {\"a\": 1e3 } "[..],
                r#""json":{"a": 1e3 }"#,
            ),
            (Some("application/problem+json; x=y"), b"null", r#""json":null"#),
            (Some("application/json"), b"{", r#""base64":"ew==""#),
            (Some("application/json"), b"", r#""base64":"""#),
            (Some("application/json"), b"1e400", r#""base64":"MWU0MDA=""#),
            (Some("application/json"), br#""\ud8""#, r#""base64":"Ilx1ZDgi""#),
            (Some("text/csv"), "ä,b\n".as_bytes(), r#""text":"ä,b\n""#),
            (Some("text/plain"), b"\xff", r#""base64":"/w==""#),
            (Some("image/png"), b"abc", r#""base64":"YWJj""#),
            (None, b"abc", r#""base64":"YWJj""#),
        ] {
            let shown = shown(kind, &[], body);
            let start = kind.map_or("null".to_owned(), |kind| format!("{kind:?}"));
            let size = body.len();
            assert_eq!(
                shown,
                format!(r#"{{"content_type":{start},"size":{size},{expected}}}"#)
            );
        }
    }

    #[test]
    fn coded_bytes_stay_opaque_and_many_bytes_have_a_url() {
        let coded = shown(
            Some("text/plain"),
            &[("content-encoding", "gzip"), ("x", "1"), ("x", "2")],
            b"abc",
        );
        assert!(
            coded.contains(r#""size":3,"headers":{"content-encoding":"gzip","x":"1, 2"},"base64":"YWJj""#),
            "{coded}"
        );
        let large = shown(Some("text/plain"), &[], &vec![b'x'; INLINE_BYTES_MAX + 1]);
        assert!(
            large.contains(r#""url":"/v1/jobs/job_"#) && large.len() < 200,
            "{large}"
        );
    }
}
