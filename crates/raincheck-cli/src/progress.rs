//! A bar on stderr that shows how far something is.
//!
//! Invariant: nothing is drawn where stderr is no terminal, and what was drawn is gone before anything else is written: it is no longer
//! than a line of the terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use crate::output::{Output, Shape};

/// The longest bar, and the shortest that says something.
const WIDTH: usize = 24;
const WIDTH_MIN: usize = 6;

/// The bar.
#[derive(Debug)]
pub(crate) struct Progress {
    on: bool,
    label: Mutex<String>,
}

impl Progress {
    /// A bar where somebody can see it.
    pub(crate) fn new(output: Output) -> Self {
        let seen =
            std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            on: seen && output.shape != Shape::Quiet,
            label: Mutex::default(),
        }
    }

    /// Something begins.
    pub(crate) fn begin(&self, label: &str) {
        if let Ok(mut current) = self.label.lock() {
            label.clone_into(&mut current);
        }
        self.show(0.0);
    }

    /// So much of it is done, 0 to 1.
    pub(crate) fn show(&self, share: f64) {
        if !self.on {
            return;
        }
        if let Ok(label) = self.label.lock() {
            draw(&line(&label, share, columns()));
        }
    }

    /// The same with another label, drawn once.
    pub(crate) fn draw(&self, label: &str, share: f64) {
        if self.on {
            draw(&line(label, share, columns()));
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if self.on {
            draw("");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How many characters a line of the terminal has; as many as there may be where it does not say.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map_or(0, |size| usize::from(size.ws_col))
        .checked_sub(1)
        .unwrap_or(usize::MAX)
}

fn line(label: &str, share: f64, columns: usize) -> String {
    let left = columns.saturating_sub(label.chars().count() + "[] ".len());
    if left < WIDTH_MIN {
        return label.chars().take(columns).collect();
    }
    let width = left.min(WIDTH);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a small width"
    )]
    let full = (share.clamp(0.0, 1.0) * width as f64) as usize;
    let mut line = String::new();
    let _ = write!(line, "[{:<width$}] {label}", "#".repeat(full));
    line
}

/// Replaces the terminal's line. Where that fails there is nobody to show it to.
fn draw(line: &str) {
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_from_empty_to_full() {
        assert_eq!(line("x", 0.0, 80), "[                        ] x");
        assert_eq!(line("x", 0.5, 80), "[############            ] x");
        assert_eq!(line("x", 7.0, usize::MAX), "[########################] x");
    }

    #[test]
    fn no_line_is_longer_than_the_terminals() {
        assert_eq!(line("three words here", 0.5, 29), "[#####     ] three words here");
        assert_eq!(line("three words here", 0.5, 24), "three words here");
        assert_eq!(line("three words here", 0.5, 7), "three w");
    }
}
