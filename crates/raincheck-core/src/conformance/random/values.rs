//! Draws the parts that commands are made of.
//!
//! Invariant: names are few, so that commands meet each other.

use std::time::Duration;

use bytes::Bytes;

use super::rng::Rng;
use crate::content::JobResult;
use crate::decide::Patch;
use crate::group::GroupSpec;
use crate::job::{Options, State};
use crate::limit::Rate;
use crate::list::Filter;
use crate::name::{GroupName, QueueName, Tag, UniqueValue};
use crate::queue::{ByteSize, QueueSpec, Worker};
use crate::retry::{Backoff, mix};
use crate::store::{Idempotency, Store};
use crate::time::Timestamp;
use crate::unique::{Hold, OnConflict, Unique};

pub(super) fn some<T>(rng: &mut Rng, once_in: u64, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.one_in(once_in).then(|| value(rng))
}

pub(super) fn queue(rng: &mut Rng) -> QueueName {
    let names = ["a", "a", "a", "a", "a", "b", "b", "b", "c", "d"];
    let name = rng.pick(&names).copied().unwrap_or("a");
    QueueName::new(name).expect("the name is plain")
}

/// A queue whose end can come: the others are hardly ever empty.
pub(super) fn quiet_queue(rng: &mut Rng) -> QueueName {
    let name = rng.pick(&["c", "d", "d", "d"]).copied().unwrap_or("d");
    QueueName::new(name).expect("the name is plain")
}

pub(super) fn tags(rng: &mut Rng) -> Vec<Tag> {
    let tags = ["t1", "t2", "t3"].into_iter().filter(|_| rng.one_in(4));
    tags.map(|tag| Tag::new(tag).expect("the name is plain"))
        .collect()
}

pub(super) fn group(rng: &mut Rng) -> GroupName {
    let name = rng.pick(&["g1", "g2", "g3"]).copied().unwrap_or("g1");
    GroupName::new(name).expect("the name is plain")
}

pub(super) fn priority(rng: &mut Rng) -> u8 {
    u8::try_from(rng.between(4, 6)).unwrap_or(5)
}

pub(super) fn patch(rng: &mut Rng, store: &dyn Store) -> Patch {
    Patch {
        priority: some(rng, 2, priority),
        run_at: some(rng, 3, |rng| store.now().plus(rng.seconds(0, 60))),
        tags: some(rng, 3, tags),
        if_version: some(rng, 4, |rng| u32::try_from(rng.between(1, 2)).unwrap_or(1)),
    }
}

pub(super) fn filter(rng: &mut Rng, store: &dyn Store) -> Filter {
    let states = [
        State::Scheduled,
        State::Queued,
        State::Running,
        State::Succeeded,
        State::Failed,
        State::Cancelled,
        State::Expired,
    ];
    let before = |rng: &mut Rng| {
        let millis = store
            .now()
            .as_millis()
            .saturating_sub_unsigned(rng.below(100_000));
        Timestamp::from_millis(millis)
    };
    Filter {
        queue: some(rng, 3, queue),
        state: some(rng, 2, |rng| rng.pick(&states).copied().unwrap_or(State::Queued)),
        tag: some(rng, 4, |_| Tag::new("t1").expect("the name is plain")),
        group: some(rng, 4, group),
        batch: None,
        submitted_after: some(rng, 5, before),
        submitted_before: some(rng, 5, before),
    }
}

pub(super) fn options(rng: &mut Rng) -> Options {
    Options {
        start_before: some(rng, 6, |rng| rng.seconds(1, 90)),
        timeout: some(rng, 5, |rng| rng.seconds(2, 60)),
        deadline: some(rng, 6, |rng| rng.seconds(1, 200)),
        max_attempts: some(rng, 2, |rng| u32::try_from(rng.between(1, 4)).unwrap_or(1)),
        backoff: some(rng, 3, |rng| Backoff::Constant {
            base: rng.seconds(0, 20),
        }),
        keep: some(rng, 4, |rng| rng.seconds(60, 20_000)),
        tags: tags(rng),
        unique: some(rng, 2, unique),
        callback: None,
        traceparent: None,
        tracestate: None,
    }
}

pub(super) fn unique(rng: &mut Rng) -> Unique {
    let value = rng.pick(&["u1", "u1", "u2", "u3"]).copied().unwrap_or("u1");
    let holds = [Hold::Queued, Hold::Active, Hold::Kept];
    let wishes = [
        OnConflict::Reject,
        OnConflict::Attach,
        OnConflict::Replace,
        OnConflict::Replace,
    ];
    Unique {
        value: UniqueValue::new(value).expect("the name is plain"),
        hold: rng.pick(&holds).copied().unwrap_or_default(),
        on_conflict: rng.pick(&wishes).copied().unwrap_or_default(),
    }
}

pub(super) fn body(rng: &mut Rng) -> Bytes {
    let len = if rng.one_in(40) {
        rng.between(60_000, 70_000)
    } else {
        rng.below(40)
    };
    let salt = rng.next();
    (0..len).map(|n| mix(salt ^ n).to_le_bytes()[0]).collect()
}

pub(super) fn idempotency(rng: &mut Rng) -> Idempotency {
    let fingerprint = if rng.one_in(4) { [2; 32] } else { [1; 32] };
    Idempotency {
        key: format!("k{}", rng.below(12)),
        fingerprint,
    }
}

pub(super) fn result(rng: &mut Rng) -> JobResult {
    JobResult::new(200, None, Vec::new(), body(rng))
}

/// A rate and its burst, if any.
pub(super) fn rate(rng: &mut Rng) -> (Option<Rate>, Option<u32>) {
    let rates = ["1/s", "3/s", "7/m", "40/m"];
    let rate = some(rng, 5, |rng| rng.pick(&rates).and_then(|rate| rate.parse().ok())).flatten();
    let burst = rate.and_then(|_| some(rng, 2, |rng| u32::try_from(rng.between(1, 5)).unwrap_or(1)));
    (rate, burst)
}

pub(super) fn group_spec(rng: &mut Rng) -> GroupSpec {
    let (rate, burst) = rate(rng);
    GroupSpec {
        concurrency: some(rng, 2, |rng| u32::try_from(rng.between(1, 2)).unwrap_or(1)),
        rate,
        burst,
    }
}

pub(super) fn spec(rng: &mut Rng) -> QueueSpec {
    let (rate, burst) = rate(rng);
    QueueSpec {
        worker: some(rng, 4, |_| Worker::Push(vec!["http://localhost:1/".to_owned()])),
        concurrency: some(rng, 2, |rng| u32::try_from(rng.between(1, 4)).unwrap_or(1)),
        rate,
        burst,
        depth: some(rng, 3, |rng| rng.between(1, 15)),
        depth_bytes: some(rng, 8, |rng| ByteSize(rng.between(1, 400))),
        group_defaults: some(rng, 4, group_spec),
        fair: some(rng, 4, |rng| rng.one_in(2)),
        result_max: some(rng, 2, |rng| ByteSize(rng.between(1, 200))),
        timeout: some(rng, 4, |rng| rng.seconds(5, 100)),
        cancel_grace: some(rng, 2, |rng| rng.seconds(0, 20)),
        max_attempts: some(rng, 3, |rng| u32::try_from(rng.between(1, 6)).unwrap_or(1)),
        keep: some(rng, 3, |rng| rng.seconds(60, 20_000)),
        keep_failed: some(rng, 3, |rng| rng.seconds(60, 20_000)),
        ..QueueSpec::default()
    }
}

pub(super) fn span(rng: &mut Rng) -> Duration {
    match rng.below(100) {
        0..50 => rng.millis(1, 3_000),
        50..88 => rng.seconds(3, 70),
        88..94 => rng.seconds(70, 7_000),
        _ => rng.seconds(70_000, 100_000),
    }
}
