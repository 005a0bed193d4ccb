//! The binary `raincheck`: server and command line.
//!
//! Invariant: every command is thin. What a job is and what happens to it is decided in the library, and a client's
//! command knows no more than what the HTTP API says.

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod api_key;
mod cli;
mod client;
mod commands;
mod config;
mod confirm;
mod disk;
mod document;
mod exit;
mod follow;
mod input;
mod master_key;
mod named;
mod options;
mod output;
mod pages;
mod parcel;
mod program;
mod progress;
mod redeem;
mod refused;
mod session;
mod signals;
mod table;
mod trust;
mod when;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::read();
    let output = cli.output();
    match cli.run(output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            output.error(&failed);
            ExitCode::from(failed.exit as u8)
        }
    }
}
