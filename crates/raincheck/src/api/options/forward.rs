//! Which headers of a request its handler sees.
//!
//! Invariant: a handler never sees what belongs to the connection, to the host or to Raincheck itself, nor a credential
//! meant for Raincheck.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName};
use raincheck_core::content::Header;

use crate::api::problem::Problem;
use crate::api::text;
use crate::hop::of_the_way;

/// So many names a request may forward.
const NAMES_MAX: usize = 32;

/// Headers that describe the content, seen by every handler. The content type travels by itself.
const CONTENT: [HeaderName; 2] = [header::CONTENT_ENCODING, header::CONTENT_LANGUAGE];

/// Whether no handler may see the header.
fn kept_back(name: &HeaderName) -> bool {
    let own = [
        "authorization",
        "content-type",
        "idempotency-key",
        "prefer",
        "traceparent",
        "tracestate",
    ];
    let known = name.as_str();
    of_the_way(name)
        || own.contains(&known)
        || known.starts_with("raincheck-")
        || known.starts_with("webhook-")
}

/// Reads the names, separated by commas.
pub(super) fn names(text: &str) -> Result<Vec<HeaderName>, Cow<'static, str>> {
    let mut names = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Ok(name) = HeaderName::from_bytes(part.as_bytes()) else {
            return Err(format!("{:?} is not a header's name", text::short(part)).into());
        };
        if kept_back(&name) {
            return Err(format!("{name} cannot be forwarded").into());
        }
        if !names.contains(&name) && !CONTENT.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > NAMES_MAX {
        return Err(format!("takes at most {NAMES_MAX} names").into());
    }
    Ok(names)
}

/// The headers that describe a raw body, which every handler sees.
///
/// # Errors
/// See [`named`].
pub(crate) fn describing(headers: &HeaderMap) -> Result<Vec<Header>, Problem> {
    named(headers, &CONTENT)
}

/// The headers with these names that the request has.
///
/// # Errors
/// When one of them holds other than visible characters, for that could not be sent on faithfully.
pub(crate) fn named(headers: &HeaderMap, names: &[HeaderName]) -> Result<Vec<Header>, Problem> {
    let mut found = Vec::new();
    for name in names {
        for value in headers.get_all(name) {
            let Ok(text) = value.to_str() else {
                return Err(Problem::bad_request(format!(
                    "the header {name} holds more than visible ASCII"
                )));
            };
            found.push((name.as_str().to_owned(), text.to_owned()));
        }
    }
    Ok(found)
}
