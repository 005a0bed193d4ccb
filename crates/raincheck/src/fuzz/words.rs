//! Single words and values.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use raincheck_core::batch::BatchId;
use raincheck_core::id::{JobId, LeaseId};
use raincheck_core::key::{KeyId, Token};
use raincheck_core::limit::Rate;
use raincheck_core::name::{GroupName, Namespace, QueueName, Tag, UniqueValue, WorkerName};
use raincheck_core::queue::ByteSize;
use raincheck_core::retry::Backoff;
use raincheck_core::time::{Timestamp, format_duration, parse_duration};
use raincheck_core::unique::Unique;

use crate::api::text;
use crate::outward::target::Range;

/// The bytes as text, where they are.
pub(super) fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// What is read is written so that it reads the same again, and writing that changes nothing.
pub(super) fn again<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(read) = text.parse::<T>() else { return };
    let written = read.to_string();
    let Ok(second) = written.parse::<T>() else {
        panic!("{text:?} is written {written:?}, which is none");
    };
    assert_eq!(second, read, "{text:?} is written {written:?}");
    assert_eq!(second.to_string(), written);
}

/// The same, and there is one spelling only.
pub(super) fn exact<T: FromStr + Display>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text, "another spelling");
    }
}

pub(super) fn ids(bytes: &[u8]) {
    let text = text_of(bytes);
    exact::<JobId>(text);
    exact::<BatchId>(text);
    exact::<LeaseId>(text);
    exact::<KeyId>(text);
}

pub(super) fn names(bytes: &[u8]) {
    let text = text_of(bytes);
    let plain = [Namespace::new(text).is_ok(), QueueName::new(text).is_ok()];
    assert_eq!(plain[0], plain[1]);
    for printable in [
        GroupName::new(text).is_ok(),
        WorkerName::new(text).is_ok(),
        Tag::new(text).is_ok(),
    ] {
        assert!(
            !printable || !text.is_empty() && !text.chars().any(char::is_control),
            "{text:?}"
        );
        assert!(!plain[0] || printable, "what is plain is printable: {text:?}");
    }
    if UniqueValue::new(text).is_ok() {
        assert!(!text.contains('\0'));
    }
}

pub(super) fn times(bytes: &[u8]) {
    let text = text_of(bytes);
    again::<Timestamp>(text);
    if let Ok(duration) = parse_duration(text) {
        let written = format_duration(duration);
        assert_eq!(
            parse_duration(&written),
            Ok(duration),
            "{text:?} is written {written:?}"
        );
    }
}

pub(super) fn amounts(bytes: &[u8]) {
    let text = text_of(bytes);
    again::<ByteSize>(text);
    again::<Rate>(text);
}

pub(super) fn backoff(bytes: &[u8]) {
    again::<Backoff>(text_of(bytes));
}

pub(super) fn unique(bytes: &[u8]) {
    again::<Unique>(text_of(bytes));
}

pub(super) fn keys(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Some(token) = Token::read(bytes) {
        assert_eq!(token.reveal(), text, "another spelling");
        assert!(!format!("{token:?}").contains(&text[13..]), "a secret is shown");
    }
}

pub(super) fn ranges(bytes: &[u8]) {
    let text = text_of(bytes);
    let Ok(range) = text.parse::<Range>() else { return };
    let first = text.split('/').next().unwrap_or_default();
    if let Ok(address) = first.parse() {
        assert!(range.holds(address), "{text:?} does not hold its own address");
    }
}

pub(super) fn base64(bytes: &[u8]) {
    assert_eq!(text::base64(&text::to_base64(bytes)).as_deref(), Some(bytes));
    let text = text_of(bytes);
    if let Some(decoded) = text::base64(text) {
        assert_eq!(text::to_base64(&decoded), text, "another spelling");
    }
}

pub(super) fn form(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Some(decoded) = text::form_decoded(text) {
        assert!(decoded.len() <= text.len());
    }
    let short = text::short(text);
    assert!(
        short.len() <= 64 * 4 + 3 && !short.chars().any(char::is_control),
        "{short:?}"
    );
}
