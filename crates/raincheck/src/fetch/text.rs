//! Text as a JSON string, for lines of which it is by far the longest part.
//!
//! Invariant: it is written byte for byte as `serde_json` writes it.

/// So many bytes are looked at together: the compiler makes a few instructions of that.
const PIECE: usize = 32;

/// Writes it, between its quotes.
pub(super) fn write(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let (pieces, rest) = text.as_bytes().as_chunks::<PIECE>();
    for piece in pieces {
        if piece.iter().fold(false, |any, byte| any | escaped(*byte)) {
            one_by_one(out, piece);
        } else {
            out.extend_from_slice(piece);
        }
    }
    one_by_one(out, rest);
    out.push(b'"');
}

/// Whether a byte may not stand within a JSON string (RFC 8259 section 7).
const fn escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn one_by_one(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let letter = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..b' ' => {
                let hex = |half: u8| b"0123456789abcdef"[usize::from(half)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
                continue;
            }
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let mut written = Vec::new();
        write(&mut written, text);
        assert_eq!(
            String::from_utf8(written).unwrap(),
            serde_json::to_string(text).unwrap()
        );
    }

    #[test]
    fn text_is_written_as_any_json_is() {
        let plain = "It is raining cats and dogs, ä day and 雨 night. ".repeat(3);
        check(&plain);
        for at in 0..PIECE * 2 + 1 {
            if !plain.is_char_boundary(at) {
                continue;
            }
            for byte in 0..=0x7f_u8 {
                let mut text = plain[..PIECE * 3].to_owned();
                text.insert(at, char::from(byte));
                check(&text);
                check(&text[..=at]);
            }
        }
    }
}
