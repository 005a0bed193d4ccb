//! An answer that is read line by line.
//!
//! Invariant: a line is bounded in size, and the silence between two in time.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{Answer, BODY_MAX, NoAnswer, SILENCE_MAX, innermost};

/// An answer that may be a stream.
pub(crate) enum Opened {
    /// The lines of a 200.
    Lines(Lines),
    /// Any other answer.
    Whole(Answer),
}

/// An answer that is read line by line.
pub(crate) struct Lines {
    pub(super) body: Incoming,
    pub(super) read: Vec<u8>,
}

impl Lines {
    /// The next line; `None` at the end. A server keeps a line open by a word now and then: one that is silent for longer
    /// is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, NoAnswer> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.read.drain(..=end).collect()));
            }
            if self.read.len() > BODY_MAX {
                return Err(NoAnswer::Lost(format!(
                    "a line is larger than {} MiB",
                    BODY_MAX >> 20
                )));
            }
            let silent = |_| NoAnswer::Lost(format!("nothing came for {} s", SILENCE_MAX.as_secs()));
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame())
                .await
                .map_err(silent)?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(NoAnswer::Lost(innermost(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
