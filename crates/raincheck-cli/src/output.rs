//! Where output goes and how it looks: data on stdout, messages on stderr.
//!
//! Invariant: what a server or a worker wrote reaches a terminal only with its control characters escaped; data in
//! a pipe never carries colour unless `CLICOLOR_FORCE` asks for it.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};

use crate::exit::Failed;

/// How data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Aligned tables and relative times, for people.
    Terminal,
    /// Tab-separated lines without headings, absolute times.
    Plain,
    /// One JSON document.
    Json,
    /// Ids only.
    Quiet,
}

/// Where and how a command writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// How data on stdout is shown.
    pub(crate) shape: Shape,
    /// Whether stdout takes colour.
    pub(crate) colour: bool,
    /// Whether stderr takes colour.
    pub(crate) stderr_colour: bool,
}

impl Output {
    /// From the flags, the environment and what stdout and stderr are.
    pub(crate) fn new(json: bool, quiet: bool, no_color: bool) -> Self {
        let shape = match (json, quiet) {
            (true, _) => Shape::Json,
            (false, true) => Shape::Quiet,
            (false, false) if io::stdout().is_terminal() => Shape::Terminal,
            (false, false) => Shape::Plain,
        };
        let colour = |choice: ColorChoice| !no_color && choice != ColorChoice::Never;
        Self {
            shape,
            colour: shape != Shape::Json && colour(AutoStream::choice(&io::stdout())),
            stderr_colour: colour(AutoStream::choice(&io::stderr())),
        }
    }

    /// Writes data, whole.
    pub(crate) fn bytes(self, data: &[u8]) -> Result<(), Failed> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(data)?;
        Ok(stdout.flush()?)
    }

    /// Writes a line, or lines, of data.
    pub(crate) fn line(self, text: &str) -> Result<(), Failed> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes fields separated by tabs.
    pub(crate) fn fields(self, fields: &[&str]) -> Result<(), Failed> {
        let fields: Vec<_> = fields.iter().map(|field| visible(field)).collect();
        self.line(&fields.join("\t"))
    }

    /// Writes a JSON document as the server sent it.
    pub(crate) fn document(self, document: &[u8]) -> Result<(), Failed> {
        self.line(String::from_utf8_lossy(document).trim_end())
    }

    /// Tells people something; left out with `-q`.
    pub(crate) fn note(self, text: &str) {
        if self.shape != Shape::Quiet {
            say(text);
        }
    }

    /// Says what went wrong.
    pub(crate) fn error(self, failed: &Failed) {
        if !failed.message.is_empty() {
            let text = failed.to_string();
            let text = visible(&text);
            say(&format!(
                "{} {text}",
                paint("error:", Paint::Bad, self.stderr_colour)
            ));
        }
    }
}

/// Writes a line to stderr. Where even that fails there is nobody left to tell.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A colour by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// It went well.
    Good,
    /// It is on its way.
    Busy,
    /// It went wrong.
    Bad,
    /// Beside the point.
    Dim,
}

impl Paint {
    /// The meaning of a state's or an outcome's name.
    pub(crate) fn of(state: &str) -> Option<Self> {
        match state {
            "succeeded" | "delivered" => Some(Self::Good),
            "running" | "pending" => Some(Self::Busy),
            "failed" | "abandoned" | "timed_out" | "lease_lost" | "expired" => Some(Self::Bad),
            "cancelled" | "interrupted" | "released" => Some(Self::Dim),
            _ => None,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Busy => "36",
            Self::Bad => "1;31",
            Self::Dim => "2",
        }
    }
}

/// The text in a colour, where colour is wanted.
pub(crate) fn paint(text: &str, paint: Paint, colour: bool) -> Cow<'_, str> {
    if colour {
        format!("\x1b[{}m{text}\x1b[0m", paint.code()).into()
    } else {
        text.into()
    }
}

/// The text with control characters (and the separators of lines and fields) escaped.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        let escape = |c: char| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        };
        text.chars().map(escape).collect::<String>().into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(visible("a\x1b[31mb\tc\nd\u{9b}"), "a\\u{1b}[31mb\\tc\\nd\\u{9b}");
        assert_eq!(visible("plain ünïcode"), "plain ünïcode");
    }

    #[test]
    fn colour_is_there_only_where_it_is_wanted() {
        assert_eq!(paint("x", Paint::Good, false), "x");
        assert_eq!(paint("x", Paint::Good, true), "\x1b[32mx\x1b[0m");
    }
}
