//! Pages for people: Markdown for programs, HTML for browsers.
//!
//! Invariant: both are the same text; the HTML runs no script and loads nothing.

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::links::Links;

/// Whether the caller would rather have HTML: browsers say so, programs do not.
fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept.split(',').any(|range| {
        range
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim() == "text/html")
    })
}

/// A page: as it is written, or as HTML.
pub(super) fn page(links: Links<'_>, headers: &HeaderMap, title: &str, markdown: &'static str) -> Response {
    let markdown = below(links, markdown);
    const SECURITY: [(HeaderName, &str); 3] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "accept"),
    ];
    let (kind, body) = if wants_html(headers) {
        ("text/html; charset=utf-8", Body::from(html(title, &markdown)))
    } else {
        ("text/markdown; charset=utf-8", Body::from(markdown))
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The page with its links leading where the API stands.
fn below(links: Links<'_>, markdown: &'static str) -> Cow<'static, str> {
    match links.base() {
        "" => Cow::Borrowed(markdown),
        base => Cow::Owned(markdown.replace("](/", &format!("]({base}/"))),
    }
}

const STYLE: &str = ":root{color-scheme:light dark}\
                     body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em}\
                     h1,h2,h3{line-height:1.2;overflow-wrap:anywhere}\
                     h2{margin-top:2.5em;padding-bottom:.3em;border-bottom:2px solid #8886}\
                     h3{margin-top:2em;padding-top:1.2em;border-top:1px solid #8884;font-family:ui-monospace,monospace}\
                     code,pre{font:.88em/1.5 ui-monospace,monospace;background:#8882;border-radius:.3em}\
                     code{padding:.1em .3em;overflow-wrap:anywhere}pre{padding:.8em 1em;overflow:auto}\
                     ul{padding-left:1.3em}li{margin:.2em 0}a{color:light-dark(#0b5cad,#7cb8f7)}";

/// Our own pages as HTML: headings, paragraphs, lists, fenced code, code and links in a line; nothing else is used.
fn html(title: &str, markdown: &str) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{}</title><style>{STYLE}</style>\n",
        escape(title)
    );
    let (mut open, mut code) = ("", false);
    for line in markdown.lines() {
        if line.starts_with("```") {
            out.push_str(close(&mut open));
            out.push_str(if code { "</pre>\n" } else { "<pre>" });
            code = !code;
        } else if code {
            let _ = writeln!(out, "{}", escape(line));
        } else if line.is_empty() {
            out.push_str(close(&mut open));
        } else if let Some((level, text)) = heading(line) {
            out.push_str(close(&mut open));
            let _ = match level {
                1 => writeln!(out, "<h1>{}</h1>", inline(text)),
                _ => writeln!(out, "<h{level} id=\"{}\">{}</h{level}>", slug(text), inline(text)),
            };
        } else if let Some(item) = line.strip_prefix("- ") {
            if open != "</li></ul>\n" {
                out.push_str(close(&mut open));
                out.push_str("<ul>");
            } else {
                out.push_str("</li>");
            }
            let _ = write!(out, "<li>{}", inline(item));
            open = "</li></ul>\n";
        } else {
            if open.is_empty() {
                out.push_str("<p>");
                open = "</p>\n";
            }
            let _ = writeln!(out, "{}", inline(line.trim_start()));
        }
    }
    out.push_str(close(&mut open));
    out
}

fn close(open: &mut &'static str) -> &'static str {
    std::mem::take(open)
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|b| *b == b'#').count();
    let text = line[level..].strip_prefix(' ')?;
    (1..=3).contains(&level).then_some((level, text))
}

/// What a heading is linked to by: its letters and digits, small, and a `-` for whatever is between them.
pub(super) fn slug(heading: &str) -> String {
    let words = heading.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_ascii_lowercase()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Code between back-quotes, and links.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escape(part));
            continue;
        }
        let mut rest = part;
        while let Some((before, link)) = rest.split_once('[') {
            let Some((label, after)) = link.split_once("](") else {
                break;
            };
            let Some((url, after)) = after.split_once(')') else {
                break;
            };
            let _ = write!(
                out,
                "{}<a href=\"{}\">{}</a>",
                escape(before),
                escape(url),
                escape(label)
            );
            rest = after;
        }
        out.push_str(&escape(rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::code::Code;

    #[test]
    fn a_page_becomes_html() {
        let markdown = "# a-b\n\n503 · A <b>\n\nOne `x < y`\ntwo, see [c](/problems/c).\n\n- i\n- j\n\n## See it\n\n```sh\ncurl <x>\n```\n";
        let html = html("a-b", markdown);
        let body = html.split_once("</style>\n").unwrap().1;
        assert_eq!(
            body,
            "<h1>a-b</h1>\n<p>503 · A &lt;b&gt;\n</p>\n<p>One <code>x &lt; y</code>\ntwo, see <a \
             href=\"/problems/c\">c</a>.\n</p>\n<ul><li>i</li><li>j</li></ul>\n<h2 id=\"see-it\">See it</h2>\n<pre>curl \
             &lt;x&gt;\n</pre>\n"
        );
    }

    #[test]
    fn every_page_is_well_formed_as_html() {
        for code in Code::ALL {
            let html = html(code.as_str(), code.page());
            for tag in ["ul", "li", "pre", "code", "h1", "h2"] {
                let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
                assert_eq!(
                    html.matches(&open).count(),
                    html.matches(&close).count(),
                    "{} {tag}",
                    code.as_str()
                );
            }
        }
    }
}
