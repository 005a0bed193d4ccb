//! URLs as people write them, and as redirects do (RFC 3986).
//!
//! Invariant: what comes out is an absolute `http` or `https` URL in visible ASCII, without a fragment. An origin is known again only where it is
//! the same to the letter, scheme to port, which is all that what is known of it depends on.

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use raincheck_core::name::GroupName;

use crate::outward::hosts::host_and_port;
use crate::outward::target;

/// The longest URL.
const URL_BYTES_MAX: usize = 8 << 10;

/// A URL in one spelling: without its fragment, and what is no ASCII percent-encoded, as browsers do it.
///
/// # Errors
/// Why it cannot be asked.
pub(crate) fn normalised(text: &str) -> Result<(String, Uri), &'static str> {
    let (url, _) = written(text)?;
    let uri = target(&url)?;
    Ok((url, uri))
}

/// The origin that was asked for last, of which many URLs of a list are: what was found of it is not looked for again. Where it leads is looked
/// at anew for each connection (`outward`).
#[derive(Clone, Debug, Default)]
pub struct Origin(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    /// In its one spelling, as URLs begin.
    text: String,
    scheme: Scheme,
    authority: Authority,
    host: GroupName,
}

impl Origin {
    /// What [`normalised`] makes of it, and its host and port.
    pub(super) fn normalised(&mut self, text: &str) -> Result<(String, Uri, GroupName), String> {
        let cannot = |why: &str| format!("fetch {why}");
        let (url, path_at) = written(text).map_err(cannot)?;
        let (text, path) = url.split_at(path_at);
        if let Some(known) = self.0.as_ref().filter(|known| known.text == text)
            && let Ok(path) = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes()))
        {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(known.scheme.clone());
            parts.authority = Some(known.authority.clone());
            parts.path_and_query = Some(path);
            if let Ok(uri) = Uri::from_parts(parts) {
                return Ok((url, uri, known.host.clone()));
            }
        }
        let uri = target(&url).map_err(cannot)?;
        let host =
            GroupName::new(&host_and_port(&uri)).map_err(|_| cannot("takes shorter names of hosts"))?;
        self.0 = uri
            .scheme()
            .zip(uri.authority())
            .map(|(scheme, authority)| Known {
                text: text.to_owned(),
                scheme: scheme.clone(),
                authority: authority.clone(),
                host: host.clone(),
            });
        Ok((url, uri, host))
    }
}

/// A URL in one spelling, and where its path begins; whether there can be such an origin is not looked at.
fn written(text: &str) -> Result<(String, usize), &'static str> {
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
    let mut bytes = text.as_bytes()[host_at..].iter();
    let path_at = bytes
        .position(|byte| matches!(byte, b'/' | b'?'))
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
    Ok((url, path_at))
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
    fn a_known_origin_changes_nothing_of_what_is_found() {
        let mut origin = Origin::default();
        let seen: String = (0..=u8::MAX)
            .filter(|byte| stands(*byte))
            .map(char::from)
            .collect();
        for text in [
            "http://a/x",
            "http://a/y?z",
            "HTTP://A/y b#c",
            "http://a",
            "http://a?q=http://b/",
            &format!("http://a/{seen}"),
            &format!("http://a?{seen}"),
            "https://a/x",
            "http://a/x",
            "http://a:80/x",
            "http://a:8080/x",
            "http://a:8080/",
            "http://a:80800/x",
            "http://a:8080@b/x",
            "http://a.b/x",
            "http://b/x",
            "http://c/x",
            "http://b./x",
            "http://[::1]:7/x",
            "http://[::1]:7/y",
            "http:///x",
            "http://",
            "http://[::1]:7",
        ] {
            let found = origin.normalised(text);
            assert_eq!(found, Origin::default().normalised(text), "{text}");
            let plain = normalised(text).ok();
            let host = plain.as_ref().map(|(_, uri)| host_and_port(uri));
            let found = found.ok();
            assert_eq!(found.as_ref().map(|(.., host)| host.to_string()), host, "{text}");
            assert_eq!(found.map(|(url, uri, _)| (url, uri)), plain, "{text}");
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
