//! The name of the file that a body is in, where bodies are in files.
//!
//! Invariant: the same URL has the same name in every run, so that an answer which still holds is not written again.

use super::since::digest;

/// What a type's files are called.
const EXTENSIONS: [(&str, &str); 14] = [
    ("application/javascript", "js"),
    ("application/json", "json"),
    ("application/pdf", "pdf"),
    ("application/xml", "xml"),
    ("application/zip", "zip"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/webp", "webp"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/plain", "txt"),
];

/// The name for the body of a URL.
pub(crate) fn file_name(url: &str, content_type: Option<&str>) -> String {
    let essence = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let known = EXTENSIONS.iter().find(|(kind, _)| *kind == essence);
    let mut name: String = digest(url).iter().map(|byte| format!("{byte:02x}")).collect();
    name.push('.');
    name.push_str(known.map_or("bin", |(_, extension)| extension));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_type_and_belongs_to_one_url() {
        let name = file_name("http://a/", Some("text/HTML; charset=utf-8"));
        assert!(name.ends_with(".html") && name.len() == 37, "{name}");
        assert_eq!(name, file_name("http://a/", Some("text/html")));
        assert_ne!(name, file_name("http://b/", Some("text/html")));
        assert!(file_name("http://a/", None).ends_with(".bin"));
    }
}
