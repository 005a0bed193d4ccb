//! The JSON form of a submission: one object with queue, input and options.
//!
//! Invariant: a field that does not exist, comes twice or cannot be is refused and pointed at; the input's bytes are
//! those that stand after its field's colon, never written anew.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use raincheck_core::delivery::Callback;
use raincheck_core::name::{QueueName, UniqueValue};
use raincheck_core::unique::{Hold, OnConflict, Unique, UniqueError};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::options::{Asked, Kind, TABLE, callback, plain_key, row_of_field};
use crate::api::problem::Problem;
use crate::api::text;

/// One submission. At most one of `input`, `input_text` and `input_base64`; none is an empty input.
#[derive(ToSchema)]
#[schema(as = Submission)]
#[expect(
    dead_code,
    reason = "describes what Submission::read takes; the options are added from their table"
)]
pub(crate) struct SubmissionSchema {
    /// The line to wait in.
    #[schema(example = "thumbs")]
    queue: String,
    /// The input as JSON; its bytes are kept as they are written here.
    #[schema(value_type = Option<Value>)]
    input: Option<()>,
    /// The input as text.
    input_text: Option<String>,
    /// The input as base64 (RFC 4648 section 4).
    input_base64: Option<String>,
    /// The input's content type. Unless given `application/json`, `text/plain; charset=utf-8` or
    /// `application/octet-stream`, after the field that the input is in.
    content_type: Option<String>,
    /// The same as the header `Idempotency-Key`.
    #[schema(max_length = 255)]
    idempotency_key: Option<String>,
}

/// A submission as it was read.
#[derive(Debug)]
pub(crate) struct Submission<'a> {
    pub(crate) queue: QueueName,
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) asked: Asked<'a>,
}

/// The fields that are no options.
const OWN: [&str; 6] = [
    "queue",
    "input",
    "input_text",
    "input_base64",
    "content_type",
    "idempotency_key",
];

/// The fields of an object in their order, values unread.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A field's name, borrowed where it is written without escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Visitor<'a> for Fields<'a> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((Name(name), value)) = map.next_entry::<Name<'a>, &'a RawValue>()? {
            self.0.push((name, value));
        }
        Ok(self)
    }
}

/// Refuses what is not one JSON object. The text is fixed: the parser's own would repeat the caller's bytes.
///
/// # Errors
/// When it is not.
pub(crate) fn object(body: &[u8]) -> Result<(), Problem> {
    match body.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{') => Ok(()),
        Some(b'[') => Err(Problem::bad_request(
            "a list is not taken here; send one JSON object per request",
        )),
        Some(_) | None => Err(Problem::bad_request("the body is not a JSON object")),
    }
}

/// The fields of a JSON object in their order, values unread.
///
/// # Errors
/// When the body is not one JSON object.
pub(crate) fn fields(body: &[u8]) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Problem> {
    object(body)?;
    parsed(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::bad_request(format!(
            "the body is not well-formed JSON: line {line}, column {column}"
        ))
    })
}

fn parsed(object: &[u8]) -> serde_json::Result<Vec<(Cow<'_, str>, &RawValue)>> {
    let mut reader = serde_json::Deserializer::from_slice(object);
    let fields = reader.deserialize_map(Fields(Vec::with_capacity(8)))?;
    reader.end()?;
    Ok(fields.0)
}

impl<'a> Submission<'a> {
    /// Reads a submission.
    ///
    /// # Errors
    /// The first field that does not exist, comes twice or cannot be.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        Self::of(fields(body)?, None, None)
    }

    /// Reads a submission that is one of a list, where the one before was for the queue `last`.
    ///
    /// # Errors
    /// As [`read`](Self::read), in words that fit an entry.
    pub(crate) fn read_entry(entry: &'a [u8], last: Option<&QueueName>) -> Result<Self, Problem> {
        if entry.first() != Some(&b'{') {
            return Err(Problem::bad_request("the entry is not a JSON object"));
        }
        let fields = parsed(entry).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::bad_request(format!(
                "the entry is not well-formed JSON: line {line}, column {column}"
            ))
        })?;
        Self::of(fields, last, None)
    }

    /// Reads a submission that is a line of a batch, where one that names no queue is for `default`.
    ///
    /// # Errors
    /// As [`read`](Self::read), in words that fit a line.
    pub(crate) fn read_line(
        line: &'a [u8],
        last: Option<&QueueName>,
        default: Option<&QueueName>,
    ) -> Result<Self, Problem> {
        if line.first() != Some(&b'{') {
            return Err(Problem::bad_request("the line is not a JSON object"));
        }
        let fields = parsed(line).map_err(|error| {
            let column = error.column();
            Problem::bad_request(format!("the line is not well-formed JSON: column {column}"))
        })?;
        Self::of(fields, last, default)
    }

    fn of(
        fields: Vec<(Cow<'a, str>, &'a RawValue)>,
        last: Option<&QueueName>,
        default: Option<&QueueName>,
    ) -> Result<Self, Problem> {
        let mut asked = Asked::default();
        let (mut queue, mut content_type, mut key) = (None, None, None);
        let mut input: Option<(Bytes, &'static str)> = None;
        for (name, raw) in fields {
            let wrong = |why: Cow<'static, str>| {
                let name = text::short(&name);
                Problem::bad_request(format!("the field {name:?}: {why}")).at(format!("/{name}"))
            };
            if raw.get() == "null" && name != "input" {
                continue;
            }
            let twice = match &*name {
                "queue" => queue.replace(text_of(raw).map_err(wrong)?).is_some(),
                "content_type" => content_type.replace(string(raw).map_err(wrong)?).is_some(),
                "idempotency_key" => key
                    .replace(string(raw).and_then(plain_key).map_err(wrong)?)
                    .is_some(),
                "input" | "input_text" | "input_base64" => {
                    input.replace(input_of(&name, raw).map_err(wrong)?).is_some()
                }
                other => {
                    let unknown =
                        || wrong(text::no_such("field", other, names(), "/openapi.json lists them").into());
                    let row = row_of_field(other).ok_or_else(unknown)?;
                    option_text(TABLE[row].kind, raw)
                        .and_then(|text| asked.take(row, text))
                        .map_err(wrong)?;
                    false
                }
            };
            if twice {
                return Err(wrong(
                    "given twice; of the fields for the input only one is taken".into(),
                ));
            }
        }
        let missing = || Problem::bad_request("the field \"queue\" is missing").at("/queue");
        let queue = match queue {
            None => default.cloned().ok_or_else(missing)?,
            Some(queue) => match last.filter(|last| last.as_str() == queue) {
                Some(last) => last.clone(),
                None => QueueName::new(&queue)
                    .map_err(|why| Problem::bad_request(why.to_string()).at("/queue"))?,
            },
        };
        if content_type.as_ref().is_some_and(|text| !is_visible(text)) {
            return Err(
                Problem::bad_request("the field \"content_type\": not a content type").at("/content_type"),
            );
        }
        let (body, kind) = input.map_or((Bytes::new(), None), |(body, kind)| (body, Some(kind)));
        Ok(Self {
            queue,
            body,
            content_type: content_type.or_else(|| kind.map(str::to_owned)),
            key,
            asked,
        })
    }
}

/// Every field.
fn names() -> impl Iterator<Item = &'static str> {
    OWN.into_iter().chain(TABLE.iter().map(|row| row.field))
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

pub(super) fn string(raw: &RawValue) -> Result<String, Cow<'static, str>> {
    serde_json::from_str(raw.get()).map_err(|_| "takes a string".into())
}

/// The same, borrowed where it is written without escapes.
fn text_of(raw: &RawValue) -> Result<Cow<'_, str>, Cow<'static, str>> {
    serde_json::from_str(raw.get())
        .map(|Name(text)| text)
        .map_err(|_| "takes a string".into())
}

/// The input's bytes and the content type that they have unless told.
fn input_of(field: &str, raw: &RawValue) -> Result<(Bytes, &'static str), Cow<'static, str>> {
    match field {
        "input" => Ok((Bytes::copy_from_slice(raw.get().as_bytes()), "application/json")),
        "input_text" => Ok((string(raw)?.into(), "text/plain; charset=utf-8")),
        _ => {
            let bytes = text::base64(&string(raw)?).ok_or("not base64 (RFC 4648 section 4, with padding)")?;
            Ok((bytes.into(), "application/octet-stream"))
        }
    }
}

/// An option's value as the text that its header would hold.
pub(super) fn option_text(kind: Kind, raw: &RawValue) -> Result<Cow<'_, str>, Cow<'static, str>> {
    match kind {
        Kind::Text => text_of(raw),
        Kind::Integer(..) if raw.get().starts_with('"') => Err("takes a number, without quotes".into()),
        Kind::Integer(..) => Ok(Cow::Borrowed(raw.get())),
        Kind::Unique => unique_text(raw).map(Cow::Owned),
        Kind::Callback => callback_text(raw).map(Cow::Owned),
        Kind::Names => match serde_json::from_str::<Vec<String>>(raw.get()) {
            Ok(names) if names.iter().any(|name| name.is_empty() || name.contains(',')) => {
                Err("takes a list of strings that are not empty and hold no comma".into())
            }
            Ok(names) => Ok(Cow::Owned(names.join(", "))),
            Err(_) => string(raw)
                .map(Cow::Owned)
                .map_err(|_| "takes a list of strings".into()),
        },
    }
}

/// The object of a callback as the text that its header would hold.
fn callback_text(raw: &RawValue) -> Result<String, Cow<'static, str>> {
    let callback: Callback = serde_json::from_str(raw.get())
        .map_err(|_| r#"takes an object: {"url":"https://…","events":["succeeded","failed"]}"#)?;
    Ok(callback::written(&callback))
}

/// `unique` as JSON has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UniqueFields {
    value: String,
    #[serde(rename = "while")]
    hold: Option<String>,
    on_conflict: Option<String>,
}

/// The object of uniqueness as the text that its header would hold.
fn unique_text(raw: &RawValue) -> Result<String, Cow<'static, str>> {
    let fields: UniqueFields = serde_json::from_str(raw.get()).map_err(|_| {
        Cow::Borrowed(r#"takes an object: {"value":"…","while":"active","on_conflict":"reject"}"#)
    })?;
    let said = |error: UniqueError| Cow::Owned(error.to_string().replace("on-conflict", "on_conflict"));
    let unique = Unique {
        value: UniqueValue::new(&fields.value).map_err(|error| error.to_string())?,
        hold: fields
            .hold
            .map_or(Ok(Hold::default()), |text| text.parse())
            .map_err(said)?,
        on_conflict: fields
            .on_conflict
            .map_or(Ok(OnConflict::default()), |text| text.parse())
            .map_err(said)?,
    };
    Ok(unique.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck_core::name::Tag;

    fn refused(json: &str) -> String {
        Submission::read(json.as_bytes()).unwrap_err().detail().to_owned()
    }

    #[test]
    fn the_input_is_kept_as_it_is_written() {
        let read = Submission::read(br#" {"queue":"q", "input" : {"b": 1e3,  "a":[]} } "#).unwrap();
        assert_eq!(read.body, r#"{"b": 1e3,  "a":[]}"#);
        assert_eq!(read.content_type.as_deref(), Some("application/json"));
        let read = Submission::read(br#"{"queue":"q","input":null}"#).unwrap();
        assert_eq!(read.body, "null");
        let read = Submission::read(br#"{"queue":"q","input_base64":"aGk=","content_type":"a/b"}"#).unwrap();
        assert_eq!(
            (&read.body[..], read.content_type.as_deref()),
            (&b"hi"[..], Some("a/b"))
        );
        let read = Submission::read(br#"{"queue":"q","input_text":"h\u00e9"}"#).unwrap();
        assert_eq!(read.body, "h\u{e9}");
        let read = Submission::read(br#"{"queue":"q"}"#).unwrap();
        assert_eq!((read.body.len(), read.content_type), (0, None));
    }

    #[test]
    fn options_are_fields() {
        let json = r#"{"queue":"q","priority":2,"delay":"10m","group":"t","forward":["x-a","x-b"],"keep":null,"tags":["eu","b c"],
                       "unique":{"value":"a \"b\"","while":"kept"}}"#;
        let asked = Submission::read(json.as_bytes()).unwrap().asked;
        assert_eq!(asked.priority, 2);
        assert_eq!(asked.delay.unwrap().as_secs(), 600);
        assert_eq!(asked.group.unwrap().as_str(), "t");
        assert_eq!(asked.forward, ["x-a", "x-b"]);
        assert_eq!(asked.options.keep, None);
        let unique = asked.options.unique.unwrap();
        assert_eq!(unique.to_string(), r#""a \"b\"";while=kept;on-conflict=reject"#);
        assert_eq!(
            asked.options.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
            ["eu", "b c"]
        );
    }

    #[test]
    fn a_field_that_cannot_be_is_named() {
        let twice = "given twice; of the fields for the input only one is taken";
        for (json, detail) in [
            ("", "the body is not a JSON object"),
            ("\"queue\"", "the body is not a JSON object"),
            ("[]", "a list is not taken here; send one JSON object per request"),
            (
                "{\"queue\":",
                "the body is not well-formed JSON: line 1, column 9",
            ),
            ("{} {}", "the body is not well-formed JSON: line 1, column 4"),
            ("{}", "the field \"queue\" is missing"),
            (
                r#"{"queue":"q","queue":"q"}"#,
                &format!("the field \"queue\": {twice}"),
            ),
            (
                r#"{"queue":"q","input":1,"input_text":""}"#,
                &format!("the field \"input_text\": {twice}"),
            ),
            (
                r#"{"queue":"q","priority":"2"}"#,
                "the field \"priority\": takes a number, without quotes",
            ),
            (
                r#"{"queue":"q","priority":2.0}"#,
                "the field \"priority\": takes a whole number, 0 to 9",
            ),
            (
                r#"{"queue":"q","priority":1,"priority":1}"#,
                "the field \"priority\": given twice",
            ),
            (
                r#"{"queue":"q","delay":5}"#,
                "the field \"delay\": takes a string",
            ),
            (
                r#"{"queue":"q","tag":["a"]}"#,
                "the field \"tag\": there is no such field; did you mean tags?",
            ),
            (
                r#"{"queue":"q","tags":["a,b"]}"#,
                "the field \"tags\": takes a list of strings that are not empty and hold no comma",
            ),
            (
                r#"{"queue":"q","unique":"u"}"#,
                r#"the field "unique": takes an object: {"value":"…","while":"active","on_conflict":"reject"}"#,
            ),
            (
                r#"{"queue":"q","unique":{"value":"u","until":"kept"}}"#,
                r#"the field "unique": takes an object: {"value":"…","while":"active","on_conflict":"reject"}"#,
            ),
            (
                r#"{"queue":"q","unique":{"value":"u","while":"done"}}"#,
                "the field \"unique\": while is queued, active or kept",
            ),
            (
                r#"{"queue":"q","unique":{"value":"u","on_conflict":"fail"}}"#,
                "the field \"unique\": on_conflict is reject, attach or replace",
            ),
            (
                r#"{"queue":"q","input_base64":"!"}"#,
                "the field \"input_base64\": not base64 (RFC 4648 section 4, with padding)",
            ),
        ] {
            assert_eq!(refused(json), detail, "{json}");
        }
        assert!(refused(r#"{"queue":"a b"}"#).starts_with("a queue's name takes"));
        assert!(refused(&"[".repeat(100_000)).starts_with("a list"));
        let deep = format!("{{\"queue\":{}", "[".repeat(100_000));
        assert!(refused(&deep).starts_with("the body is not well-formed"));
    }
}
