//! What a span tells of a try of a webhook.
//!
//! Invariant: of a URL nothing is told that opens a door: no user, no password, no value of a query.

use std::borrow::Cow;

use http::Uri;
use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use raincheck_core::decide::TryEnd;
use raincheck_core::delivery::Delivery;
use raincheck_core::job::Job;

/// The attributes and the status of a try (semantic conventions for HTTP clients, 1.38.0).
pub(super) fn told(delivery: &Delivery, job: &Job, end: &TryEnd) -> (Vec<KeyValue>, Status) {
    let mut attributes = vec![
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("raincheck.job.id", job.id.to_string()),
    ];
    // Of the first there is none, say the conventions.
    let again = i64::from(delivery.sent()) - 1;
    if again > 0 {
        attributes.push(KeyValue::new("http.request.resend_count", again));
    }
    attributes.extend(delivery.url.parse::<Uri>().iter().flat_map(of_url));
    let (code, failed) = match end {
        TryEnd::Taken { status } => (Some(*status), false),
        TryEnd::Failed { status, .. } => (*status, true),
        TryEnd::Gone => (Some(410), true),
        TryEnd::Held { .. } => (None, false),
    };
    attributes.extend(code.map(|code| KeyValue::new("http.response.status_code", i64::from(code))));
    if !failed {
        return (attributes, Status::Unset);
    }
    let kind = code.map_or_else(|| "unreachable".to_owned(), |code| code.to_string());
    attributes.push(KeyValue::new("error.type", kind));
    (attributes, Status::error(""))
}

fn of_url(uri: &Uri) -> [KeyValue; 3] {
    let host = uri.host().unwrap_or_default();
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("https")) => 443,
        (None, _) => 80,
    };
    [
        KeyValue::new(
            "server.address",
            host.trim_matches(['[', ']'].as_slice()).to_owned(),
        ),
        KeyValue::new("server.port", i64::from(port)),
        KeyValue::new("url.full", harmless(uri)),
    ]
}

/// The URL without what may be a secret: the conventions say `REDACTED` for it.
fn harmless(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("REDACTED:REDACTED@{host}")),
        None => Cow::Borrowed(authority),
    };
    let field = |field: &str| match field.split_once('=') {
        Some((name, _)) => format!("{name}=REDACTED"),
        None => "REDACTED".to_owned(),
    };
    let query = uri
        .query()
        .map(|query| query.split('&').map(field).collect::<Vec<_>>().join("&"));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!(
        "{}://{host}{}{query}",
        uri.scheme_str().unwrap_or("http"),
        uri.path()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_without_its_secrets() {
        for (url, told) in [
            ("https://a.example/hook", "a.example 443 https://a.example/hook"),
            (
                "http://a.example:8000/?token=s3cret&s3cret&x=",
                "a.example 8000 http://a.example:8000/?token=REDACTED&REDACTED&x=REDACTED",
            ),
            (
                "https://me:s3cret@[::1]:9/x",
                "::1 9 https://REDACTED:REDACTED@[::1]:9/x",
            ),
        ] {
            let texts = of_url(&url.parse().unwrap()).map(|attribute| attribute.value.to_string());
            assert_eq!(texts.join(" "), told, "{url}");
        }
    }
}
