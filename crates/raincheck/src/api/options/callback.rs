//! `Raincheck-Callback: "https://…";events="succeeded failed"`.

use std::borrow::Cow;

use raincheck_core::delivery::Callback;
use raincheck_core::job::Outcome;

use crate::api::problem::Problem;
use crate::outward::target;
use crate::outward::target::{Targets, check_callback};

/// Reads the option as its header has it.
///
/// # Errors
/// Why it cannot be.
pub(crate) fn read(text: &str) -> Result<Callback, Cow<'static, str>> {
    let form = "takes a URL in quotes, and events: \"https://…\";events=\"succeeded failed\"";
    let rest = text.trim().strip_prefix('"').ok_or(form)?;
    let (url, rest) = rest.split_once('"').ok_or(form)?;
    let mut callback = Callback::to(url);
    if let Some(rest) = rest.trim().strip_prefix(';') {
        let words = rest.trim().strip_prefix("events=").ok_or(form)?;
        let words = words
            .strip_prefix('"')
            .and_then(|words| words.strip_suffix('"'))
            .ok_or(form)?;
        callback.events = words
            .split_ascii_whitespace()
            .map(event)
            .collect::<Result<_, _>>()?;
    } else if !rest.trim().is_empty() {
        return Err(form.into());
    }
    check(&callback)?;
    Ok(callback)
}

fn event(word: &str) -> Result<Outcome, &'static str> {
    match word {
        "succeeded" => Ok(Outcome::Succeeded),
        "failed" => Ok(Outcome::Failed),
        "cancelled" => Ok(Outcome::Cancelled),
        "expired" => Ok(Outcome::Expired),
        _ => Err("events are succeeded, failed, cancelled and expired"),
    }
}

/// Refuses a callback that this server would never send; the header or the field `name` says it.
///
/// # Errors
/// 400, before anything is stored.
pub(crate) fn judge(targets: &Targets, callback: Option<&Callback>, name: &str) -> Result<(), Problem> {
    let Some(callback) = callback else { return Ok(()) };
    check_callback(targets, &callback.url).map_err(|why| {
        let problem = Problem::bad_request(format!("{name}: {why}"));
        match name {
            FIELD => problem.at("/callback"),
            _ => problem,
        }
    })
}

/// What a document calls it.
pub(crate) const FIELD: &str = "callback";
/// What a head calls it.
pub(crate) const HEADER: &str = "Raincheck-Callback";

/// Checks what the types alone cannot.
///
/// # Errors
/// What it must be.
fn check(callback: &Callback) -> Result<(), &'static str> {
    target(&callback.url)?;
    if callback.url.len() > 2_000 || callback.url.contains(['"', '\\']) {
        return Err("takes URLs of at most 2,000 characters without quotes");
    }
    if callback.events.is_empty() {
        return Err("events names one at least: succeeded, failed, cancelled, expired");
    }
    Ok(())
}

/// The option as its header has it.
pub(crate) fn written(callback: &Callback) -> String {
    let events: Vec<_> = callback.events.iter().map(|event| event.as_str()).collect();
    format!("\"{}\";events=\"{}\"", callback.url, events.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_a_url_and_events() {
        use Outcome::{Cancelled, Expired, Failed, Succeeded};
        for (text, url, events) in [
            (
                "\"https://a/b\"",
                "https://a/b",
                &[Succeeded, Failed, Cancelled, Expired][..],
            ),
            ("\"http://a:1/\";events=\"failed\"", "http://a:1/", &[Failed]),
            (
                " \"https://a/?x=;y\" ; events=\"succeeded  expired\" ",
                "https://a/?x=;y",
                &[Succeeded, Expired],
            ),
        ] {
            let callback = read(text).unwrap();
            assert_eq!((&*callback.url, &*callback.events), (url, events), "{text}");
            assert_eq!(read(&written(&callback)).unwrap(), callback);
        }
        for text in [
            "",
            "https://a/",
            "\"https://a/",
            "\"ftp://a/\"",
            "\"/path\"",
            "\"https://u:p@a/\"",
            "\"https://a/\";events=\"\"",
            "\"https://a/\";events=\"done\"",
            "\"https://a/\";events=failed",
            "\"https://a/\";x=1",
            "\"https://a/\" x",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
