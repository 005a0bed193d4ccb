//! The binary `raincheck`, server and command line, as a library of one function; `main.rs` calls it.
//!
//! Invariant: every command is thin. What a job is and what happens to it is decided in the library, and a client's
//! command knows no more than what the HTTP API says.

mod api_key;
mod cli;
mod client;
mod commands;
mod config;
mod confined;
mod confirm;
mod disk;
mod document;
mod exit;
mod follow;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
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

/// Does what the command line says; gives back the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // Once for each attempt that has limits: nothing else is read or made before it.
    if words.next().is_some_and(|word| word == cli::LAUNCH) {
        return raincheck::workers::process::run_launch(words);
    }
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
