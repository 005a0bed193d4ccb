//! `cargo xtask trouble`: the real server where things go wrong around it: its disk, its clock, its files, its memory.
//!
//! Invariant: what a proof needs and cannot have is a failure that says so, never a proof that was skipped.

mod ask;
mod brim;
mod clock;
mod damage;
mod disk;
mod foreign;
mod limits;
mod memory;
mod stall;
mod wall;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::soak::server;

/// How much of each kind; together under a minute with the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub binary: PathBuf,
    /// What everything is drawn from.
    pub seed: u64,
    /// Disks that fill up.
    pub disks: u64,
    /// Times that the disk stalls.
    pub stalls: u64,
    /// Copies of a store that are damaged.
    pub damages: u64,
    /// Which kinds, by name; all of them where it is `None`.
    pub only: Option<String>,
}

/// The kinds.
const KINDS: [&str; 5] = ["disk", "stall", "clock", "damage", "memory"];

/// Runs the proofs.
///
/// # Errors
/// When one fails, or what it needs cannot be had.
pub fn prove(options: &Options, say: &dyn Fn(&str)) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("raincheck-trouble-").tempdir()?;
    let binary = server::copy(&options.binary, dir.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let wanted: Vec<&str> = match &options.only {
        Some(only) => only.split(',').collect(),
        None => KINDS.to_vec(),
    };
    for kind in wanted {
        let went = runtime.block_on(one(kind, &binary, dir.path(), options, say));
        if went.is_err() {
            say(&format!("what is left of it: {}", dir.keep().display()));
            return went.with_context(|| format!("{kind}, seed {}", options.seed));
        }
    }
    Ok(())
}

async fn one(kind: &str, binary: &str, dir: &Path, options: &Options, say: &dyn Fn(&str)) -> Result<()> {
    let seed = options.seed;
    match kind {
        "disk" => disk::prove(binary, dir, options.disks, seed, say).await,
        "stall" => stall::prove(binary, dir, options.stalls, seed, say).await,
        "clock" => clock::prove(binary, dir, say).await,
        "damage" => damage::prove(binary, dir, options.damages, seed, say).await,
        "memory" => memory::prove(binary, dir, say).await,
        other => bail!("no such trouble: {other}; there are: {}", KINDS.join(" ")),
    }
}
