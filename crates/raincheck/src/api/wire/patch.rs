//! The JSON form of a change to a job.
//!
//! Invariant: what can be changed takes the same values as the option of the same name; anything else is refused and
//! pointed at.

use std::borrow::Cow;

use raincheck_core::decide::Patch;
use utoipa::ToSchema;

use super::submit::{fields, option_text};
use crate::api::options::{Asked, TABLE, row_of_field};
use crate::api::problem::Problem;
use crate::api::text;

/// What can be changed of a job that has not started; what is left out stays.
const CHANGEABLE: [&str; 3] = ["priority", "run_at", "tags"];

/// What is to change; what is left out stays.
#[derive(ToSchema)]
#[schema(as = Patch)]
#[expect(dead_code, reason = "describes what read takes")]
pub(crate) struct PatchSchema {
    /// 0 (first) to 9 (last).
    #[schema(minimum = 0, maximum = 9, example = 2)]
    priority: Option<u8>,
    /// Start no earlier than this instant: RFC 3339, or `@` and seconds since 1970. An instant that is past means now.
    #[schema(example = "2026-11-21T06:00:00Z")]
    run_at: Option<String>,
    /// All labels from now on, at most 16; an empty list removes them.
    #[schema(example = json!(["eu", "nightly"]))]
    tags: Option<Vec<String>>,
}

/// Reads a change.
///
/// # Errors
/// The first field that cannot be changed, comes twice or cannot be.
pub(crate) fn read(body: &[u8]) -> Result<Patch, Problem> {
    let mut asked = Asked::default();
    let mut patch = Patch::default();
    for (name, raw) in fields(body)? {
        let wrong = |why: Cow<'static, str>| {
            let name = text::short(&name);
            Problem::bad_request(format!("the field {name:?}: {why}")).at(format!("/{name}"))
        };
        let row = row_of_field(&name).filter(|_| CHANGEABLE.contains(&&*name));
        let row = row.ok_or_else(|| wrong("cannot be changed; priority, run_at and tags can".into()))?;
        option_text(TABLE[row].kind, raw)
            .and_then(|text| asked.take(row, text))
            .map_err(wrong)?;
        match &*name {
            "priority" => patch.priority = Some(asked.priority),
            "run_at" => patch.run_at = asked.run_at,
            _ => patch.tags = Some(std::mem::take(&mut asked.options.tags)),
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck_core::name::Tag;

    #[test]
    fn what_is_left_out_stays() {
        assert_eq!(read(b"{}").unwrap(), Patch::default());
        let patch = read(br#"{"run_at":"@7","tags":[],"priority":0}"#).unwrap();
        assert_eq!(patch.run_at.map(|at| at.as_millis()), Some(7000));
        assert_eq!((patch.tags, patch.priority), (Some(Vec::new()), Some(0)));
        let patch = read(br#"{"tags":["a","b","a"]}"#).unwrap();
        let names = ["a", "b"].map(|tag| Tag::new(tag).unwrap());
        assert_eq!((patch.tags, patch.priority), (Some(names.to_vec()), None));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, detail) in [
            ("[]", "a list is not taken here; send one JSON object per request"),
            ("", "the body is not a JSON object"),
            (
                r#"{"queue":"q"}"#,
                "the field \"queue\": cannot be changed; priority, run_at and tags can",
            ),
            (
                r#"{"delay":"1s"}"#,
                "the field \"delay\": cannot be changed; priority, run_at and tags can",
            ),
            (r#"{"run_at":null}"#, "the field \"run_at\": takes a string"),
            (
                r#"{"priority":null}"#,
                "the field \"priority\": takes a whole number, 0 to 9",
            ),
            (r#"{"tags":null}"#, "the field \"tags\": takes a list of strings"),
            (r#"{"tags":[],"tags":[]}"#, "the field \"tags\": given twice"),
            (
                r#"{"priority":10}"#,
                "the field \"priority\": takes a whole number, 0 to 9",
            ),
        ] {
            assert_eq!(read(json.as_bytes()).unwrap_err().detail(), detail, "{json}");
        }
    }
}
