//! What one fetch is to bring: a URL, or an object with more to say. The input of a job that is fetched.
//!
//! Invariant: what [`Wanted::checked`] lets through can be asked: nothing of it steers the connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri};
use raincheck_core::content::Input;
use raincheck_core::decide::{FetchMethod, REDIRECTS_MAX};
use raincheck_core::id::JobId;
use raincheck_core::name::GroupName;
use raincheck_core::size::ByteSize;
use serde::{Deserialize, Serialize};

use super::url::Origin;
use crate::hop::of_the_way;
use crate::near::told;

/// So many headers may be sent with a fetch.
const HEADERS_MAX: usize = 32;

/// What one fetch is to bring. `{"url":"https://example.org/"}` is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Where it is.
    pub url: String,
    /// `GET` unless said.
    #[serde(default, skip_serializing_if = "is_get")]
    pub method: FetchMethod,
    /// Further headers to send, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How many redirects are followed, at most 20: 10 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<u32>,
    /// The largest body: the queue's `result_max` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<ByteSize>,
    /// An earlier fetch of the same URL: its answer is kept where it still holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<JobId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_get(method: &FetchMethod) -> bool {
    *method == FetchMethod::Get
}

/// Something wanted that can be asked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What, its URL in one spelling.
    pub wanted: Wanted,
    /// Its host and port, which is its job's group.
    pub host: GroupName,
    pub(crate) uri: Uri,
}

/// Whether a line of a list says nothing: it is blank, or a comment that begins with `#`.
#[must_use]
pub fn blank(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"#")
}

impl Wanted {
    /// Reads a line of a list, or a job's input: a URL, a URL as JSON, or an object.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let text = text.trim_ascii();
        match text.first() {
            Some(b'{') => serde_json::from_slice(text).map_err(told),
            Some(b'"') => {
                let url = serde_json::from_slice(text).map_err(told)?;
                Ok(Self {
                    url,
                    ..Self::default()
                })
            }
            Some(_) | None => {
                let url = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
                Ok(Self {
                    url: url.to_owned(),
                    ..Self::default()
                })
            }
        }
    }

    /// Checks it and writes its URL in one spelling.
    ///
    /// # Errors
    /// What cannot be.
    pub fn checked(self) -> Result<Checked, String> {
        self.checked_of(&mut Origin::default())
    }

    /// The same, where it may be of an origin that was asked for before.
    ///
    /// # Errors
    /// As above.
    pub fn checked_of(mut self, origin: &mut Origin) -> Result<Checked, String> {
        let (url, uri, host) = origin.normalised(&self.url)?;
        self.url = url;
        if self.headers.len() > HEADERS_MAX {
            return Err(format!("headers: at most {HEADERS_MAX}"));
        }
        for (name, value) in &self.headers {
            let known =
                HeaderName::try_from(name.as_str()).map_err(|_| format!("headers: {name:?} is no name"))?;
            if of_the_way(&known) {
                return Err(format!("headers: {known} belongs to the connection"));
            }
            HeaderValue::try_from(value.as_str())
                .map_err(|_| format!("headers: the value of {known} cannot be sent"))?;
        }
        if self.follow.is_some_and(|follow| follow > REDIRECTS_MAX) {
            return Err(format!("follow: at most {REDIRECTS_MAX}"));
        }
        Ok(Checked {
            wanted: self,
            host,
            uri,
        })
    }
}

impl Checked {
    /// The input of its job.
    #[must_use]
    pub fn input(&self) -> Input {
        let body = serde_json::to_vec(&self.wanted).expect("its keys are text");
        Input {
            content_type: Some("application/json".to_owned()),
            headers: Vec::new(),
            body: Bytes::from(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(line: &str) -> Result<String, String> {
        Ok(Wanted::read(line.as_bytes())?.checked()?.wanted.url)
    }

    #[test]
    fn a_line_is_a_url_a_url_as_json_or_an_object() {
        let expected = Ok("http://a/x".to_owned());
        for line in [
            "http://a/x",
            "  http://A/x \r",
            r#""http://a/x""#,
            r#"{"url":"http://a/x"}"#,
        ] {
            assert_eq!(url(line), expected, "{line}");
        }
        let line = r#"{"url":"http://a/","method":"HEAD","headers":{"accept":"text/html"},"follow":0,"max_body":"1KiB"}"#;
        let wanted = Wanted::read(line.as_bytes()).unwrap();
        let again = Wanted::read(&wanted.clone().checked().unwrap().input().body).unwrap();
        assert_eq!(wanted, again);
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for line in [
            "a",
            "{",
            r#"{"uri":"http://a/"}"#,
            r#"{"url":"http://a/","method":"DELETE"}"#,
            r#"{"url":"http://a/","follow":21}"#,
            r#"{"url":"http://a/","headers":{"Host":"b"}}"#,
            r#"{"url":"http://a/","headers":{"x":"a\nb"}}"#,
            r#"{"url":"http://a/","headers":{"x y":"a"}}"#,
        ] {
            assert!(url(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_group_is_the_host_with_its_port() {
        for (line, host) in [
            ("http://A./x", "a:80"),
            ("https://a/", "a:443"),
            ("http://[::1]:7/", "[::1]:7"),
        ] {
            assert_eq!(
                Wanted::read(line.as_bytes())
                    .unwrap()
                    .checked()
                    .unwrap()
                    .host
                    .as_str(),
                host
            );
        }
    }

    #[test]
    fn comments_and_blank_lines_say_nothing() {
        for line in ["", " \t", "# list", "  #x"] {
            assert!(blank(line.as_bytes()), "{line:?}");
        }
        assert!(!blank(b"http://a/#x"));
    }
}
