//! A job's input from the words of the command line: JSON, `@file`, `-`, or `key=value` pairs.
//!
//! Invariant: the form alone decides what is sent and as which content type; the bytes of a file are never looked
//! at.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::exit::{Exit, Failed};

/// Bytes to submit and what they are, where that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// The content type.
    pub(crate) content_type: Option<&'static str>,
    /// The bytes.
    pub(crate) bytes: Bytes,
}

/// Reads the input that `words` describe.
pub(crate) fn read(words: &[String]) -> Result<Body, Failed> {
    match words {
        [] => Ok(Body {
            content_type: None,
            bytes: Bytes::new(),
        }),
        [word] if word == "-" || word == "@-" => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(binary(bytes))
        }
        [word] if word.starts_with('@') => file(&word[1..]),
        [word] if is_json(word) => Ok(json(word.clone())),
        words
            if words.len() > 1
                && let Some(word) = words
                    .iter()
                    .find(|word| *word == "-" || word.starts_with('@') || is_json(word)) =>
        {
            let others = words.len() - 1;
            Err(Failed::usage(format!(
                "{word:?} is an input by itself, but there are {others} more"
            ))
            .next("Give one input, or pairs key=text key:=json …; --wait takes its value as --wait=5s"))
        }
        words => pairs(words).map(|object| json(object.to_string())),
    }
}

fn is_json(word: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(word).is_ok()
}

fn json(text: String) -> Body {
    Body {
        content_type: Some("application/json"),
        bytes: text.into(),
    }
}

fn binary(bytes: Vec<u8>) -> Body {
    Body {
        content_type: Some("application/octet-stream"),
        bytes: bytes.into(),
    }
}

fn file(path: &str) -> Result<Body, Failed> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failed::new(Exit::Failure, format!("cannot read the input {path:?}: {error}")))?;
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str());
    Ok(Body {
        content_type: Some(content_type(ending.unwrap_or_default())),
        ..binary(bytes)
    })
}

/// The content type of a file's ending (the IANA registry's names).
fn content_type(ending: &str) -> &'static str {
    match ending.to_ascii_lowercase().as_str() {
        "json" => "application/json",
        "ndjson" | "jsonl" => "application/x-ndjson",
        "txt" | "log" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// The value of a pair.
#[derive(Debug, PartialEq)]
pub(crate) enum Paired {
    /// `key=text`
    Text(String),
    /// `key:=json`
    Json(Value),
}

/// `key=text` and `key:=json` as one object.
fn pairs(words: &[String]) -> Result<Value, Failed> {
    let mut object = Map::new();
    for word in words {
        let (key, value) = pair(word)?;
        let value = match value {
            Paired::Text(text) => text.into(),
            Paired::Json(value) => value,
        };
        if object.insert(key.to_owned(), value).is_some() {
            return Err(Failed::usage(format!("the key {key:?} is given twice")));
        }
    }
    Ok(Value::Object(object))
}

/// One `key=text` or `key:=json`.
pub(crate) fn pair(word: &str) -> Result<(&str, Paired), Failed> {
    let (key, value) = word
        .split_once('=')
        .filter(|(key, _)| !key.is_empty() && *key != ":")
        .ok_or_else(|| {
            Failed::usage(format!("{word:?} is neither JSON nor key=value"))
                .next("Write one JSON value, @FILE, - for standard input, or key=text key:=json …")
        })?;
    let Some(key) = key.strip_suffix(':') else {
        return Ok((key, Paired::Text(value.to_owned())));
    };
    let value = serde_json::from_str(value).map_err(|error| {
        Failed::usage(format!("the value of {key:?} is not JSON: {error}"))
            .next(format!("For a text, write {key}={value}"))
    })?;
    Ok((key, Paired::Json(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &[&str]) -> Result<Body, Failed> {
        read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn check(words: &[&str], content_type: Option<&str>, bytes: &str) {
        let body = read_words(words).unwrap();
        assert_eq!(body.content_type, content_type, "{words:?}");
        assert_eq!(body.bytes, bytes, "{words:?}");
    }

    #[test]
    fn json_is_sent_as_it_was_written() {
        check(
            &[r#"{ "b":1, "a":2 }"#],
            Some("application/json"),
            r#"{ "b":1, "a":2 }"#,
        );
        check(&["17"], Some("application/json"), "17");
        check(&[r#""x=y""#], Some("application/json"), r#""x=y""#);
    }

    #[test]
    fn pairs_make_an_object() {
        check(
            &["month=2026-11", "pages:=[1,2]", "note=a=b:=c", "empty="],
            Some("application/json"),
            r#"{"empty":"","month":"2026-11","note":"a=b:=c","pages":[1,2]}"#,
        );
    }

    #[test]
    fn of_two_inputs_the_one_that_is_too_many_is_named() {
        for words in [&["\"hi\"", "5"], &["a=b", "@file"], &["-", "a=b"]] {
            let error = read_words(words).unwrap_err().to_string();
            assert!(
                error.contains("is an input by itself, but there are 1 more"),
                "{error}"
            );
        }
    }

    #[test]
    fn nothing_is_an_empty_input() {
        check(&[], None, "");
    }

    #[test]
    fn a_files_ending_is_its_type() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rain.BMP");
        std::fs::write(&path, b"{}").unwrap();
        check(&[&format!("@{}", path.display())], Some("image/bmp"), "{}");
        let missing = read_words(&["@/nonexistent/file"]).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot read the input \"/nonexistent/file\"")
        );
        assert_eq!(missing.exit, Exit::Failure);
    }

    #[test]
    fn what_is_neither_is_refused_with_the_forms_that_work() {
        for words in [
            &["{a}"][..],
            &["a"],
            &["=x"],
            &[":=1"],
            &["a=1", "b"],
            &["a=1", "a=2"],
            &["a:=x"],
        ] {
            assert_eq!(read_words(words).unwrap_err().exit, Exit::Usage, "{words:?}");
        }
        let text = read_words(&["a:=x"]).unwrap_err().to_string();
        assert!(text.ends_with("For a text, write a=x"), "{text}");
    }
}
