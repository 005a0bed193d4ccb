//! A job's bytes on their way to a person or a file: as they are, or inside JSON.
//!
//! Invariant: bytes in a pipe or a file are exactly those that the server keeps; a terminal is never sent bytes that
//! would confuse it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::client::Answer;
use crate::exit::{Exit, Failed};
use crate::named::Named;
use crate::output::Shape;
use crate::session::Session;

/// Bytes of a job on their way to a person.
#[derive(Debug)]
pub(crate) struct Parcel<'a> {
    /// What they are: `result` or `input`.
    pub(crate) what: &'static str,
    /// Whose they are.
    pub(crate) job: &'a Named,
    /// How the job ended, where that is known.
    pub(crate) outcome: Option<&'a str>,
}

/// Writes the bytes of an answer to the file, or to stdout in the shape that is asked for.
pub(crate) fn hand_over(
    session: &Session,
    parcel: &Parcel<'_>,
    answer: &Answer,
    file: Option<&Path>,
) -> Result<(), Failed> {
    let output = session.output;
    match (output.shape, file) {
        (_, Some(file)) => {
            save(file, &answer.body)?;
            output.note(&format!(
                "{} bytes written to {}",
                answer.body.len(),
                file.display()
            ));
            Ok(())
        }
        (Shape::Quiet, None) => output.line(&parcel.job.id),
        (Shape::Json, None) => output.line(&envelope(parcel, answer)),
        (Shape::Terminal, None) => on_terminal(session, parcel, answer),
        (Shape::Plain, None) => output.bytes(&answer.body),
    }
}

/// Shows bytes on a terminal, unless they would confuse it.
fn on_terminal(session: &Session, parcel: &Parcel<'_>, answer: &Answer) -> Result<(), Failed> {
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    match std::str::from_utf8(&answer.body) {
        Ok(text) if !text.contains(odd) => {
            session.output.bytes(text.as_bytes())?;
            if text.is_empty() || text.ends_with('\n') {
                Ok(())
            } else {
                session.output.line("")
            }
        }
        _ => {
            let Parcel { what, job, .. } = parcel;
            let kind = answer.header("content-type").unwrap_or("of no declared type");
            let size = answer.body.len();
            let text = format!("the {what} is {size} bytes {kind}, not text for a terminal");
            Err(Failed::new(Exit::Failure, text).next(format!(
                "Save it: {}",
                session.command(&format!("job {what} {job} -o FILE"))
            )))
        }
    }
}

/// Writes a file whole: beside it first, so that an older one is not lost half-way.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // What is there and no regular file (a pipe, /dev/null) is written to as it is.
    let plain = std::fs::metadata(path).map_or(true, |meta| meta.is_file());
    let written = if plain {
        std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path))
    } else {
        std::fs::write(path, bytes)
    };
    written.map_err(|error| {
        let _ = std::fs::remove_file(&part);
        Failed::new(Exit::Failure, format!("cannot write {}: {error}", path.display()))
    })
}

/// Bytes as one JSON document, the way the API puts them into JSON (API.md section 10).
fn envelope(parcel: &Parcel<'_>, answer: &Answer) -> String {
    let content_type = answer.header("content-type");
    let mut document = Map::new();
    document.insert("id".to_owned(), parcel.job.id.as_str().into());
    if let Some(outcome) = parcel.outcome {
        document.insert("outcome".to_owned(), outcome.into());
        document.insert("status".to_owned(), answer.status.as_u16().into());
    }
    document.insert("content_type".to_owned(), content_type.into());
    let (key, value) = in_json(content_type.unwrap_or_default(), &answer.body);
    document.insert(key.to_owned(), value);
    Value::Object(document).to_string()
}

/// Bytes inside JSON: `json` where they are JSON, `text` where they are text, `base64` otherwise.
fn in_json(content_type: &str, bytes: &[u8]) -> (&'static str, Value) {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let is_json = kind == "application/json" || kind.ends_with("+json");
    if let Some(value) = is_json.then(|| serde_json::from_slice(bytes).ok()).flatten() {
        return ("json", value);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if kind.starts_with("text/") || text.is_empty() => ("text", text.into()),
        _ => ("base64", base64(bytes).into()),
    }
}

/// RFC 4648 section 4, with padding.
/// The bytes that this base64 (RFC 4648 section 4) stands for; `None` where it is none.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut held, mut bits) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).unwrap_or_default());
        }
    }
    Some(bytes)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
            assert_eq!(from_base64(coded).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn bytes_enter_json_by_their_type() {
        assert_eq!(in_json("application/json; x=y", b"{\"a\":1}").0, "json");
        assert_eq!(in_json("application/problem+json", b"[]").0, "json");
        assert_eq!(in_json("application/json", b"{").0, "base64");
        assert_eq!(in_json("text/plain", "ü".as_bytes()), ("text", "ü".into()));
        assert_eq!(in_json("image/png", b"\x89P"), ("base64", "iVA=".into()));
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        save(&path, b"one").unwrap();
        save(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(
            save(&dir.path().join("no/dir"), b"x").unwrap_err().exit,
            Exit::Failure
        );
        save(Path::new("/dev/null"), b"x").unwrap();
    }
}
