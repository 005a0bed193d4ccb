//! `raincheck batch …`: many jobs in one upload, with counts, results and one end.

mod document;
mod get;
mod results;
mod source;
mod submit;

use clap::Subcommand;

pub(crate) use self::results::each_line;
pub(crate) use self::source::Source;
use crate::exit::Failed;
use crate::session::Session;

/// Commands about batches.
#[derive(Debug, Subcommand)]
pub(crate) enum Batch {
    /// Submit a file of jobs, one JSON object a line, as one batch
    Submit(Box<submit::Submit>),
    /// Show a batch: its counts, its rejected lines
    Get(get::Get),
    /// Write the results of a batch as its jobs end
    Results(results::Results),
    /// Cancel a batch: all of it that is not finished
    Cancel(get::Cancel),
}

impl Batch {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        match self {
            Self::Submit(submit) => submit.run(session).await,
            Self::Get(get) => get.run(session).await,
            Self::Results(results) => results.run(session).await,
            Self::Cancel(cancel) => cancel.run(session).await,
        }
    }
}

/// Takes a batch's id; what could lead to another path is none.
fn batch_id(text: &str) -> Result<String, String> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && text.starts_with("batch_") && text.len() <= 64 {
        return Ok(text.to_owned());
    }
    Err("not a batch's id, which begins with batch_ and is printed by raincheck batch submit".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        assert!(batch_id("batch_01jd8zq3k5e7rv2m4n6p8s0t1w").is_ok());
        for bad in ["", "batch", "job_01", "batch_/../x", "batch_?x", "batch_ü"] {
            assert!(batch_id(bad).is_err(), "{bad:?}");
        }
    }
}
