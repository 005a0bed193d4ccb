//! What a client of a Raincheck server saw, as facts in the order in which it saw them.
//!
//! Invariant: a call is recorded before its first byte is sent and its reply after its head was read, so whatever
//! ended before something else began on the server has done so in the history as well.

use std::fmt;
use std::sync::Arc;

/// A job's id as the server wrote it.
pub type JobId = Arc<str>;

/// Stands in the input of one submission and nowhere else, so that a handler's input names its submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token-{:08}", self.0)
    }
}

impl Token {
    /// The token in this text, wherever it stands.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("token-")?;
        let digits = rest.get(..8)?;
        digits.parse().ok().map(Self)
    }
}

/// One request of one client, sent once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// One submission as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Where to.
    pub queue: Arc<str>,
    /// The idempotency key.
    pub key: Option<Arc<str>>,
    /// What its input holds.
    pub token: Token,
    /// Whether the server should take it; otherwise it must refuse it.
    pub valid: bool,
    /// Whether its retention is so short that it may be gone at any time after its end.
    pub short_lived: bool,
}

/// Stands in one result of one pull worker and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Marker(pub u64);

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "marker-{:08}", self.0)
    }
}

impl Marker {
    /// The marker in this text, wherever it stands.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("marker-")?;
        rest.get(..8)?.parse().ok().map(Self)
    }
}

/// What a pull worker does with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The job.
    pub job: JobId,
    /// What is done.
    pub deed: Deed,
    /// Whether the lease's term cannot be over: refusing it then is forgetting it.
    pub fresh: bool,
}

/// See [`Settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Hold it longer.
    Renew,
    /// It succeeded, with a result that holds this.
    Succeed(Marker),
    /// It failed and may be tried again.
    Fail,
    /// Give it back.
    Release,
}

/// What a client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Submit a job.
    Submit(Submit),
    /// Get the job document.
    Read(JobId),
    /// Get the result.
    Redeem(JobId),
    /// Cancel.
    Cancel(JobId),
    /// Submit a finished job again.
    Retry(JobId),
    /// Forget a finished job.
    Delete(JobId),
    /// Renew or settle a lease.
    Settle(Settle),
}

impl Request {
    /// The job it names.
    #[must_use]
    pub const fn job(&self) -> Option<&JobId> {
        match self {
            Self::Submit(_) => None,
            Self::Read(id) | Self::Redeem(id) | Self::Cancel(id) | Self::Retry(id) | Self::Delete(id) => {
                Some(id)
            }
            Self::Settle(settle) => Some(&settle.job),
        }
    }
}

/// What the header `Raincheck-Outcome` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not finished.
    Pending,
    /// Final.
    Succeeded,
    /// Final.
    Failed,
    /// Final.
    Cancelled,
    /// Final.
    Expired,
    /// Whether the commit happened is not known.
    Unknown,
}

impl Shown {
    /// Reads the header or a document's `outcome`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "pending" => Self::Pending,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            "expired" => Self::Expired,
            "unknown" => Self::Unknown,
            _ => return None,
        })
    }

    /// Whether it is one of the four final states.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired
        )
    }
}

/// A job document, as far as promises are about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doc {
    /// The job.
    pub id: JobId,
    /// Stored transitions.
    pub version: u64,
    /// How it ended; `None` while it has not.
    pub outcome: Option<Shown>,
    /// Attempts charged.
    pub attempt: u64,
    /// Whether it was asked to stop.
    pub cancel_requested: bool,
    /// The job that it repeats.
    pub retry_of: Option<JobId>,
    /// All that may not change while `version` stays, as text: the document without derived and growing fields;
    /// `None` in the short document that a submission is answered with.
    pub fixed: Option<Arc<str>>,
}

/// An answer, head at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `Raincheck-Job`.
    pub job: Option<JobId>,
    /// `Raincheck-Outcome`.
    pub outcome: Option<Shown>,
    /// A problem's code.
    pub code: Option<Arc<str>>,
    /// `Idempotency-Replayed: true`.
    pub replayed: bool,
    /// The job document in the body, where there was one and it arrived whole.
    pub doc: Option<Doc>,
    /// The stored result in the body (status, content type, etag and bytes), where it arrived whole.
    pub result: Option<Arc<str>>,
}

/// One fact.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request is about to be sent.
    Call(CallId, Request),
    /// Its answer came.
    Reply(CallId, Reply),
    /// The connection died or the time was up before an answer's head was there: it may have happened.
    Lost(CallId),
    /// Nothing was sent, so nothing can have happened.
    Unsent(CallId),
    /// A handler was given a job.
    Handed(Handed),
    /// A server process is about to be started; the one before is gone, and every handler's call that it had in flight.
    Started,
    /// Every client is silent, the server rests, and the queue shows so many jobs.
    Counted {
        /// The queue.
        queue: Arc<str>,
        /// Jobs in all states.
        jobs: u64,
    },
    /// Every job had its time: what is not finished now never will be.
    Settled,
}

/// What a handler saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The job, where the handler is told.
    pub job: Option<JobId>,
    /// The token in the input; `None` where there was none.
    pub token: Option<Token>,
    /// The claim's fence, where the handler is told.
    pub fence: Option<u64>,
    /// Which attempt, where the handler is told.
    pub attempt: Option<u64>,
    /// Whether it is recorded while the server waits for the handler, rather than read from the handler's log later.
    pub live: bool,
    /// The server process (from 1, in the order of [`Event::Started`]) that gave it; 0 where that is not known.
    pub server: u64,
}

/// What an answer says about its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It happened and was acknowledged.
    Acknowledged,
    /// It certainly did not happen.
    Refused,
    /// It may have happened.
    Unknown,
    /// The server may not answer so.
    Broken,
}

impl Reply {
    /// What the answer says about `request`, as the docs tell clients to read it: the headers first, then the status.
    #[must_use]
    pub fn verdict(&self, request: &Request) -> Verdict {
        if self.outcome == Some(Shown::Unknown) {
            return if self.status == 503 {
                Verdict::Unknown
            } else {
                Verdict::Broken
            };
        }
        let stored = self.job.is_some() && self.outcome.is_some();
        match (request, self.status) {
            // A redeemed or awaited result has the status that the handler gave it.
            (Request::Submit(_) | Request::Redeem(_), _) if stored => Verdict::Acknowledged,
            (Request::Submit(_) | Request::Redeem(_), 200..=399) => Verdict::Broken,
            (_, 200..=299 | 304) => Verdict::Acknowledged,
            (_, 400..=499 | 503 | 507) => Verdict::Refused,
            _ => Verdict::Broken,
        }
    }
}

impl Reply {
    /// Whether it says that the job is forgotten.
    #[must_use]
    pub fn gone(&self) -> bool {
        self.status == 410 && matches!(self.code.as_deref(), Some("job-deleted" | "result-expired"))
    }

    /// The answer in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut line = self.status.to_string();
        if let Some(code) = &self.code {
            line = format!("{line} {code}");
        }
        if let Some(outcome) = &self.outcome {
            line = format!("{line} {outcome:?}");
        }
        if let Some(job) = &self.job {
            line = format!("{line} {job}");
        }
        if let Some(doc) = &self.doc {
            line = format!("{line} version {} attempt {}", doc.version, doc.attempt);
        }
        line
    }
}

impl Request {
    /// What it asks, in one word.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Submit(_) => "submit",
            Self::Read(_) => "read",
            Self::Redeem(_) => "redeem",
            Self::Cancel(_) => "cancel",
            Self::Retry(_) => "retry",
            Self::Delete(_) => "delete",
            Self::Settle(settle) => match settle.deed {
                Deed::Renew => "renew",
                Deed::Succeed(_) => "succeed",
                Deed::Fail => "fail",
                Deed::Release => "release",
            },
        }
    }
}
