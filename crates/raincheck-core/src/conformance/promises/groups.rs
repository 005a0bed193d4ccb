//! Promises about limits of groups: never exceeded, and a group at its limit stands in nobody's way.

use super::kit::{Draft, Kit, TERM, Take, fail_after, h, queue_name, release, s, succeed};
use crate::group::GroupSpec;
use crate::limit::HeldBy;
use crate::name::GroupName;
use crate::queue::QueueSpec;
use crate::store::{Leased, QueueRefused};

fn name(group: &str) -> GroupName {
    GroupName::new(group).expect("promises name groups well")
}

fn limits(concurrency: Option<u32>, rate: Option<&str>) -> GroupSpec {
    GroupSpec {
        concurrency,
        rate: rate.map(|rate| rate.parse().expect("promises write rates well")),
        burst: None,
    }
}

async fn bounded(kit: &Kit, defaults: GroupSpec) {
    let spec = QueueSpec {
        group_defaults: Some(defaults),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
}

async fn write(kit: &Kit, group: &str, spec: Option<GroupSpec>) {
    let answer = kit.store.put_group(&kit.ns, &queue_name("q"), &name(group), spec);
    let status = answer
        .await
        .expect("the store answers")
        .expect("the queue is there");
    assert_eq!(status.written, spec);
}

/// How many of each of these groups are among the leased.
fn of<const N: usize>(leased: &[Leased], groups: [&str; N]) -> [usize; N] {
    groups.map(|group| {
        let of = leased
            .iter()
            .filter(|leased| leased.job.group.as_ref().map_or("", GroupName::as_str) == group);
        of.count()
    })
}

pub async fn a_groups_concurrency_is_never_exceeded(kit: Kit) {
    bounded(&kit, limits(Some(2), None)).await;
    kit.submit_many(&Draft::of("a"), 9).await;
    kit.submit_many(&Draft::of("b"), 9).await;
    let mut held = kit.claim_up_to(3).await;
    held.extend(kit.claim_up_to(9).await);
    assert_eq!(of(&held, ["a", "b"]), [2, 2]);
    assert!(kit.claim_up_to(9).await.is_empty());
    let ends = [succeed("yes"), release(s(0)), fail_after(s(0))];
    for end in ends {
        let at = held.iter().position(|leased| leased.job.group == Some(name("a")));
        let ended = held.remove(at.expect("two of them run"));
        kit.settle(&ended.job, end).await.expect("the lease is held");
        let next = kit.claim_up_to(9).await;
        assert_eq!(
            of(&next, ["a", "b"]),
            [1, 0],
            "each end gives its place back to its group"
        );
        held.extend(next);
    }
    kit.advance(TERM);
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.reclaim().await;
    assert_eq!(of(&kit.claim_up_to(9).await, ["a", "b"]), [2, 2]);
}

pub async fn a_groups_rate_lets_so_many_start(kit: Kit) {
    bounded(&kit, limits(None, Some("2/s"))).await;
    kit.submit_many(&Draft::of("a"), 9).await;
    kit.submit_many(&Draft::of("b"), 3).await;
    kit.submit_many(&Draft::default(), 4).await;
    assert_eq!(
        of(&kit.claim_up_to(99).await, ["a", "b", ""]),
        [2, 2, 4],
        "jobs of nobody are bound by no group's limit"
    );
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.advance(s(1));
    assert_eq!(of(&kit.claim_up_to(9).await, ["a", "b"]), [2, 1]);
    kit.advance(h(1));
    assert_eq!(of(&kit.claim_up_to(9).await, ["a", "b"]), [2, 0]);
}

pub async fn a_group_at_its_limit_takes_nobodys_turn(kit: Kit) {
    bounded(&kit, limits(Some(1), None)).await;
    kit.submit_many(&Draft::of("a"), 4).await;
    kit.submit_many(&Draft::of("b"), 4).await;
    let first = kit.claim_up_to(9).await;
    assert_eq!(of(&first, ["a", "b"]), [1, 1]);
    kit.submit_many(&Draft::of("c"), 1).await;
    let c = kit.claim_up_to(1).await;
    assert_eq!(
        of(&c, ["a", "b", "c"]),
        [0, 0, 1],
        "whoever waits before it is at a limit"
    );
    for leased in &first {
        kit.settle(&leased.job, succeed("yes"))
            .await
            .expect("the lease is held");
    }
    assert_eq!(of(&kit.claim_up_to(9).await, ["a", "b"]), [1, 1]);
}

pub async fn what_is_written_for_a_group_beats_the_defaults(kit: Kit) {
    bounded(&kit, limits(Some(1), Some("3/s"))).await;
    write(&kit, "big", Some(limits(Some(3), None))).await;
    write(&kit, "slow", Some(limits(Some(9), Some("1/m")))).await;
    for group in ["big", "slow", "plain"] {
        kit.submit_many(&Draft::of(group), 9).await;
    }
    let groups = ["big", "slow", "plain"];
    assert_eq!(of(&kit.claim_up_to(99).await, groups), [3, 1, 1]);
    write(&kit, "slow", None).await;
    write(&kit, "plain", Some(limits(Some(2), None))).await;
    assert_eq!(
        of(&kit.claim_up_to(99).await, groups),
        [0, 0, 1],
        "in force at once, and those that run count"
    );
    kit.put("q", QueueSpec::default()).await;
    assert_eq!(
        of(&kit.claim_up_to(99).await, groups),
        [0, 8, 0],
        "what is written for a group stays"
    );
}

pub async fn limits_of_groups_that_are_set_late_count_what_runs(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::of("a"), 9).await;
    let held = kit.claim_up_to(3).await;
    bounded(&kit, limits(Some(4), None)).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    bounded(&kit, limits(Some(2), None)).await;
    for leased in &held[..2] {
        kit.settle(&leased.job, succeed("yes"))
            .await
            .expect("the lease is held");
    }
    assert!(kit.claim_up_to(9).await.is_empty(), "two still run");
    kit.settle(&held[2].job, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_queue_that_is_not_fair_has_one_order(kit: Kit) {
    let spec = QueueSpec {
        fair: Some(false),
        group_defaults: Some(limits(Some(3), None)),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    kit.submit_many(&Draft::of("a"), 4).await;
    kit.submit_many(&Draft::of("b"), 1).await;
    let urgent = Draft {
        priority: 0,
        ..Draft::of("c")
    };
    kit.submit(urgent).await;
    let mut order = Vec::new();
    for _ in 0..5 {
        let job = kit.claim_one().await;
        order.push(job.group.clone().expect("each has one").to_string());
    }
    assert_eq!(order, ["c", "a", "a", "a", "b"]);
    assert!(kit.claim_up_to(9).await.is_empty());
}

pub async fn a_job_says_that_its_groups_limit_holds_it(kit: Kit) {
    bounded(&kit, limits(Some(1), Some("1/m"))).await;
    kit.submit_many(&Draft::of("a"), 1).await;
    let waits = kit.submit(Draft::of("a")).await;
    let waits = kit.get(waits).await;
    let held = async || {
        let standing = kit.store.standing(&kit.ns, &waits).await;
        let standing = standing.expect("the store answers").expect("the queue is there");
        assert_eq!(standing.held, None);
        standing.group_held.map(|held| (held.by, held.until))
    };
    assert_eq!(held().await, None);
    let until = kit.store.now().plus(s(60));
    let runs = kit.claim_one().await;
    assert_eq!(held().await, Some((HeldBy::Concurrency, None)));
    kit.settle(&runs, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(held().await, Some((HeldBy::Rate, Some(until))));
    kit.advance(s(60));
    assert_eq!(held().await, None);
}

pub async fn a_group_is_its_queues_own(kit: Kit) {
    bounded(&kit, limits(Some(1), None)).await;
    kit.put("other", QueueSpec::default()).await;
    kit.submit_many(&Draft::of("a"), 3).await;
    let other = Draft {
        queue: "other",
        ..Draft::of("a")
    };
    kit.submit_many(&other, 3).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    let take = Take {
        queue: "other",
        count: 9,
        ..Take::default()
    };
    assert_eq!(kit.take(take).await.len(), 3);
    let nowhere = queue_name("nowhere");
    let put = kit.store.put_group(&kit.ns, &nowhere, &name("a"), None).await;
    assert_eq!(put.expect("the store answers"), Err(QueueRefused::Unknown));
    let read = kit.store.group(&kit.ns, &nowhere, &name("a")).await;
    assert_eq!(read.expect("the store answers"), None);
}

pub async fn what_is_written_for_groups_ends_with_their_queue(kit: Kit) {
    kit.q().await;
    write(&kit, "a", Some(limits(Some(1), None))).await;
    let gone = kit.store.delete_queue(&kit.ns, &queue_name("q")).await;
    assert_eq!(gone.expect("the store answers"), Ok(()));
    kit.q().await;
    kit.submit_many(&Draft::of("a"), 3).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 3);
}

pub async fn many_groups_at_their_limits_let_others_start(kit: Kit) {
    const GROUPS: usize = 40;
    bounded(&kit, limits(Some(1), None)).await;
    let names: Vec<String> = (0..GROUPS).map(|n| format!("g{n}")).collect();
    for name in &names {
        let group: &'static str = Box::leak(name.clone().into_boxed_str());
        kit.submit_many(&Draft::of(group), 2).await;
    }
    let mut held = Vec::new();
    while held.len() < GROUPS {
        let more = kit.claim_up_to(100).await;
        assert!(!more.is_empty(), "{} of {GROUPS}", held.len());
        held.extend(more);
    }
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.submit_many(&Draft::of("last"), 1).await;
    assert_eq!(of(&kit.claim_up_to(9).await, ["last"]), [1]);
}

pub async fn a_claim_passes_over_the_groups_that_it_names(kit: Kit) {
    bounded(&kit, limits(Some(3), None)).await;
    kit.submit_many(&Draft::of("a"), 5).await;
    kit.submit_many(&Draft::of("b"), 2).await;
    let take = |passing_over, count| {
        kit.take(Take {
            count,
            passing_over,
            ..Take::default()
        })
    };
    let first = take(&["a", "nobody"], 9).await;
    assert_eq!(of(&first, ["a", "b"]), [0, 2]);
    assert!(take(&["a"], 9).await.is_empty());
    kit.submit_many(&Draft::of("b"), 1).await;
    assert_eq!(of(&take(&["b"], 2).await, ["a", "b"]), [2, 0]);
    assert_eq!(
        of(&take(&[], 9).await, ["a", "b"]),
        [1, 1],
        "the next one is free to take them, as far as their limits go"
    );
    assert!(
        take(&["b"], 9).await.is_empty(),
        "to be passed over lifts no limit"
    );
    assert!(take(&["a"], 9).await.is_empty());
    assert!(take(&[], 9).await.is_empty());
}
