//! What a proxy does to headers: those of one hop stay behind (RFC 9110 section 7.6.1). What it tells of the way is `way.rs`.
//!
//! Invariant: nothing a client writes passes for what this server says of the way or of a job; framing is never copied, it is
//! written anew from the body that is sent.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri, Version};

use crate::hop::{OF_A_HOP, of_a_hop};

/// What handlers are told of a job, and by nobody else.
pub(crate) const OF_A_JOB: [&str; 6] = [
    "raincheck-job",
    "raincheck-attempt",
    "raincheck-fence",
    "raincheck-attempt-deadline",
    "raincheck-lease",
    "raincheck-outcome",
];

/// Whether anything concerns one hop only.
pub(crate) fn has_hop(headers: &HeaderMap) -> bool {
    headers.keys().any(of_a_hop)
}

/// What `Connection` names.
fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    options.map(<[u8]>::trim_ascii)
}

/// Whether whoever answers by this head closes the connection after it.
pub(crate) fn closes(headers: &HeaderMap, version: Version) -> bool {
    version < Version::HTTP_11 || options(headers).any(|option| option.eq_ignore_ascii_case(b"close"))
}

/// Takes away what concerns one hop only.
pub(crate) fn strip_hop(headers: &mut HeaderMap) {
    // Most messages have none, and one look at all names costs less than to ask for each of these.
    if !has_hop(headers) {
        return;
    }
    let mut named: Vec<HeaderName> = Vec::new();
    for option in options(headers) {
        let usual = [&b"keep-alive"[..], b"close", b"upgrade", b"te"];
        if option.is_empty() || usual.iter().any(|usual| option.eq_ignore_ascii_case(usual)) {
            continue;
        }
        named.extend(HeaderName::from_bytes(option));
    }
    for name in named {
        // Where a message goes and where it ends is nobody's option.
        if name != header::HOST && name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // That is what counted (RFC 9112 section 6.3), and a length beside it is somebody's lie.
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in &OF_A_HOP {
        headers.remove(name);
    }
}

/// Says the host among the headers: in HTTP/2 it stands in the target.
pub(crate) fn tell_host(headers: &mut HeaderMap, target: &Uri) {
    let Some(authority) = target.authority().filter(|_| !headers.contains_key(header::HOST)) else {
        return;
    };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        headers.insert(header::HOST, host);
    }
}

/// Whether the sender takes trailers.
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',');
        codings.any(|coding| {
            let name = coding.split(|byte| *byte == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"trailers")
        })
    })
}

/// The protocol that the sender wants to change to. Another version of HTTP, which nobody needs who speaks this one, is none: it
/// would be a way past every rule (RFC 9110 section 7.8 lets it be ignored).
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let mut lines = headers.get_all(header::UPGRADE).iter();
    let http = |name: &[u8]| {
        let name = name.trim_ascii();
        let starts = |with: &[u8]| {
            name.get(..with.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        starts(b"h2") || starts(b"http") || starts(b"tls")
    };
    if lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(http)) {
        return None;
    }
    let asked = headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    asked.then(|| protocol.clone())
}

/// Joins the lines of cookies, which HTTP/2 lets a client send one by one and others take for one line (RFC 9113 section
/// 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return;
    };
    let mut all = [first.as_bytes(), second.as_bytes()].join(&b"; "[..]);
    for line in lines {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(line.as_bytes());
    }
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(header::COOKIE, all);
    }
}
/// How this server calls itself on the way (RFC 9110 section 7.6.3): by a name of its own, so that it knows itself again.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    name: Box<str>,
    usual: HeaderValue,
}

impl Via {
    /// With what tells it from others that are called the same.
    pub(crate) fn new(nonce: u64) -> Self {
        let name = format!("raincheck-{:08x}", nonce >> 32);
        let usual = HeaderValue::try_from(format!("1.1 {name}")).expect("digits are visible");
        Self {
            name: name.into(),
            usual,
        }
    }

    /// Whether the message was here before.
    pub(crate) fn passed(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::VIA)
            .iter()
            .any(|value| memchr::memmem::find(value.as_bytes(), self.name.as_bytes()).is_some())
    }

    /// Enters this server, which got the message in this version.
    pub(crate) fn enter(&self, headers: &mut HeaderMap, version: Version) {
        let value = match version {
            Version::HTTP_11 => self.usual.clone(),
            Version::HTTP_10 => self.entry("1.0"),
            _ => self.entry("2"),
        };
        headers.append(header::VIA, value);
    }

    fn entry(&self, version: &str) -> HeaderValue {
        HeaderValue::try_from(format!("{version} {}", self.name)).expect("digits are visible")
    }
}

/// Makes an answer's head one of this hop.
///
/// # Errors
/// Where its body came in a coding of that hop that nobody here had asked for, and so cannot be passed on.
pub(crate) fn of_answer(status: StatusCode, headers: &mut HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if !codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        return Err("the upstream's answer has a transfer coding that it was not asked for");
    }
    strip_hop(headers);
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        // There is no body that it could be the length of, and hyper writes none.
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_concerns_one_hop_stays_behind() {
        let mut headers = map(&[
            ("connection", "close, X-Secret"),
            ("connection", "x-other , Host, content-length"),
            ("host", "a"),
            ("content-length", "3"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic x"),
            ("authorization", "Basic x"),
        ]);
        strip_hop(&mut headers);
        assert_eq!(
            lines(&headers),
            ["authorization: Basic x", "host: a", "trailer: x-sum"]
        );
    }

    #[test]
    fn trailers_and_upgrades_are_recognised() {
        assert!(takes_trailers(&map(&[("te", "gzip;q=0.5, Trailers")])));
        assert!(!takes_trailers(&map(&[("te", "trailersx")])));
        assert_eq!(
            upgrade(&map(&[
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "websocket")
            ]))
            .unwrap(),
            "websocket"
        );
        assert_eq!(upgrade(&map(&[("upgrade", "h2c")])), None);
    }

    #[test]
    fn cookies_that_came_one_by_one_are_one_line() {
        for (sent, joined) in [
            (&[][..], &[][..]),
            (&["a=1; b=2"], &["cookie: a=1; b=2"]),
            (&["a=1", "b=2", "c=3; d=4"], &["cookie: a=1; b=2; c=3; d=4"]),
        ] {
            let sent: Vec<_> = sent.iter().map(|line| ("cookie", *line)).collect();
            let mut headers = map(&sent);
            join_cookies(&mut headers);
            assert_eq!(lines(&headers), joined);
        }
    }

    #[test]
    fn a_message_that_was_here_is_known_again() {
        let via = Via::new(7 << 32);
        let mut headers = map(&[("via", "1.1 nginx")]);
        assert!(!via.passed(&headers));
        via.enter(&mut headers, Version::HTTP_10);
        assert_eq!(lines(&headers), ["via: 1.0 raincheck-00000007", "via: 1.1 nginx"]);
        assert!(via.passed(&headers) && !Via::new(8 << 32).passed(&headers));
    }
}
