//! Calls that a client repeats under a key of its own: they are answered by the job that the first one became, and wait where
//! that is not known yet.
//!
//! Invariant: under one key of a client one call is under way at most, and none once there is a job; what passes whatever
//! comes of it knows no keys.

use std::time::Duration;

use http::HeaderMap;
use raincheck_core::name::QueueName;
use raincheck_core::time::format_duration;
use tokio::time::timeout;

use super::choose::Choice;
use super::keys::{Turn, Turns};
use super::parcel::scoped_key;
use super::rule::{Mode, late};
use crate::api::code::Code;
use crate::api::desk::Desk;
use crate::api::problem::Problem;

/// Whether a call was made before, as far as a key of its client tells.
pub(crate) enum Asked {
    /// There is a job of the same key in this queue.
    Before(QueueName),
    /// Not yet; while this is held, nobody else calls under the same key.
    First(Option<Turn>),
}

/// Where a call may have been made before.
pub(crate) struct Repeats<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) turns: &'a Turns,
    pub(crate) mode: Mode,
    pub(crate) after: Option<Duration>,
    /// Where calls wait that are jobs from the start.
    pub(crate) queue: &'a QueueName,
    /// How long a call waits for another one with its key.
    pub(crate) limit: Duration,
}

impl Repeats<'_> {
    /// The queues in which the job of an earlier call may be: a call that passed for a while becomes one elsewhere than one that
    /// is a job from the start, and whether it passes is for its client to say as well.
    fn queues(&self, choice: Choice) -> Vec<QueueName> {
        match (choice, self.mode, self.after) {
            (Choice::Pass, ..) => Vec::new(),
            // The submit looks there itself.
            (Choice::Job, Mode::Always, None) => Vec::new(),
            (Choice::Job, ..) => vec![late(self.queue)],
            (Choice::Late(_), ..) => vec![self.queue.clone(), late(self.queue)],
        }
    }

    /// Whether the call was made before; waits while another one with the same key is under way.
    ///
    /// # Errors
    /// When it waited as long as a call may take, or the store cannot be read.
    pub(crate) async fn asked(&self, headers: &HeaderMap, choice: Choice) -> Result<Asked, Problem> {
        let queues = self.queues(choice);
        let key = (!queues.is_empty()).then(|| scoped_key(headers)).flatten();
        match key {
            None => Ok(Asked::First(None)),
            // In a box of its own, so that what passes is no larger for it.
            Some(key) => Box::pin(self.asked_under(key, queues)).await,
        }
    }

    async fn asked_under(&self, key: String, queues: Vec<QueueName>) -> Result<Asked, Problem> {
        let Ok(turn) = timeout(self.limit, self.turns.wait(key.clone())).await else {
            let time = format_duration(self.limit);
            let detail = format!("a call with the same Idempotency-Key has been under way for {time}");
            return Err(Problem::new(Code::UpstreamTimeout, detail));
        };
        for queue in queues {
            if self.desk.knows(&queue, &key).await? {
                return Ok(Asked::Before(queue));
            }
        }
        Ok(Asked::First(Some(turn)))
    }
}
