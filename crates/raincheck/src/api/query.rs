//! The query of a URL, where its values are plain words and numbers.
//!
//! Invariant: a parameter that does not exist, or comes twice, is refused and named.

use axum::extract::FromRequestParts;
use http::request::Parts;
use raincheck_core::name::QueueName;

use super::Api;
use super::problem::Problem;
use super::text;

/// The parameters in their order, as they were written.
pub(crate) fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.unwrap_or_default().split('&');
    pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// There is no such parameter.
pub(crate) fn unknown(name: &str) -> Problem {
    let name = text::short(name);
    Problem::bad_request(format!("the query parameter {name:?} does not exist here"))
}

/// Takes the value of a parameter.
///
/// # Errors
/// When it had one already.
pub(crate) fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), Problem> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Problem::bad_request(format!("?{name}= is given twice"))),
    }
}

/// `true` or `false`.
///
/// # Errors
/// When it is neither.
pub(crate) fn yes_or_no(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::bad_request(format!("?{name}= takes true or false"))),
    }
}

/// The one parameter `queue`, where it is given.
///
/// # Errors
/// When it cannot be, or there is another.
pub(crate) fn queue(parts: &Parts) -> Result<Option<QueueName>, Problem> {
    let mut queue = None;
    for (name, value) in pairs(parts.uri.query()) {
        if name != "queue" {
            return Err(unknown(name));
        }
        let read = QueueName::new(value).map_err(|why| Problem::bad_request(format!("?queue=: {why}")))?;
        once(&mut queue, name, read)?;
    }
    Ok(queue)
}

/// A request that has no query, on paths that take none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoQuery;

impl FromRequestParts<Api> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        no_query(parts).map(|()| Self)
    }
}

/// Refuses a query where none is taken.
///
/// # Errors
/// When there is one.
pub(crate) fn no_query(parts: &Parts) -> Result<(), Problem> {
    pairs(parts.uri.query())
        .find(|pair| *pair != ("", ""))
        .map_or(Ok(()), |(name, _)| Err(unknown(name)))
}
