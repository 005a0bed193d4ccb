//! API keys as they are asked for and shown.
//!
//! Invariant: a secret is in the answer to the request that made the key, and in no other.

use std::borrow::Cow;
use std::time::Duration;

use raincheck_core::key::{ApiKey, GLOBS_MAX, Grants, KeyId, QueueGlob, Scope, Scopes, Token};
use raincheck_core::name::{KeyName, Namespace};
use raincheck_core::time::{Timestamp, parse_duration};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::submit::fields;
use crate::api::problem::Problem;
use crate::api::text;
use crate::keys::KeyWish;

/// A key to be made.
#[derive(ToSchema)]
#[schema(as = NewKey)]
#[expect(dead_code, reason = "describes what read takes")]
pub(crate) struct NewKeySchema {
    /// What it is for, in your words.
    #[schema(min_length = 1, max_length = 255, example = "ci")]
    name: String,
    /// What it may do: `submit`, `read`, `cancel`, `work`, or `admin`, which is all of them and keys, settings and secrets.
    #[schema(min_items = 1, example = json!(["submit", "read"]))]
    scopes: Vec<String>,
    /// The queues it is for, at most 16 patterns in which `*` stands for any characters; all of them unless given.
    #[schema(max_items = 16, example = json!(["thumbs*"]))]
    queues: Option<Vec<String>>,
    /// How long it is good; for good unless given.
    #[schema(example = "90d")]
    expires_in: Option<String>,
    /// The namespace it belongs to: the caller's own unless given. Others may be named by administrators of the server.
    #[schema(example = "default")]
    namespace: Option<String>,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct KeyAsked {
    pub(crate) wish: KeyWish,
    pub(crate) namespace: Option<Namespace>,
}

impl KeyAsked {
    /// Reads the body.
    ///
    /// # Errors
    /// The first field that does not exist, comes twice or cannot be, and those that are missing.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Problem> {
        let (mut name, mut scopes, mut queues) = (None, None, None);
        let (mut valid_for, mut namespace) = (None, None);
        let mut seen: Vec<Cow<'_, str>> = Vec::new();
        for (field, raw) in fields(body)? {
            let wrong = |why: &str| {
                let field = text::short(&field);
                Problem::bad_request(format!("the field {field:?}: {why}")).at(format!("/{field}"))
            };
            if seen.contains(&field) {
                return Err(wrong("given twice"));
            }
            match &*field {
                "name" => {
                    let read: String = of(raw).ok_or_else(|| wrong("takes a string"))?;
                    name = Some(KeyName::new(&read).map_err(|why| wrong(&why.to_string()))?);
                }
                "scopes" => scopes = Some(read_scopes(raw).map_err(wrong)?),
                "queues" => queues = read_globs(raw).map_err(|why| wrong(&why))?,
                "expires_in" => valid_for = read_span(raw).map_err(|why| wrong(&why))?,
                "namespace" => {
                    let read: Option<String> = of(raw).ok_or_else(|| wrong("takes a string"))?;
                    let read = read.as_deref().map(Namespace::new).transpose();
                    namespace = read.map_err(|why| wrong(&why.to_string()))?;
                }
                other => {
                    let names = ["name", "scopes", "queues", "expires_in", "namespace"];
                    let look = "a key takes name, scopes, queues, expires_in and namespace";
                    return Err(wrong(&text::no_such("field", other, names, look)));
                }
            }
            seen.push(field);
        }
        let missing = |field: &str, way: &str| {
            Problem::bad_request(format!("the field {field:?} is missing: {way}")).at(format!("/{field}"))
        };
        Ok(Self {
            wish: KeyWish {
                name: name.ok_or_else(|| missing("name", "say what the key is for"))?,
                grants: Grants {
                    scopes: scopes.ok_or_else(|| missing("scopes", "say what the key may do"))?,
                    queues: queues.unwrap_or_default(),
                },
                valid_for,
            },
            namespace,
        })
    }
}

fn of<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn read_scopes(raw: &RawValue) -> Result<Scopes, &'static str> {
    const TAKES: &str = "takes a list of scopes, at least one of submit, read, cancel, work and admin";
    let read: Vec<String> = of(raw).ok_or(TAKES)?;
    let scopes: Result<Scopes, _> = read.iter().map(|scope| scope.parse::<Scope>()).collect();
    scopes.ok().filter(|scopes| !scopes.is_empty()).ok_or(TAKES)
}

fn read_globs(raw: &RawValue) -> Result<Option<Vec<QueueGlob>>, String> {
    let read: Option<Vec<String>> = of(raw).ok_or("takes a list of patterns, such as [\"thumbs*\"]")?;
    let Some(read) = read else { return Ok(None) };
    if !(1..=GLOBS_MAX).contains(&read.len()) {
        return Err(format!(
            "takes 1 to {GLOBS_MAX} patterns; leave it out for a key that is for all queues"
        ));
    }
    let globs: Result<Vec<QueueGlob>, _> = read.iter().map(|glob| glob.parse()).collect();
    globs.map(Some).map_err(|why| why.to_string())
}

fn read_span(raw: &RawValue) -> Result<Option<Duration>, String> {
    const TAKES: &str = "takes a duration, such as \"90d\"";
    let read: Option<String> = of(raw).ok_or(TAKES)?;
    let Some(read) = read else { return Ok(None) };
    let span = parse_duration(&read).map_err(|_| TAKES)?;
    if span < Duration::from_secs(1) {
        return Err("takes at least a second".to_owned());
    }
    Ok(Some(span))
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyDocument<'a> {
    /// What it is called; the first part of the key itself.
    #[schema(value_type = String, example = "Zk3v9QxT")]
    id: KeyId,
    /// What it is for.
    #[schema(value_type = String, example = "ci")]
    name: &'a KeyName,
    /// The namespace in which it acts.
    #[schema(value_type = String, example = "default")]
    namespace: &'a Namespace,
    /// What it may do.
    #[schema(value_type = Vec<String>, example = json!(["submit", "read"]))]
    scopes: Vec<&'static str>,
    /// The patterns of the queues that it is for; empty where it is for all.
    #[schema(value_type = Vec<String>, example = json!(["thumbs*"]))]
    queues: &'a [QueueGlob],
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From when on it opens nothing any more, or null.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was used last, some minutes late at most; null where it never was.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl<'a> KeyDocument<'a> {
    /// The document of a key.
    pub(crate) fn of(key: &'a ApiKey) -> Self {
        Self {
            id: key.id,
            name: &key.name,
            namespace: &key.namespace,
            scopes: key.grants.scopes.iter().map(Scope::as_str).collect(),
            queues: &key.grants.queues,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedKey)]
pub(crate) struct CreatedKeyDocument<'a> {
    /// The key itself. It is shown here once and kept nowhere: who loses it makes another.
    #[schema(example = "rck_Zk3v9QxT_…")]
    key: String,
    #[serde(flatten)]
    document: KeyDocument<'a>,
}

impl<'a> CreatedKeyDocument<'a> {
    /// The document with the secret.
    pub(crate) fn of(key: &'a ApiKey, token: &Token) -> Self {
        Self {
            key: token.reveal(),
            document: KeyDocument::of(key),
        }
    }
}

/// The keys of a namespace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Keys)]
pub(crate) struct KeysDocument<'a> {
    /// The oldest first.
    pub(crate) keys: Vec<KeyDocument<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_field_by_field() {
        let asked = KeyAsked::read(
            br#"{"name":"ci","scopes":["submit","read"],"queues":["thumbs*"],"expires_in":"90d","namespace":"eu"}"#,
        )
        .unwrap();
        assert_eq!(asked.wish.grants.scopes.to_string(), "submit read");
        assert_eq!(asked.wish.grants.queues[0].as_str(), "thumbs*");
        assert_eq!(asked.wish.valid_for, Some(Duration::from_secs(90 * 86_400)));
        assert_eq!(asked.namespace, Some(Namespace::new("eu").unwrap()));
        let asked = KeyAsked::read(br#"{"name":"x","scopes":["admin"],"queues":null}"#).unwrap();
        assert!(asked.wish.grants.all_queues());
        assert_eq!((asked.wish.valid_for, asked.namespace), (None, None));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, at) in [
            (r#"{"scopes":["read"]}"#, "name"),
            (r#"{"name":"x"}"#, "scopes"),
            (r#"{"name":"x","scopes":[]}"#, "scopes"),
            (r#"{"name":"x","scopes":["root"]}"#, "scopes"),
            (r#"{"name":"","scopes":["read"]}"#, "name"),
            (r#"{"name":7,"scopes":["read"]}"#, "name"),
            (r#"{"name":"x","name":"y","scopes":["read"]}"#, "name"),
            (r#"{"name":"x","scopes":["read"],"queues":[]}"#, "queues"),
            (r#"{"name":"x","scopes":["read"],"queues":["a b"]}"#, "queues"),
            (
                r#"{"name":"x","scopes":["read"],"expires_in":"soon"}"#,
                "expires_in",
            ),
            (
                r#"{"name":"x","scopes":["read"],"expires_in":"0s"}"#,
                "expires_in",
            ),
            (r#"{"name":"x","scopes":["read"],"namespace":"a/b"}"#, "namespace"),
            (r#"{"name":"x","scopes":["read"],"secret":"mine"}"#, "secret"),
        ] {
            let problem = KeyAsked::read(json.as_bytes()).unwrap_err();
            assert!(
                problem.detail().contains(&format!("{at:?}")),
                "{json}: {}",
                problem.detail()
            );
        }
    }
}
