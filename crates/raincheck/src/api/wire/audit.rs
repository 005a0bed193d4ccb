//! The log of administrative acts: what a query asks for, and the page that answers it.
//!
//! Invariant: a parameter that does not exist, comes twice or cannot be is refused and named.

use raincheck_core::audit::{ActFilter, ActPage, Recorded};
use raincheck_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Cursor, LIMIT_DEFAULT, instant, limit};
use crate::api::problem::Problem;
use crate::api::query::pairs;
use crate::api::text;

/// One page of the log, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActPage)]
pub(crate) struct ActsDocument<'a> {
    /// The acts. There may be fewer than asked for, even none, although more follow.
    pub(crate) acts: Vec<ActDocument<'a>>,
    /// Ask with `cursor=` this for the next page; null where nothing follows.
    #[schema(value_type = Option<String>, example = "c000000000000002a")]
    pub(crate) cursor: Option<Cursor>,
}

/// An act of administration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Act)]
pub(crate) struct ActDocument<'a> {
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who: the id of a key, or `local` where none was needed.
    #[schema(example = "Zk3v9QxT")]
    key: String,
    /// From where, or null where it was done on the server's machine without a request.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    /// In which namespace.
    namespace: &'a str,
    /// What: the name of an operation of this document.
    #[schema(example = "putQueue")]
    action: &'a str,
    /// On what: a path of the API.
    #[schema(example = "/v1/queues/thumbs")]
    target: &'a str,
    /// `done` or `refused`.
    outcome: &'static str,
    /// The code that says why it was refused, or null.
    #[schema(example = "forbidden")]
    code: Option<&'a str>,
    /// The `X-Request-Id` of its request, or null where there was none.
    request_id: Option<&'a str>,
}

impl<'a> ActDocument<'a> {
    /// The document of an act.
    pub(crate) fn of(recorded: &'a Recorded) -> Self {
        let act = &recorded.act;
        Self {
            at: recorded.at,
            key: act.actor.to_string(),
            address: act.address.map(|address| address.to_string()),
            namespace: act.namespace.as_str(),
            action: &act.action,
            target: &act.target,
            outcome: if recorded.refused.is_some() {
                "refused"
            } else {
                "done"
            },
            code: recorded.refused.as_deref(),
            request_id: Some(act.request_id.as_str()).filter(|id| !id.is_empty()),
        }
    }
}

/// The page that a query asks for.
///
/// # Errors
/// The first parameter that does not exist, comes twice or cannot be.
pub(crate) fn page(query: Option<&str>) -> Result<ActPage, Problem> {
    let mut seen: Vec<&str> = Vec::new();
    let mut page = ActPage {
        filter: ActFilter::default(),
        cursor: None,
        limit: LIMIT_DEFAULT,
    };
    for (name, value) in pairs(query) {
        let wrong = |why: &str| Problem::bad_request(format!("?{}= {why}", text::short(name)));
        if seen.contains(&name) {
            return Err(wrong("is given twice"));
        }
        seen.push(name);
        let value = text::form_decoded(value).ok_or_else(|| wrong("is not percent-encoded UTF-8"))?;
        match name {
            "key" => {
                let actor = value
                    .parse()
                    .map_err(|_| wrong("takes the id of a key, or local"))?;
                page.filter.actor = Some(actor);
            }
            "action" => page.filter.action = Some(value.into_owned()),
            "since" => page.filter.since = Some(instant(&value).map_err(|why| wrong(&why.to_string()))?),
            "limit" => page.limit = limit(&value).map_err(|why| wrong(&why))?,
            "cursor" => {
                let cursor = Cursor::read(&value);
                let cursor =
                    cursor.ok_or_else(|| wrong("takes the cursor of the page before, as it was given"))?;
                page.cursor = Some(cursor.0);
            }
            _ => {
                return Err(wrong(
                    "does not exist here; there are key, action, since, limit and cursor",
                ));
            }
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_acts_and_a_slip_is_named() {
        let read = page(Some(
            "key=local&action=putQueue&since=%401700000000&limit=7&cursor=c000000000000002a",
        ))
        .unwrap();
        assert_eq!((read.limit, read.cursor), (7, Some(42)));
        assert_eq!(read.filter.since, Some(Timestamp::from_millis(1_700_000_000_000)));
        for (query, part) in [
            ("key=somebody-else", "takes the id of a key, or local"),
            ("since=soon", "?since="),
            ("limit=0", "?limit="),
            ("cursor=7", "takes the cursor"),
            ("queue=q", "does not exist here"),
            ("key=local&key=local", "is given twice"),
        ] {
            let refused = page(Some(query)).unwrap_err();
            assert!(refused.detail().contains(part), "{query}: {}", refused.detail());
        }
    }
}
