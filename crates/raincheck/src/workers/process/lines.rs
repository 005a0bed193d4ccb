//! What a program says, line by line.
//!
//! Invariant: a line is told once and whole, unless it is longer than [`LINE_MAX`]; no more than that is kept.

/// The longest line; longer ones are cut into several.
const LINE_MAX: usize = 8 << 10;

/// Bytes on their way to becoming lines; the last line may have no end and is told when this is dropped.
pub struct Lines {
    held: Vec<u8>,
    tell: Box<dyn FnMut(&str) + Send>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Lines {
    /// Tells each line, without its end; what is not UTF-8 is replaced.
    #[must_use]
    pub fn new(tell: impl FnMut(&str) + Send + 'static) -> Self {
        Self {
            held: Vec::new(),
            tell: Box::new(tell),
        }
    }

    /// Takes more bytes.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.held.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.tell();
        }
        for piece in bytes.chunks(LINE_MAX) {
            self.held.extend_from_slice(piece);
            if self.held.len() >= LINE_MAX {
                self.tell();
            }
        }
    }

    fn tell(&mut self) {
        let line = String::from_utf8_lossy(&self.held);
        (self.tell)(line.trim_end_matches('\r'));
        self.held.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            self.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn every_line_is_told_once_however_its_bytes_come() {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let heard = told.clone();
        let mut lines = Lines::new(move |line| heard.lock().unwrap().push(line.to_owned()));
        for bytes in [&b"on"[..], b"e\ntwo\r\n\nthr", b"ee \xff"] {
            lines.take(bytes);
        }
        drop(lines);
        assert_eq!(*told.lock().unwrap(), ["one", "two", "", "three \u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let told = Arc::<Mutex<Vec<usize>>>::default();
        let heard = told.clone();
        let mut lines = Lines::new(move |line| heard.lock().unwrap().push(line.len()));
        lines.take(&vec![b'x'; 3 * LINE_MAX]);
        assert_eq!(*told.lock().unwrap(), [LINE_MAX; 3]);
    }
}
