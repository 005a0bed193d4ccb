//! Acting on many jobs: what a request asks, what it is answered, and the token between preview and deed.
//!
//! Invariant: a token is good for the very action and filter that it was given for; it holds no secret, for whoever may
//! act on jobs may act on these.

use std::borrow::Cow;
use std::collections::BTreeMap;

use raincheck_core::decide::BulkAction;
use raincheck_core::list::Filter;
use raincheck_core::time::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::job::JobDocument;
use super::page;
use super::submit::{fields, string};
use crate::api::problem::Problem;
use crate::api::text;

fn action_of(text: &str) -> Option<BulkAction> {
    match text {
        "cancel" => Some(BulkAction::Cancel),
        "retry" => Some(BulkAction::Retry),
        "delete" => Some(BulkAction::Delete),
        _ => None,
    }
}

/// An action on all jobs that a filter matches: without `confirm` a preview, with it the deed.
#[derive(ToSchema)]
#[schema(as = Bulk)]
#[expect(dead_code, reason = "describes what Bulk::read takes")]
pub(crate) struct BulkSchema {
    /// `cancel`: jobs that are not finished. `retry`: failed ones unless the filter names another final state, each
    /// once. `delete`: finished ones.
    #[schema(example = "retry")]
    action: String,
    /// Which jobs; what is left out does not matter.
    filter: BulkFilterSchema,
    /// From the preview of the same action and filter, or from the answer before.
    confirm: Option<String>,
}

/// Which jobs; the same as in a listing.
#[derive(ToSchema)]
#[schema(as = BulkFilter)]
#[expect(dead_code, reason = "describes what Bulk::read takes")]
pub(crate) struct BulkFilterSchema {
    /// Of this queue.
    #[schema(example = "thumbs")]
    queue: Option<String>,
    /// That stood so when the preview was made.
    #[schema(example = "failed")]
    state: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Of this group.
    group: Option<String>,
    /// Of this batch.
    batch: Option<String>,
    /// Accepted after this instant.
    submitted_after: Option<String>,
    /// Accepted before this instant.
    submitted_before: Option<String>,
}

/// What an action would be done to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkPreview)]
pub(crate) struct PreviewDocument<'a> {
    /// How many jobs match.
    #[schema(example = 1204)]
    pub(crate) count: u64,
    /// Whether `count` is all of them; else there are more, and counting them would take long.
    pub(crate) exact: bool,
    /// Some of them, the newest.
    pub(crate) sample: Vec<JobDocument<'a>>,
    /// Send this with the same action and filter to act on the jobs that match now. Null where none does.
    pub(crate) confirm: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkDone)]
pub(crate) struct DoneDocument {
    /// How many jobs were acted on, at most 10,000.
    #[schema(example = 1204)]
    pub(crate) acted: u64,
    /// How many were refused, by the code of the problem; they are not tried again.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// How many that matched the preview are left.
    #[schema(example = 0)]
    pub(crate) remaining: u64,
    /// Whether `remaining` is all of them; else there may be more.
    pub(crate) exact: bool,
    /// Send this next, with the same action and filter, for those that remain. Null where none does.
    pub(crate) confirm: Option<String>,
}

/// Without `confirm` a preview, with it what was done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BulkAnswer<'a> {
    /// What the action would be done to.
    Preview(PreviewDocument<'a>),
    /// What was done.
    Done(DoneDocument),
}

/// A request as it was read.
#[derive(Debug)]
pub(crate) struct Bulk {
    pub(crate) action: BulkAction,
    pub(crate) filter: Filter,
    pub(crate) confirm: Option<Confirm>,
}

impl Bulk {
    /// Reads a request.
    ///
    /// # Errors
    /// The first field that does not exist, comes twice, is missing or cannot be.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Problem> {
        let (mut action, mut filter, mut confirm) = (None, None, None);
        for (name, raw) in fields(body)? {
            let wrong = |why: Cow<'static, str>| wrong(&name, "", &why);
            let twice = match &*name {
                "action" => {
                    let text = string(raw).map_err(wrong)?;
                    let read = action_of(&text);
                    let read = read.ok_or_else(|| wrong("takes cancel, retry or delete".into()))?;
                    action.replace(read).is_some()
                }
                "filter" => filter.replace(read_filter(raw.get())?).is_some(),
                "confirm" if raw.get() == "null" => false,
                "confirm" => confirm.replace(string(raw).map_err(wrong)?).is_some(),
                other => {
                    let names = ["action", "filter", "confirm"];
                    return Err(wrong(
                        text::no_such("field", other, names, "/openapi.json lists them").into(),
                    ));
                }
            };
            if twice {
                return Err(wrong("given twice".into()));
            }
        }
        let missing = |name: &str| wrong(name, "", "is missing");
        let action = action.ok_or_else(|| missing("action"))?;
        let filter = filter.ok_or_else(|| missing("filter"))?;
        let known = |text: String| {
            let confirm = Confirm::of(&text).filter(|confirm| confirm.of == print(action, &filter));
            let why = "not the token of this action and filter; ask for a preview, and send what it gives";
            confirm.ok_or_else(|| wrong("confirm", "", why))
        };
        let confirm = confirm.map(known).transpose()?;
        Ok(Self {
            action,
            filter,
            confirm,
        })
    }
}

fn wrong(name: &str, below: &str, why: &str) -> Problem {
    let name = text::short(name);
    Problem::bad_request(format!("the field {name:?}: {why}")).at(format!("{below}/{name}"))
}

fn read_filter(json: &str) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    let mut seen = Vec::new();
    for (name, raw) in fields(json.as_bytes()).map_err(|_| wrong("filter", "", "takes an object"))? {
        let wrong = |why: Cow<'static, str>| wrong(&name, "/filter", &why);
        // Looked up before anything else: a filter that is misspelt must not match more than was meant.
        if page::take_filter(&mut Filter::default(), &name, "").is_none() {
            let why = "does not exist here; there are queue, state, tag, group, batch, submitted_after and \
                       submitted_before";
            return Err(wrong(why.into()));
        }
        if seen.contains(&name) {
            return Err(wrong("given twice".into()));
        }
        if raw.get() != "null" {
            let value = string(raw).map_err(wrong)?;
            if let Some(taken) = page::take_filter(&mut filter, &name, &value) {
                taken.map_err(wrong)?;
            }
        }
        seen.push(name);
    }
    Ok(filter)
}

/// Stands for an action and a filter, so that a token cannot be taken for another.
fn print(action: BulkAction, filter: &Filter) -> [u8; 16] {
    let digest = Sha256::digest(format!("{action:?} {filter:?}"));
    let mut print = [0; 16];
    print.copy_from_slice(&digest[..16]);
    print
}

/// What a preview fixes, and how far the deed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirm {
    /// When the preview was made.
    pub(crate) at: Timestamp,
    /// Only jobs below this cursor of the listing are left.
    pub(crate) below: u64,
    /// How many are left, where that is known.
    pub(crate) left: Option<u64>,
    /// Of which action and filter.
    of: [u8; 16],
}

const MARK: &[u8; 3] = b"rb1";

impl Confirm {
    /// A token for the preview of this action and filter.
    pub(crate) fn new(
        action: BulkAction,
        filter: &Filter,
        at: Timestamp,
        below: u64,
        left: Option<u64>,
    ) -> Self {
        Self {
            at,
            below,
            left,
            of: print(action, filter),
        }
    }

    /// As callers carry it.
    pub(crate) fn to_text(self) -> String {
        let mut bytes = [0; 43];
        bytes[..3].copy_from_slice(MARK);
        bytes[3..11].copy_from_slice(&self.at.as_millis().to_be_bytes());
        bytes[11..19].copy_from_slice(&self.below.to_be_bytes());
        bytes[19..27].copy_from_slice(&self.left.unwrap_or(u64::MAX).to_be_bytes());
        bytes[27..].copy_from_slice(&self.of);
        text::to_base64(&bytes)
    }

    fn of(text: &str) -> Option<Self> {
        let bytes = text::base64(text)?;
        let bytes: &[u8; 43] = bytes.as_slice().try_into().ok()?;
        let number = |from: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[from..from + 8]);
            u64::from_be_bytes(number)
        };
        let mut of = [0; 16];
        of.copy_from_slice(&bytes[27..]);
        // Places in the store are positive signed numbers.
        let below = i64::try_from(number(11)).ok()?.cast_unsigned();
        (bytes[..3] == *MARK).then(|| Self {
            at: Timestamp::from_millis(number(3).cast_signed()),
            below,
            left: Some(number(19)).filter(|left| *left < u64::MAX),
            of,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raincheck_core::job::State;

    fn refused(json: &str) -> String {
        Bulk::read(json.as_bytes()).unwrap_err().detail().to_owned()
    }

    #[test]
    fn a_token_comes_back_as_it_went_and_for_its_own_request_only() {
        let ask = |action: &str, state: &str, confirm: &str| {
            let json = format!(
                r#"{{"action":"{action}","filter":{{"queue":"q","state":"{state}"}},"confirm":{confirm}}}"#
            );
            Bulk::read(json.as_bytes())
        };
        let preview = ask("retry", "failed", "null").unwrap();
        assert_eq!(preview.filter.state, Some(State::Failed));
        for left in [None, Some(0), Some(7)] {
            let at = Timestamp::from_millis(1_767_225_600_123);
            let confirm = Confirm::new(preview.action, &preview.filter, at, 1 << 59, left);
            let text = format!("{:?}", confirm.to_text());
            assert_eq!(ask("retry", "failed", &text).unwrap().confirm, Some(confirm));
            assert!(ask("delete", "failed", &text).is_err());
            assert!(ask("retry", "cancelled", &text).is_err());
        }
        assert!(ask("retry", "failed", "\"AAAA\"").is_err());
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, detail) in [
            ("[]", "a list is not taken here; send one JSON object per request"),
            (r#"{"filter":{}}"#, "the field \"action\": is missing"),
            (r#"{"action":"cancel"}"#, "the field \"filter\": is missing"),
            (
                r#"{"action":"stop","filter":{}}"#,
                "the field \"action\": takes cancel, retry or delete",
            ),
            (
                r#"{"action":"cancel","filter":"q"}"#,
                "the field \"filter\": takes an object",
            ),
            (
                r#"{"action":"cancel","filter":{"limit":"5"}}"#,
                "the field \"limit\": does not exist here; there are queue, state, tag, group, batch, submitted_after and \
                 submitted_before",
            ),
            (
                r#"{"action":"cancel","filter":{"queu":null}}"#,
                "the field \"queu\": does not exist here; there are queue, state, tag, group, batch, submitted_after and \
                 submitted_before",
            ),
            (
                r#"{"action":"cancel","filter":{"queue":7}}"#,
                "the field \"queue\": takes a string",
            ),
            (
                r#"{"action":"cancel","filter":{"tag":"a","tag":"a"}}"#,
                "the field \"tag\": given twice",
            ),
            (
                r#"{"action":"cancel","filter":{"state":"done"}}"#,
                "the field \"state\": takes one of scheduled, queued, running, succeeded, failed, cancelled and expired",
            ),
            (
                r#"{"action":"cancel","filter":{},"yes":true}"#,
                "the field \"yes\": there is no such field; /openapi.json lists them",
            ),
        ] {
            assert_eq!(refused(json), detail, "{json}");
        }
    }
}
