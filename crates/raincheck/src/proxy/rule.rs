//! The rules of a proxy: which paths go to which upstream, and which of them may become jobs.
//!
//! Written as one text, `/reports/**=http://localhost:8000;mode=always;after=2s`, as a `[[proxy]]` table of the file is put
//! together as well. Invariant: the first rule that is for a path is the one that counts; what cannot be is refused when it
//! is read.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Method, Uri};
use raincheck_core::name::QueueName;
use raincheck_core::time::{format_duration, parse_duration};

use super::glob::Glob;
use crate::api::options::span;
use crate::outward::port_fits;

/// The queue of what becomes a job, unless a rule names another.
pub const QUEUE: &str = "proxy";

/// When a call becomes a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Where its client asks for that (`Prefer: respond-async`, `wait=N`), or where it takes longer than `after`.
    #[default]
    Prefer,
    /// At once, or with `after` once it takes longer.
    Always,
    /// Never: it passes through.
    Never,
}

impl Mode {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prefer => "prefer",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// Which failed calls of a job are sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Whether also those whose method is not idempotent: POST, PATCH and what nobody knows.
    pub unsafe_too: bool,
    /// Answers that are no answers yet.
    pub codes: Vec<u16>,
}

impl Default for Retries {
    /// Methods that are idempotent, after 502, 503 and 504, and where there was no answer.
    fn default() -> Self {
        Self {
            unsafe_too: false,
            codes: vec![502, 503, 504],
        }
    }
}

impl Retries {
    /// Whether a call may be sent more than once (RFC 9110 section 9.2.2).
    #[must_use]
    pub fn repeats(&self, method: &Method) -> bool {
        self.unsafe_too || idempotent(method)
    }
}

/// Whether a request of this method may be made more than once (RFC 9110 section 9.2.2).
pub(crate) const fn idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// Where calls go: a scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

impl FromStr for Upstream {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "the upstream is a URL such as http://localhost:8000";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong);
        };
        if (scheme != Scheme::HTTP && scheme != Scheme::HTTPS) || authority.host().is_empty() {
            return Err(wrong);
        }
        if authority.as_str().contains('@') {
            return Err("the upstream is a URL without user and password");
        }
        if !port_fits(&authority) {
            return Err("the upstream's port is at most 65535");
        }
        if parts.path_and_query.is_some_and(|path| path != "/") || text.contains('#') {
            return Err("the upstream is a URL without a path: paths are passed on as they came");
        }
        Ok(Self { scheme, authority })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// The beginning of paths that an upstream does not see: whole segments, written as they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// As it is written, without a slash at its end.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Path and query as the upstream sees them; `None` where this is not below the prefix.
    #[must_use]
    pub fn strip<'a>(&self, whole: &'a str) -> Option<Cow<'a, str>> {
        let rest = whole.strip_prefix(&*self.0)?;
        match rest.as_bytes().first() {
            Some(b'/') => Some(Cow::Borrowed(rest)),
            Some(b'?') | None => Some(Cow::Owned(["/", rest].concat())),
            Some(_) => None,
        }
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "is the beginning of a path, such as /shop: without wildcards, dot segments and a slash at its end";
        let glob: Glob = text.parse().map_err(|_| wrong)?;
        if text.contains('*') || text.ends_with('/') || text.contains("//") {
            return Err(wrong);
        }
        Ok(Self(glob.as_str().into()))
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For which paths.
    pub path: Glob,
    /// Where they go.
    pub upstream: Upstream,
    /// What all these paths begin with that the upstream does not see: `/shop`.
    pub prefix: Option<Prefix>,
    /// When they become jobs.
    pub mode: Mode,
    /// How long a call may take before it becomes a job.
    pub after: Option<Duration>,
    /// How long a job may take from its acceptance, all its attempts and waits together.
    pub deadline: Option<Duration>,
    /// What is sent again.
    pub retries: Retries,
    /// Where the jobs wait.
    pub queue: QueueName,
}

impl Rule {
    /// A rule that says no more than where a path goes.
    ///
    /// # Errors
    /// Never, with the names that are written here.
    #[must_use]
    pub fn new(path: Glob, upstream: Upstream, mode: Mode) -> Self {
        Self {
            path,
            upstream,
            prefix: None,
            mode,
            after: None,
            deadline: None,
            retries: Retries::default(),
            queue: QueueName::new(QUEUE).expect("a plain word is a queue's name"),
        }
    }

    /// The queue of calls that became jobs while they were under way. They wait for no place among the others, since they
    /// run already.
    #[must_use]
    pub fn late_queue(&self) -> QueueName {
        late(&self.queue)
    }
}

/// See [`Rule::late_queue`].
pub(crate) fn late(queue: &QueueName) -> QueueName {
    QueueName::new(&format!("{queue}{LATE}")).unwrap_or_else(|_| queue.clone())
}

/// What the name of that queue ends with.
const LATE: &str = "-late";

/// The longest `after`.
pub(crate) const AFTER_MAX: Duration = Duration::from_secs(3600);

/// Reads the deadline of a rule's jobs: the same that a submit takes as `Raincheck-Deadline`.
///
/// # Errors
/// What is taken instead.
pub fn read_deadline(text: &str) -> Result<Duration, String> {
    match span(text, Duration::from_millis(1)) {
        Ok(deadline) => Ok(deadline),
        Err(why) => Err(why.into_owned()),
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write PATH=UPSTREAM, such as /reports/**=http://localhost:8000;mode=always";
        let (path, rest) = text.split_once('=').ok_or(form)?;
        let path: Glob = path.trim().parse().map_err(|why| format!("{path}: {why}"))?;
        let mut parts = rest.split(';').map(str::trim);
        let upstream = parts.next().unwrap_or_default().parse()?;
        let mut rule = Self::new(path, upstream, Mode::default());
        let mut seen = Vec::new();
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, "true"));
            let name = name.trim().replace('-', "_");
            rule.set(&name, value.trim())
                .map_err(|why| format!("{name}: {why}"))?;
            if seen.contains(&name) {
                return Err(format!("{name} is given twice"));
            }
            seen.push(name);
        }
        if rule.mode == Mode::Never && rule.after.is_some() {
            return Err("mode=never and after exclude each other".to_owned());
        }
        if let Some(prefix) = &rule.prefix
            && prefix.strip(rule.path.as_str()).is_none()
        {
            return Err(format!(
                "prefix: the path does not begin with {}",
                prefix.as_str()
            ));
        }
        if QueueName::new(&format!("{}{LATE}", rule.queue)).is_err() {
            return Err("queue: the name is too long".to_owned());
        }
        Ok(rule)
    }
}

impl Rule {
    /// What a rule says beside path and upstream.
    pub const FIELDS: [&str; 7] = [
        "prefix",
        "mode",
        "after",
        "deadline",
        "retry_unsafe",
        "retry_codes",
        "queue",
    ];

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "prefix" => self.prefix = Some(value.parse()?),
            "mode" => {
                let modes = [Mode::Prefer, Mode::Always, Mode::Never];
                let mode = modes.into_iter().find(|mode| mode.as_str() == value);
                self.mode = mode.ok_or("is prefer, always or never")?;
            }
            "after" => {
                let after = parse_duration(value).map_err(|why| why.to_string())?;
                if after > AFTER_MAX {
                    return Err("takes at most 1h".to_owned());
                }
                self.after = Some(after);
            }
            "deadline" => self.deadline = Some(read_deadline(value)?),
            "retry_unsafe" => {
                self.retries.unsafe_too = match value {
                    "true" | "yes" | "on" => true,
                    "false" | "no" | "off" => false,
                    _ => return Err("is true or false".to_owned()),
                }
            }
            "retry_codes" => {
                let codes = value.split([' ', '+']).filter(|code| !code.is_empty());
                let code = |code: &str| {
                    let code = code.parse().ok().filter(|code| (400..600).contains(code));
                    code.ok_or("takes statuses from 400 to 599, separated by spaces")
                };
                self.retries.codes = codes.map(code).collect::<Result<_, _>>()?;
            }
            "queue" => self.queue = QueueName::new(value).map_err(|why| why.to_string())?,
            _ => {
                return Err(format!(
                    "a rule has no such setting; it has {}",
                    Self::FIELDS.join(", ")
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.path, self.upstream)?;
        if let Some(prefix) = &self.prefix {
            write!(f, ";prefix={}", prefix.as_str())?;
        }
        write!(f, ";mode={}", self.mode.as_str())?;
        if let Some(after) = self.after {
            write!(f, ";after={}", format_duration(after))?;
        }
        if let Some(deadline) = self.deadline {
            write!(f, ";deadline={}", format_duration(deadline))?;
        }
        if self.retries.unsafe_too {
            write!(f, ";retry_unsafe=true")?;
        }
        let usual = Retries::default();
        if self.retries.codes != usual.codes {
            let codes: Vec<_> = self.retries.codes.iter().map(u16::to_string).collect();
            write!(f, ";retry_codes={}", codes.join(" "))?;
        }
        if self.queue.as_str() != QUEUE {
            write!(f, ";queue={}", self.queue)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_the_way_it_is_read() {
        for text in [
            "/reports/**=http://localhost:8000;mode=prefer",
            "/shop/**=http://b:1;prefix=/shop;mode=never",
            "/**=https://example.org;mode=always;after=2s;deadline=1h;retry_unsafe=true;retry_codes=429 503;queue=slow",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        let short: Rule = "/a=http://b:1/;retry-unsafe".parse().unwrap();
        assert!(short.retries.unsafe_too && short.mode == Mode::Prefer);
    }

    #[test]
    fn a_rule_that_cannot_be_is_refused() {
        for text in [
            "",
            "/a",
            "a=http://b",
            "/a=b",
            "/a=ftp://b",
            "/a=http://u:p@b",
            "/a=http://b/c",
            "/a=http://b:65536",
            "/a=http://b;mode=perhaps",
            "/a=http://b;after=soon",
            "/a=http://b;after=2h",
            "/a=http://b;mode=never;after=1s",
            "/a=http://b;deadline=0s",
            "/a=http://b;retry_codes=200",
            "/a=http://b;queue=a b",
            "/a=http://b;colour=red",
            "/a=http://b;mode=never;mode=never",
            "/a/**=http://b;prefix=/b",
            "/shops/**=http://b;prefix=/shop",
            "/**=http://b;prefix=/a",
            "/a/**=http://b;prefix=/*",
            "/a/**=http://b;prefix=/a/",
            "/a/**=http://b;prefix=a",
            "/a/**=http://b;prefix=/a?b",
            "/**=http://b;prefix=/",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_in_whole_segments() {
        let prefix: Prefix = "/shop".parse().unwrap();
        for (whole, seen) in [
            ("/shop", Some("/")),
            ("/shop/", Some("/")),
            ("/shop?a=b", Some("/?a=b")),
            ("/shop/a%2Fb//c?d", Some("/a%2Fb//c?d")),
            ("/shops", None),
            ("/a/shop", None),
        ] {
            assert_eq!(prefix.strip(whole).as_deref(), seen, "{whole}");
        }
    }

    #[test]
    fn only_methods_that_are_idempotent_are_sent_again_unless_allowed() {
        let usual = Retries::default();
        assert!(usual.repeats(&Method::GET) && usual.repeats(&Method::DELETE));
        assert!(!usual.repeats(&Method::POST) && !usual.repeats(&Method::PATCH));
        assert!(!usual.repeats(&Method::from_bytes(b"PROPFIND").unwrap()));
        let all = Retries {
            unsafe_too: true,
            ..usual
        };
        assert!(all.repeats(&Method::POST));
    }
}
