//! JSON documents and lines.

use bytes::Bytes;
use http_body_util::Full;
use raincheck_core::queue::QueueSpec;

use super::words::text_of;
use crate::api::wire::content::{self, Shown};
use crate::api::wire::lease::{Act, ClaimAsked, Entry};
use crate::api::wire::many::{ENTRIES_MAX, Entries};
use crate::api::wire::submit::Submission;
use crate::api::wire::{bulk, group, key, patch};
use crate::room::Room;
use crate::server::{BodyPace, Lines, Piece};

pub(super) fn submission(bytes: &[u8]) {
    let read = Submission::read(bytes);
    let line = Submission::read_line(bytes, None, None);
    match read {
        Ok(read) => {
            let queue = read.queue.clone();
            assert!(read.body.len() <= bytes.len());
            // The same as a line, but for space before it.
            assert!(line.is_ok_and(|line| line.queue == queue) || bytes.first() != Some(&b'{'));
        }
        Err(problem) => assert!(problem.detail().len() < 1_000, "{}", problem.detail()),
    }
}

pub(super) fn entries(bytes: &[u8]) {
    if let Ok(entries) = Entries::of_lines(bytes) {
        assert!(entries.0.len() <= ENTRIES_MAX);
        assert!(
            entries
                .0
                .iter()
                .all(|line| !line.is_empty() && !line.contains(&b'\n'))
        );
    }
    if let Ok(entries) = Entries::of_array(bytes) {
        for entry in &entries.0 {
            assert!(
                serde_json::from_slice::<serde::de::IgnoredAny>(entry).is_ok(),
                "an element is JSON"
            );
        }
    }
}

pub(super) fn lines(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let found = runtime.expect("a runtime").block_on(async {
        let body = Full::new(Bytes::copy_from_slice(bytes));
        let mut lines = Lines::new(body, 32, BodyPace::default(), &Room::new(1 << 20));
        let (mut whole, mut long) = (Vec::new(), 0);
        while let Ok(Some(piece)) = lines.next().await {
            match piece {
                Piece::Line(line) => whole.push(line),
                Piece::TooLong => long += 1,
                Piece::Pause => {}
            }
        }
        (whole, long)
    });
    let expected = bytes.split(|b| *b == b'\n');
    let long = expected.clone().filter(|line| line.len() > 32).count();
    let fit = expected.filter(|line| line.len() <= 32).map(<[u8]>::trim_ascii);
    let fit: Vec<_> = fit
        .filter(|line| !line.is_empty())
        .map(Bytes::copy_from_slice)
        .collect();
    assert_eq!(found, (fit, long));
}

pub(super) fn documents(bytes: &[u8]) {
    for detail in [
        key::KeyAsked::read(bytes).err(),
        bulk::Bulk::read(bytes).err(),
        patch::read(bytes).err(),
    ]
    .into_iter()
    .flatten()
    .map(|problem| problem.detail().to_owned())
    {
        assert!(detail.len() < 1_000, "{detail}");
    }
    let _ = group::read(bytes).is_ok();
}

/// What workers send: claims, and what becomes of leases.
pub(super) fn leases(bytes: &[u8]) {
    if let Ok(claim) = ClaimAsked::read(bytes) {
        assert!((1..=100).contains(&claim.max), "{}", claim.max);
    }
    for action in ["renew", "fail", "release", "emit"] {
        if let Err(problem) = Act::read(action, bytes) {
            assert!(problem.detail().len() < 1_000, "{}", problem.detail());
        }
    }
    if let Ok(entry) = Entry::read(bytes)
        && let Act::Succeed(result) = &entry.act
    {
        assert!(result.body.len() <= bytes.len() && matches!(result.status, 200..=299 | 400..=599));
    }
}

pub(super) fn settings(bytes: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<QueueSpec>(bytes) else {
        return;
    };
    if let Err(bad) = crate::workers::check(&spec) {
        assert!(bad.pointer.starts_with('/'), "{}", bad.pointer);
    }
    let written = serde_json::to_vec(&spec).expect("settings are JSON");
    let again: QueueSpec = serde_json::from_slice(&written).expect("what was written is read");
    assert_eq!(again, spec, "{}", text_of(&written));
}

pub(super) fn shown(bytes: &[u8]) {
    match content::shown(Some("application/json"), false, bytes) {
        Shown::Json(json) => {
            assert_eq!(json.get().as_bytes(), bytes.trim_ascii());
            assert!(
                serde_json::from_slice::<serde_json::Value>(bytes).is_ok(),
                "a strict reader takes it"
            );
        }
        Shown::Base64(text) => assert_eq!(crate::api::text::base64(&text).as_deref(), Some(bytes)),
        Shown::Text(_) | Shown::TooLarge => {}
    }
}
