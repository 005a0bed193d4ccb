//! What an answer means to whoever fetches a URL.
//!
//! | answer | the fetch |
//! |---|---|
//! | 301, 302, 303, 307, 308 with a `Location` | goes on there (RFC 9110 section 15.4) |
//! | 304, where it was asked whether an earlier answer still holds | succeeds with the earlier answer |
//! | 408, 425, 429, 5xx | failed, another attempt; the last answer is the result |
//! | anything else, also 4xx | succeeds: this is what is there |
//!
//! Invariant: only safe methods are fetched, and no redirect makes another of them.

use serde::{Deserialize, Serialize};

/// The most redirects that one fetch may follow.
pub const REDIRECTS_MAX: u32 = 20;
/// How many it follows unless said otherwise.
pub const REDIRECTS_DEFAULT: u32 = 10;

/// What a fetch may ask by. Safe methods only (RFC 9110 section 9.2.1): a fetch may be repeated at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchMethod {
    /// For what is there.
    #[default]
    #[serde(rename = "GET", alias = "get")]
    Get,
    /// For what would be said of it.
    #[serde(rename = "HEAD", alias = "head")]
    Head,
}

impl FetchMethod {
    /// Its name in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchAnswer {
    /// It is the result.
    Kept,
    /// The earlier answer still holds, and is the result.
    Unchanged,
    /// Another attempt may bring a better one.
    Again,
    /// What is wanted is elsewhere.
    Elsewhere,
}

/// What an answer with this status means; `conditional` says whether it was asked for only if it has changed.
#[must_use]
pub const fn fetch_answer(status: u16, has_location: bool, conditional: bool) -> FetchAnswer {
    match status {
        301 | 302 | 303 | 307 | 308 if has_location => FetchAnswer::Elsewhere,
        304 if conditional => FetchAnswer::Unchanged,
        408 | 425 | 429 | 500..=599 => FetchAnswer::Again,
        _ => FetchAnswer::Kept,
    }
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectRefused {
    /// There were as many as may be.
    #[error("more than {0} redirects")]
    TooMany(u32),
    /// It leads back.
    #[error("the redirects go round in a circle")]
    Loop,
}

/// Whether a redirect to `next` is followed, after those to and from `seen`, the first URL among them.
///
/// # Errors
/// Why not. The method stays: of GET and HEAD no status makes another (RFC 9110 section 15.4).
pub fn redirect(seen: &[String], next: &str, limit: u32) -> Result<(), RedirectRefused> {
    if seen.iter().any(|url| url == next) {
        return Err(RedirectRefused::Loop);
    }
    if seen.len() > limit as usize {
        return Err(RedirectRefused::TooMany(limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_tried_again_or_elsewhere() {
        use FetchAnswer::{Again, Elsewhere, Kept, Unchanged};
        for (status, location, conditional, means) in [
            (200, false, false, Kept),
            (201, true, false, Kept),
            (204, false, false, Kept),
            (300, true, false, Kept),
            (301, true, false, Elsewhere),
            (302, true, false, Elsewhere),
            (303, true, true, Elsewhere),
            (307, true, false, Elsewhere),
            (308, true, false, Elsewhere),
            (301, false, false, Kept),
            (304, false, false, Kept),
            (304, true, true, Unchanged),
            (305, true, false, Kept),
            (400, false, false, Kept),
            (404, false, true, Kept),
            (410, false, false, Kept),
            (408, false, false, Again),
            (425, false, false, Again),
            (429, false, true, Again),
            (500, false, false, Again),
            (503, true, false, Again),
            (599, false, false, Again),
        ] {
            assert_eq!(fetch_answer(status, location, conditional), means, "{status}");
        }
    }

    #[test]
    fn redirects_are_followed_so_often_and_never_in_a_circle() {
        let seen = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(redirect(&seen(1), "x", 1), Ok(()));
        assert_eq!(redirect(&seen(2), "x", 1), Err(RedirectRefused::TooMany(1)));
        assert_eq!(redirect(&seen(1), "x", 0), Err(RedirectRefused::TooMany(0)));
        assert_eq!(redirect(&seen(3), "0", 10), Err(RedirectRefused::Loop));
    }
}
