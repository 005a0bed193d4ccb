//! URLs as people write them, and as redirects do (RFC 3986).
//!
//! Invariant: what comes out is an absolute `http` or `https` URL in visible ASCII, without a fragment.

use http::Uri;

use crate::outward::target;

/// The longest URL.
const URL_BYTES_MAX: usize = 8 << 10;

/// A URL in one spelling: without its fragment, and what is no ASCII percent-encoded, as browsers do it.
///
/// # Errors
/// Why it cannot be asked.
pub(crate) fn normalised(text: &str) -> Result<(String, Uri), &'static str> {
    let text = text.trim();
    let text = text.split('#').next().unwrap_or_default();
    if text.len() > URL_BYTES_MAX {
        return Err("takes URLs of at most 8192 bytes");
    }
    let absolute = "takes absolute URLs such as https://example.org/page";
    let scheme_ends = text.find(':').ok_or(absolute)?;
    if !text[scheme_ends..].starts_with("://") {
        return Err(absolute);
    }
    let host_at = scheme_ends + 3;
    let path_at = text[host_at..]
        .find(['/', '?'])
        .map_or(text.len(), |at| host_at + at);
    let (base, rest) = text.split_at(path_at);
    if !base.is_ascii() {
        return Err("takes hosts in ASCII: write the name in Punycode (xn--…)");
    }
    // Room for the slash that may be missing.
    let mut url = String::with_capacity(text.len() + 1);
    url.push_str(base);
    url.make_ascii_lowercase();
    if !rest.starts_with('/') {
        url.push('/');
    }
    if rest.bytes().all(stands) {
        url.push_str(rest);
    } else {
        for byte in rest.bytes() {
            if stands(byte) {
                url.push(char::from(byte));
            } else {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    let uri = target(&url)?;
    Ok((url, uri))
}

/// Whether a byte of a path or a query stands for itself: what can be seen, but for `"<>\^` and `` `{|} ``.
const fn stands(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~')
}

/// Where a `Location` leads that was found at `base` (RFC 3986 section 5.2).
pub(crate) fn resolved(base: &Uri, location: &str) -> String {
    let location = location.trim();
    let location = location.split('#').next().unwrap_or_default();
    let scheme_ends = location.find([':', '/', '?']);
    if scheme_ends.is_some_and(|at| at > 0 && location[at..].starts_with(':')) {
        return location.to_owned();
    }
    let scheme = base.scheme_str().unwrap_or("http");
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let authority = base.authority().map_or("", http::uri::Authority::as_str);
    let (path, query) = match location.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (location, None),
    };
    let (path, query) = match path {
        "" => (base.path().to_owned(), query.or_else(|| base.query())),
        path if path.starts_with('/') => (dotless(path), query),
        path => {
            let folder = base.path().rfind('/').map_or("/", |at| &base.path()[..=at]);
            (dotless(&format!("{folder}{path}")), query)
        }
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}{path}{query}")
}

/// Without `.` and `..` (RFC 3986 section 5.2.4).
fn dotless(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut open = false;
    for part in path.split('/').skip(1) {
        open = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut path = String::from("/");
    path.push_str(&parts.join("/"));
    if open && !path.ends_with('/') {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling() {
        for (text, url) in [
            (" http://Example.org ", "http://example.org/"),
            ("HTTP://example.org/A b#part", "http://example.org/A%20b"),
            ("https://example.org?q=ü", "https://example.org/?q=%C3%BC"),
            (
                "https://en.wikipedia.org/wiki/Zürich",
                "https://en.wikipedia.org/wiki/Z%C3%BCrich",
            ),
            ("http://[::1]:80/%41|", "http://[::1]:80/%41%7C"),
        ] {
            assert_eq!(normalised(text).map(|(url, _)| url).as_deref(), Ok(url), "{text}");
        }
        for bad in [
            "",
            "example.org/x",
            "ftp://example.org/",
            "http://",
            "http:///x",
            "http://user:word@example.org/",
            "http://münchen.de/",
            "http://a b/",
            "http://localhost:99999/",
            "http://[::1]:65536/",
        ] {
            assert!(normalised(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_can_be_seen_stands_for_itself_but_for_what_browsers_encode() {
        for byte in 0..=u8::MAX {
            let seen = byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte);
            assert_eq!(stands(byte), seen, "{byte:#x}");
        }
    }

    #[test]
    fn a_location_is_resolved_as_the_rfc_says() {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        // RFC 3986 section 5.4, where the fragment is left out.
        for (location, url) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("https://b/x", "https://b/x"),
        ] {
            assert_eq!(resolved(&base, location), url, "{location:?}");
        }
    }
}
