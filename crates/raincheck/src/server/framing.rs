//! Finds heads that say their body's length twice, which hyper merges without a word where both say the same; and tells whether more
//! came with a head than itself.
//!
//! RFC 9112 section 6.3 lets a server merge or refuse them; a proxy in front may see it otherwise, so they are refused.
//! Invariant: this only watches; what the bytes mean is for hyper alone to decide. After a chunked body, whose end it
//! does not look for, it sleeps until the connection is idle again.

/// A marker in a request's extensions: its head says the body's length twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LengthTwice;

/// So much of a line is looked at: a name, a colon and a number with some space around.
const LOOKED_AT: usize = 64;

#[derive(Debug, Default)]
enum At {
    /// At a line's first byte.
    #[default]
    Start,
    /// In a line that may be of interest; its start is collected.
    Collecting,
    /// In a line that is of none.
    Skipping,
    /// In a body of which so many bytes are left.
    Body(u64),
    /// In a body whose end is not known.
    Asleep,
}

/// Watches one connection's incoming bytes.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    at: At,
    line: Vec<u8>,
    /// Whether the head's first line was there.
    begun: bool,
    lengths: u32,
    length: Option<u64>,
    chunked: bool,
    /// Heads so far.
    heads: u32,
    /// Whether something came behind the last head, together with its end.
    more: bool,
}

impl Framing {
    /// Takes in the next bytes; gives back which head said its length twice, counted from 1.
    pub(crate) fn watch(&mut self, mut bytes: &[u8]) -> Option<u32> {
        let mut twice = None;
        while let Some(first) = bytes.first() {
            match &mut self.at {
                At::Asleep => return twice,
                At::Body(left) => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= skipped as u64;
                    bytes = &bytes[skipped..];
                    if *left == 0 {
                        self.at = At::Start;
                    }
                }
                At::Start => {
                    let interesting = matches!(first, b'c' | b'C' | b't' | b'T' | b'\r' | b'\n');
                    self.line.clear();
                    self.at = if interesting { At::Collecting } else { At::Skipping };
                }
                At::Collecting | At::Skipping => {
                    let end = memchr::memchr(b'\n', bytes);
                    let part = &bytes[..end.unwrap_or(bytes.len())];
                    if matches!(self.at, At::Collecting) {
                        let room = LOOKED_AT.saturating_sub(self.line.len()).min(part.len());
                        self.line.extend_from_slice(&part[..room]);
                    }
                    bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
                    if end.is_some() && self.line_ended() {
                        twice = twice.or((self.lengths > 1).then_some(self.heads));
                        self.head_ended();
                        self.more = !bytes.is_empty();
                    }
                }
            }
        }
        twice
    }

    /// Whether the last head came with something behind it.
    pub(super) const fn more(&self) -> bool {
        self.more
    }

    /// The connection is idle and `requests` were read: what comes next is a head.
    pub(super) fn wake(&mut self, requests: u32) {
        if matches!(self.at, At::Asleep) {
            *self = Self {
                heads: requests,
                ..Self::default()
            };
        }
    }

    /// Whether the line that ended was the head's last.
    fn line_ended(&mut self) -> bool {
        let collected = matches!(std::mem::take(&mut self.at), At::Collecting);
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if collected && line.is_empty() {
            // Empty lines before a head are no head's end (RFC 9112 section 2.2).
            self.heads += u32::from(self.begun);
            return self.begun;
        }
        if !std::mem::replace(&mut self.begun, true) || !collected {
            return false;
        }
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            let digits = std::str::from_utf8(&value[1.min(value.len())..])
                .unwrap_or_default()
                .trim();
            self.length = digits.parse().ok();
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
        false
    }

    fn head_ended(&mut self) {
        let unknown = self.chunked || (self.lengths > 0 && self.length.is_none());
        self.at = match self.length {
            _ if unknown => At::Asleep,
            None | Some(0) => At::Start,
            Some(length) => At::Body(length),
        };
        (self.begun, self.lengths, self.length, self.chunked) = (false, 0, None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the bytes whole, and cut at every place, which must make no difference.
    fn twice(bytes: &str) -> Option<u32> {
        let whole = Framing::default().watch(bytes.as_bytes());
        for cut in 0..bytes.len() {
            let (one, two) = bytes.as_bytes().split_at(cut);
            let mut framing = Framing::default();
            let first = framing.watch(one);
            assert_eq!(first.or(framing.watch(two)), whole, "cut at {cut}: {bytes:?}");
        }
        whole
    }

    #[test]
    fn a_length_said_twice_is_found_in_any_head() {
        let once = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nC:a\r\n";
        let doubled =
            "POST / HTTP/1.1\r\ncontent-length:5\r\nX: Content-Length\r\nCONTENT-LENGTH:  5 \r\n\r\nabcde";
        assert_eq!(twice(once), None);
        assert_eq!(twice(doubled), Some(1));
        assert_eq!(
            twice(&format!("{once}{once}\r\n{doubled}{once}")),
            Some(3),
            "bodies are skipped"
        );
        assert_eq!(
            twice(&format!("GET / HTTP/1.1\n\n{doubled}")),
            Some(2),
            "bare line feeds end lines too"
        );
    }

    #[test]
    fn what_looks_like_it_is_not_it() {
        for head in [
            "Content-Length: 1\r\nContent-Length-X: 1\r\n",
            "Content-Length: 1\r\nX-Content-Length: 1\r\n",
            "Content-Length: 1\r\nTE: trailers\r\n",
            "Content-Length: 1\r\nCookie: Content-Length: 1\r\n",
        ] {
            assert_eq!(twice(&format!("POST / HTTP/1.1\r\n{head}\r\n\n")), None, "{head}");
        }
        assert_eq!(
            twice("Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
            None,
            "the first line is no header"
        );
    }

    #[test]
    fn after_a_chunked_body_it_sleeps_until_woken() {
        let doubled = "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        let mut framing = Framing::default();
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(framing.watch(chunked.as_bytes()), None);
        assert_eq!(framing.watch(doubled.as_bytes()), None, "this might be a chunk");
        framing.wake(7);
        assert_eq!(framing.watch(doubled.as_bytes()), Some(8));
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut framing = Framing::default();
        framing.watch(b"GET / HTTP/1.1\r\n");
        for _ in 0..10_000 {
            framing.watch(&[b'c'; 100]);
        }
        assert!(framing.line.capacity() <= 2 * LOOKED_AT);
    }
}
