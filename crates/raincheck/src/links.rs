//! What the URLs that are handed out begin with.
//!
//! Invariant: every URL in an answer, an event, a push or a webhook is written by a [`Links`], so that where the API stands is
//! said once.

use std::fmt;
use std::sync::Arc;

use raincheck_core::batch::BatchId;
use raincheck_core::id::JobId;

use crate::api::Ticket;

/// Where the API stands on its server: below a path such as `/raincheck`, or at its top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount(Arc<str>);

/// A path below which nothing can stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no path to stand below: write it as /raincheck, of letters, digits, `-`, `.`, `_` and `~`")]
pub struct BadMount(String);

impl Mount {
    /// Below this path; at the server's top where it is empty, or `/` alone. A slash at its end counts for nothing.
    ///
    /// # Errors
    /// When its segments are not plain words, which are written in one way only.
    pub fn new(path: &str) -> Result<Self, BadMount> {
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        if trimmed.is_empty() {
            return Ok(Self::default());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let word = |word: &str| !matches!(word, "" | "." | "..") && word.bytes().all(plain);
        match trimmed.strip_prefix('/') {
            Some(words) if words.split('/').all(word) => Ok(Self(trimmed.into())),
            Some(_) | None => Err(BadMount(path.to_owned())),
        }
    }

    /// The path, without a slash at its end; empty at the server's top.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is seen at `path` may stand here: the same, or what is left of it behind a proxy that takes away the
    /// beginning.
    pub(crate) fn ends_with(&self, path: &str) -> bool {
        self.0.ends_with(path.trim_end_matches('/'))
    }

    /// For answers: URLs on the same server.
    pub(crate) fn links(&self) -> Links<'_> {
        Links(&self.0)
    }

    /// What URLs begin with for those who are elsewhere.
    pub(crate) fn outside(&self, public_url: &str) -> String {
        [public_url.trim_end_matches('/'), &self.0].concat()
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes URLs. They begin with a mount's path, or with the URL at which others reach it, and stand in JSON as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links<'a>(&'a str);

impl<'a> Links<'a> {
    /// URLs that begin with this, which needs no escaping in JSON.
    pub(crate) const fn below(base: &'a str) -> Self {
        Self(base)
    }

    /// What every URL begins with.
    pub(crate) const fn base(self) -> &'a str {
        self.0
    }

    /// A path of the API.
    pub(crate) fn path(self, path: &str) -> String {
        [self.0, path].concat()
    }

    /// Where a job is.
    pub(crate) fn job(self, id: JobId, ticket: Option<Ticket>) -> String {
        self.of_job(id, "", ticket)
    }

    /// Where a job's result is.
    pub(crate) fn result(self, id: JobId, ticket: Option<Ticket>) -> String {
        self.of_job(id, "/result", ticket)
    }

    /// What is below a job, such as `/input`.
    pub(crate) fn of_job(self, id: JobId, below: &str, ticket: Option<Ticket>) -> String {
        let id = id.text();
        let ticket = ticket
            .as_ref()
            .map_or(["", ""], |ticket| ["?ticket=", ticket.as_str()]);
        [self.0, "/v1/jobs/", id.as_str(), below, ticket[0], ticket[1]].concat()
    }

    /// Where a batch is.
    pub(crate) fn batch(self, id: BatchId) -> String {
        format!("{}/v1/batches/{id}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_a_path_of_plain_words() {
        for (path, expected) in [
            ("", Some("")),
            ("/", Some("")),
            ("/raincheck", Some("/raincheck")),
            ("/raincheck/", Some("/raincheck")),
            ("/_raincheck", Some("/_raincheck")),
            ("/a/b.c", Some("/a/b.c")),
            ("raincheck", None),
            ("//", None),
            ("/a//b", None),
            ("/a/../b", None),
            ("/a b", None),
            ("/a?b", None),
            ("/a\"", None),
            ("/{tenant}", None),
            ("/%41", None),
        ] {
            let mount = Mount::new(path).ok();
            assert_eq!(mount.as_ref().map(Mount::as_str), expected, "{path}");
        }
    }

    #[test]
    fn urls_begin_where_the_api_stands() {
        let id = JobId::from_parts(1 << 40, 1);
        let mount = Mount::new("/raincheck").unwrap();
        let links = mount.links();
        assert_eq!(links.job(id, None), format!("/raincheck/v1/jobs/{id}"));
        let ticket = Ticket::sample();
        assert_eq!(
            links.result(id, Some(ticket)),
            format!("/raincheck/v1/jobs/{id}/result?ticket={ticket}")
        );
        assert_eq!(Mount::default().links().job(id, None), format!("/v1/jobs/{id}"));
        assert_eq!(mount.outside("https://a.example/"), "https://a.example/raincheck");
    }

    #[test]
    fn a_mount_may_be_longer_than_what_is_seen_of_it() {
        let mount = Mount::new("/shop/raincheck").unwrap();
        for (seen, fits) in [
            ("", true),
            ("/", true),
            ("/raincheck", true),
            ("/shop/raincheck", true),
            ("/jobs", false),
            ("/{tenant}", false),
        ] {
            assert_eq!(mount.ends_with(seen), fits, "{seen}");
        }
        assert!(!Mount::default().ends_with("/raincheck"));
    }
}
