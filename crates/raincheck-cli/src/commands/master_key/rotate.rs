//! `raincheck master-key rotate`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use raincheck::clock::SystemClock;
use raincheck::store::{MasterKeys, Opening, master_key_id, open_with};

use crate::exit::{Exit, Failed};
use crate::master_key::{from_file, not_opened};
use crate::output::{Output, Shape};

const EXAMPLES: &str = "\
All secrets are encrypted anew in one transaction: after a crash they are under one of the two keys, all of them. Start
the server with the new key afterwards; backups that were made before need the old one.

Examples:
  (umask 077; raincheck master-key new > new.key)
  raincheck master-key rotate --store ./raincheck-data --old-file master.key --new-file new.key";

/// Replaces the key.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rotate {
    /// The directory of the store, whose server is stopped
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// The file with the key that its secrets are encrypted under now
    #[arg(long, value_name = "FILE")]
    old_file: PathBuf,
    /// The file with the key that takes its place
    #[arg(long, value_name = "FILE")]
    new_file: PathBuf,
}

impl Rotate {
    /// Runs the command.
    pub(crate) async fn run(self, output: Output) -> Result<(), Failed> {
        let old = from_file(&self.old_file)?;
        let new = from_file(&self.new_file).map_err(|failed| self.to_be_made(failed))?;
        if old == new {
            return Err(Failed::usage("--old-file and --new-file hold the same key")
                .next("Make another one: raincheck master-key new"));
        }
        if !self.store.join("raincheck.db").exists() {
            let text = format!("there is no store in {}", self.store.display());
            return Err(Failed::new(Exit::NotFound, text));
        }
        let id = master_key_id(&new);
        let keys = MasterKeys {
            current: Some(new),
            former: Some(old),
        };
        let opening = Opening {
            master_keys: keys,
            ..Opening::default()
        };
        let store = open_with(self.store, Arc::new(SystemClock::new()), opening)
            .map_err(|error| not_opened(&error))?;
        // Opening it was all.
        let _ = store.close().await;
        if output.shape == Shape::Json {
            return output.line(&serde_json::json!({"master_key": id}).to_string());
        }
        output.line(&id)?;
        output.note("The store's secrets are encrypted under this key now. Start the server with its file: --master-key-file");
        Ok(())
    }

    /// What to type where there is no new key yet.
    fn to_be_made(&self, failed: Failed) -> Failed {
        if self.new_file.exists() {
            return failed;
        }
        let text = self.new_file.to_string_lossy();
        let quoted = shlex::try_quote(&text).unwrap_or_else(|_| text.clone());
        failed.next(format!(
            "Make it: (umask 077; raincheck master-key new > {quoted})"
        ))
    }
}
