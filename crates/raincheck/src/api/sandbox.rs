//! Sending bytes that somebody else made, so that they cannot act on this server's origin.
//!
//! Invariant: whatever a browser makes of stored bytes, it is no document, script or frame of this origin.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use raincheck_core::content::Header;

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Headers of a stored answer that never leave, whoever stored them: they would speak for this server.
const NEVER: [&str; 20] = [
    "alt-svc",
    "cache-control",
    "clear-site-data",
    "connection",
    "content-length",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "etag",
    "permissions-policy",
    "proxy-authenticate",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];

fn never(name: &str) -> bool {
    NEVER.contains(&name) || name.starts_with("access-control-") || name.starts_with("raincheck-")
}

/// The media type without parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Whether a browser may show the type in place: it only looks or sounds, and cannot act.
fn inert(essence: &str) -> bool {
    let (kind, name) = essence.split_once('/').unwrap_or((essence, ""));
    match kind {
        "audio" | "video" => true,
        "image" => !name.contains("svg") && !name.contains("xml"),
        "text" => matches!(name, "plain" | "csv" | "markdown"),
        "application" => name == "json" || name == "x-ndjson" || name.ends_with("+json"),
        _ => false,
    }
}

/// Whether a browser would run it (WHATWG MIME Sniffing, JavaScript MIME types).
fn script(essence: &str) -> bool {
    let Some((kind, name)) = essence.split_once('/') else {
        return false;
    };
    let name = name.strip_prefix("x-").unwrap_or(name);
    matches!(kind, "text" | "application")
        && (matches!(name, "ecmascript" | "jscript" | "livescript" | "typescript")
            || name.starts_with("javascript"))
}

/// The content type to send for one that was stored.
fn shown_type(stored: &str) -> HeaderValue {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    if script(&essence(stored)) {
        return TEXT;
    }
    HeaderValue::try_from(stored).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Puts what describes stored bytes on an answer, and what keeps them harmless.
pub(crate) fn describe(answer: &mut HeaderMap, content_type: Option<&str>, kept: &[Header]) {
    for (name, text) in kept.iter().filter(|(name, _)| !never(name)) {
        if let (Ok(name), Ok(text)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) {
            answer.append(name, text);
        }
    }
    if let Some(stored) = content_type {
        answer.insert(header::CONTENT_TYPE, shown_type(stored));
    }
    answer.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    answer.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer.insert(CORP, HeaderValue::from_static("same-origin"));
    let shown = content_type.is_some_and(|stored| inert(&essence(stored)) || script(&essence(stored)));
    let attached = answer.get(header::CONTENT_DISPOSITION).is_some_and(|value| {
        value
            .as_bytes()
            .get(..10)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"attachment"))
    });
    if !shown && !attached {
        answer.insert(
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(content_type: Option<&str>, kept: &[(&str, &str)]) -> HeaderMap {
        let kept: Vec<Header> = kept
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let mut answer = HeaderMap::new();
        describe(&mut answer, content_type, &kept);
        answer
    }

    #[test]
    fn only_what_cannot_act_is_shown_in_place() {
        for (kind, attached) in [
            ("image/png", false),
            ("IMAGE/PNG; x=y", false),
            ("text/plain", false),
            ("application/problem+json", false),
            ("video/mp4", false),
            ("text/html", true),
            ("image/svg+xml", true),
            ("application/pdf", true),
            ("application/xhtml+xml", true),
            ("text/xml", true),
            ("nonsense", true),
        ] {
            let answer = described(Some(kind), &[]);
            assert_eq!(answer.contains_key("content-disposition"), attached, "{kind}");
            assert_eq!(answer["content-type"], kind);
        }
        assert_eq!(described(None, &[])["content-disposition"], "attachment");
    }

    #[test]
    fn a_script_is_served_as_text() {
        for kind in [
            "text/javascript",
            "application/x-javascript; charset=utf-8",
            "Text/ECMAScript",
            "text/javascript1.5",
        ] {
            let answer = described(Some(kind), &[]);
            assert_eq!(answer["content-type"], "text/plain; charset=utf-8", "{kind}");
            assert!(!answer.contains_key("content-disposition"));
        }
    }

    #[test]
    fn a_stored_header_cannot_speak_for_the_server() {
        let kept = [
            ("set-cookie", "a=b"),
            ("access-control-allow-origin", "*"),
            ("content-security-policy", "default-src *"),
            ("content-disposition", "inline; filename=a.html"),
            ("x-kept", "yes"),
        ];
        let answer = described(Some("text/html"), &kept);
        assert_eq!(answer["content-security-policy"], "default-src 'none'; sandbox");
        assert_eq!(answer["content-disposition"], "attachment");
        assert_eq!(answer["x-kept"], "yes");
        assert!(!answer.contains_key("set-cookie") && !answer.contains_key("access-control-allow-origin"));
        let named = described(
            Some("text/html"),
            &[("content-disposition", "attachment; filename=a.html")],
        );
        assert_eq!(named["content-disposition"], "attachment; filename=a.html");
    }
}
