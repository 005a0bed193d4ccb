//! `raincheck master-key new`.
//!
//! Invariant: the key goes to standard output and nowhere else.

use clap::Args;
use raincheck::core::secret::Secret;
use raincheck::store::{fresh_master_key, master_key_id};

use crate::exit::Failed;
use crate::output::{Output, Shape};

const EXAMPLES: &str = "\
Keep the file apart from the store and its backups: who has both can read the secrets, who has lost it has lost them.

Examples:
  (umask 077; raincheck master-key new > master.key)
  raincheck serve --master-key-file master.key";

/// Makes a key.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct New {}

impl New {
    /// Runs the command.
    pub(crate) fn run(self, output: Output) -> Result<(), Failed> {
        let key: Secret = fresh_master_key();
        let text = raincheck::api::to_base64(key.reveal());
        if output.shape == Shape::Json {
            let document = serde_json::json!({"id": master_key_id(&key), "master_key": text});
            return output.line(&document.to_string());
        }
        output.line(&text)
    }
}
