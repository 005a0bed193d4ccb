//! A program's stdin, stdout and stderr, worked all at once so that none of them can block another.
//!
//! Invariant: no more is kept than the queue's limit of stdout (and one read beyond it), as far as there is room for it, and the tail of
//! stderr.

use std::future::pending;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::group::Ends;
use super::program::Log;
use crate::room::{Room, Whole};
use crate::workers::whole::SMALL;

/// How much of stderr is kept, the last of it.
const TAIL_MAX: usize = 2 << 10;
/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// What a program printed.
#[derive(Debug)]
pub(super) struct Read {
    /// Everything from stdout, where it is not too large.
    pub(super) output: Bytes,
    /// Whether stdout was larger than the limit.
    pub(super) too_large: bool,
    /// The end of stderr as text on one line.
    pub(super) tail: String,
}

/// Our ends of the pipes.
pub(super) struct Pipes {
    stdin: Option<ChildStdin>,
    input: Bytes,
    stdout: Option<ChildStdout>,
    output: Whole,
    output_max: u64,
    stderr: Option<ChildStderr>,
    errors: BytesMut,
    tap: Option<Log>,
    log: Option<Log>,
}

impl Pipes {
    pub(super) fn new(
        (stdin, stdout, stderr): Ends,
        input: Bytes,
        (output_max, room): (u64, &Room),
        (tap, log): (Option<Log>, Option<Log>),
    ) -> Self {
        Self {
            stdin,
            input,
            stdout,
            output: Whole::new(room, SMALL),
            output_max,
            stderr,
            errors: BytesMut::new(),
            tap,
            log,
        }
    }

    fn too_large(&self) -> bool {
        self.output.bytes().len() as u64 > self.output_max
    }

    /// Moves bytes until stdout has passed its limit; never returns where it does not.
    ///
    /// # Cancel safety
    /// Safe: no byte is lost.
    pub(super) async fn overflow(&mut self) {
        while !self.too_large() {
            self.step().await;
        }
    }

    /// Moves bytes until stdout and stderr have ended, or stdout has passed its limit.
    ///
    /// # Cancel safety
    /// Safe: no byte is lost.
    pub(super) async fn drained(&mut self) {
        while !self.too_large() && (self.stdout.is_some() || self.stderr.is_some()) {
            self.step().await;
        }
    }

    /// Moves some bytes through one of the pipes.
    async fn step(&mut self) {
        tokio::select! {
            written = write_some(&mut self.stdin, &self.input) => {
                // A program that closes stdin early does not want the rest, which is fine.
                self.input.advance(written.unwrap_or(self.input.len()));
                if self.input.is_empty() {
                    self.stdin = None;
                }
            }
            read = read_output(&mut self.stdout, &mut self.output) => match (read, &mut self.tap) {
                (Ok(read @ 1..), Some(tap)) => tap(&self.output.bytes()[self.output.bytes().len() - read..]),
                (Ok(1..), None) => {}
                (Ok(0) | Err(_), _) => self.stdout = None,
            },
            read = read_some(&mut self.stderr, &mut self.errors) => {
                match (read, &mut self.log) {
                    (Ok(read @ 1..), Some(log)) => log(&self.errors[self.errors.len() - read..]),
                    (Ok(1..), None) => {}
                    (Ok(0) | Err(_), _) => self.stderr = None,
                }
                let surplus = self.errors.len().saturating_sub(TAIL_MAX);
                self.errors.advance(surplus);
            },
        }
    }

    /// Closes the pipes and gives back what was read.
    pub(super) fn into_read(self) -> Read {
        Read {
            too_large: self.too_large(),
            output: self.output.end(),
            tail: one_line(&self.errors),
        }
    }
}

async fn write_some(pipe: &mut Option<ChildStdin>, input: &[u8]) -> io::Result<usize> {
    match pipe {
        Some(pipe) if !input.is_empty() => pipe.write(input).await,
        Some(_) => Ok(0),
        None => pending().await,
    }
}

async fn read_output(pipe: &mut Option<ChildStdout>, into: &mut Whole) -> io::Result<usize> {
    match pipe {
        Some(pipe) => {
            into.reserve_when_there(CHUNK).await;
            pipe.read_buf(into.place()).await
        }
        None => pending().await,
    }
}

async fn read_some(pipe: &mut Option<impl AsyncRead + Unpin>, into: &mut BytesMut) -> io::Result<usize> {
    match pipe {
        Some(pipe) => {
            into.reserve(CHUNK);
            pipe.read_buf(into).await
        }
        None => pending().await,
    }
}

/// Bytes as text on one line: what is not UTF-8 is replaced, control characters are escaped.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    // The cut may have gone through a character.
    let text = text.trim_start_matches(char::REPLACEMENT_CHARACTER).trim();
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_becomes_one_harmless_line() {
        for (said, line) in [
            (&b"oops\n"[..], "oops"),
            (b"a\nb\tc\r\n", "a\\nb\\tc"),
            (b"\x1b[31mred\x1b[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            (b"\xa9caf\xc3\xa9 \xff", "café \u{fffd}"),
            (b"", ""),
        ] {
            assert_eq!(one_line(said), line);
        }
    }
}
