//! `cargo xtask openapi`: prints the description of the HTTP interface that the code generates.
//!
//! Invariant: the only chore that links Raincheck, in a program of its own, so that the others build in seconds.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(raincheck::api::openapi_json().as_bytes())
}
