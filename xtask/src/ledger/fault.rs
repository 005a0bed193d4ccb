//! The ways in which a server can break its word, and one case of it.

use std::fmt;

use super::history::{JobId, Token};

/// A broken promise (the letters are those of the guarantees).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// G1: a job that was acknowledged, or shown, is not there.
    Lost,
    /// G2: something ran that nobody submitted.
    Invented,
    /// G2: a refused submission ran.
    RanRefused,
    /// G2: the queue holds more or fewer jobs than were submitted.
    Miscounted,
    /// G2: what must be refused was taken.
    TookInvalid,
    /// G3: an idempotency key points at another job than before.
    KeyForgotten,
    /// G3: one submission made two jobs.
    TwoJobs,
    /// G4: a job never reached a final state.
    Unfinished,
    /// G5: a fence came twice, or fell.
    FenceRepeated,
    /// G5: a lease within its term was refused.
    LeaseForgotten,
    /// G5: a settlement that was refused counts all the same.
    StaleAccepted,
    /// G6: a settlement that was acknowledged does not count.
    SettlementLost,
    /// G6: a final job's document is not what it was.
    OutcomeChanged,
    /// G6: a result is not what it was.
    ResultChanged,
    /// G6: a result, or a handler's input, is another job's.
    Mixed,
    /// G6: a finished job ran again.
    RanFinished,
    /// G7: an older state came after a newer one.
    OlderState,
    /// G10: a job started again after its cancel was acknowledged.
    RanCancelled,
    /// G10: a job ended as if its acknowledged cancel had not been.
    CancelForgotten,
    /// A deleted job answers again.
    Revived,
    /// A deleted job ran.
    RanDeleted,
    /// An answer that the contract does not know for this request.
    Unexpected,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "an acknowledged job is lost",
            Self::Invented => "something ran that nobody submitted",
            Self::RanRefused => "a refused submission ran",
            Self::Miscounted => "the queue's count is not that of its jobs",
            Self::TookInvalid => "what must be refused was taken",
            Self::KeyForgotten => "an idempotency key points at another job",
            Self::TwoJobs => "one submission made two jobs",
            Self::Unfinished => "a job never finished",
            Self::FenceRepeated => "a fence did not grow",
            Self::LeaseForgotten => "a live lease was forgotten",
            Self::StaleAccepted => "a refused settlement counts all the same",
            Self::SettlementLost => "an acknowledged settlement is lost",
            Self::OutcomeChanged => "a finished job changed",
            Self::ResultChanged => "a result changed",
            Self::Mixed => "a result or an input is another job's",
            Self::RanFinished => "a finished job ran again",
            Self::OlderState => "an older state came after a newer one",
            Self::RanCancelled => "a job started after its cancel was acknowledged",
            Self::CancelForgotten => "an acknowledged cancel was forgotten",
            Self::Revived => "a deleted job is back",
            Self::RanDeleted => "a deleted job ran",
            Self::Unexpected => "an answer that the contract does not know",
        })
    }
}

/// One broken promise, found.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub fault: Fault,
    /// The job.
    pub job: Option<JobId>,
    /// The submission, where it is known: under it stands the history.
    pub token: Option<Token>,
    /// What was seen, for people.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault, self.detail)?;
        if let Some(job) = &self.job {
            write!(f, " [{job}]")?;
        }
        if let Some(token) = self.token {
            write!(f, " [{token}]")?;
        }
        Ok(())
    }
}
