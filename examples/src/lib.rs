//! What the example programs share: where they listen, where they keep their jobs, and what the environment says otherwise.
//!
//! Invariant: the first line that a program prints is its URL, once it can be asked.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::net::TcpListener;

/// Listens at `LISTEN`, 127.0.0.1:3000 unless said, and prints the URL.
///
/// # Errors
/// When the address cannot be listened at.
#[expect(clippy::print_stdout, reason = "whoever started the program asks it there")]
pub async fn listen() -> std::io::Result<TcpListener> {
    let addr = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("http://{}", listener.local_addr()?);
    Ok(listener)
}

/// The folder that jobs are kept in: `STORE`, or one of the program's own beside where it was started.
#[must_use]
pub fn store(program: &str) -> PathBuf {
    env::var_os("STORE").map_or_else(|| format!("{program}-jobs").into(), PathBuf::from)
}

/// What this variable of the environment says, where it says something that can be.
pub fn setting<T: FromStr>(name: &str, otherwise: T) -> T {
    let said = env::var(name).ok().and_then(|said| said.parse().ok());
    said.unwrap_or(otherwise)
}
