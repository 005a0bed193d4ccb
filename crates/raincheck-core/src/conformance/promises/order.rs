//! Promises about who is next: groups in turn; within a group priority, then due time, then id.

use std::collections::BTreeSet;

use super::kit::{Draft, Kit, fail_after, ms, release, s};
use crate::id::JobId;
use crate::store::Leased;

fn ids(leased: &[Leased]) -> Vec<JobId> {
    leased.iter().map(|leased| leased.job.id).collect()
}

/// The groups of these jobs, with "" for none.
fn groups(leased: &[Leased]) -> Vec<String> {
    let groups = leased.iter().map(|leased| leased.job.group.as_ref());
    groups
        .map(|group| group.map_or(String::new(), ToString::to_string))
        .collect()
}

pub async fn jobs_are_claimed_in_the_order_of_their_ids(kit: Kit) {
    kit.q().await;
    let submitted = kit.submit_many(&Draft::default(), 20).await;
    let mut claimed = ids(&kit.claim_up_to(3).await);
    claimed.extend(ids(&kit.claim_up_to(1).await));
    claimed.extend(ids(&kit.claim_up_to(100).await));
    assert_eq!(claimed, submitted);
}

pub async fn priority_goes_before_due_time_and_that_before_id(kit: Kit) {
    kit.q().await;
    kit.advance(s(100));
    let submit = async |priority, ago: u64| {
        // Due before it was accepted is due at once, so the due times lie ahead and the clock follows.
        let delay = Some(s(100 - ago));
        kit.submit(Draft {
            priority,
            delay,
            ..Draft::default()
        })
        .await
    };
    let late = submit(5, 1).await;
    let early = submit(5, 9).await;
    let twin = submit(5, 9).await;
    let urgent_late = submit(0, 0).await;
    let urgent = submit(0, 1).await;
    let idle = submit(9, 50).await;
    kit.advance(s(100));
    let claimed = ids(&kit.claim_up_to(9).await);
    assert_eq!(claimed, [urgent, urgent_late, early, twin, late, idle]);
}

pub async fn priority_is_strict(kit: Kit) {
    kit.q().await;
    kit.submit_many(
        &Draft {
            priority: 5,
            ..Draft::default()
        },
        3,
    )
    .await;
    for _ in 0..5 {
        kit.advance(s(60));
        let urgent = kit
            .submit(Draft {
                priority: 4,
                ..Draft::default()
            })
            .await;
        assert_eq!(kit.claim_one().await.id, urgent, "nothing ages");
    }
}

pub async fn a_job_does_not_start_before_its_time(kit: Kit) {
    kit.q().await;
    let at = kit
        .submit(Draft {
            run_at: Some(kit.now().plus(s(20))),
            ..Draft::default()
        })
        .await;
    let delayed = kit
        .submit(Draft {
            delay: Some(s(10)),
            ..Draft::default()
        })
        .await;
    let past = kit
        .submit(Draft {
            run_at: Some(crate::time::Timestamp::default()),
            ..Draft::default()
        })
        .await;
    assert_eq!(
        kit.get(past).await.run_at,
        kit.now(),
        "what was due long ago is due at once"
    );
    assert_eq!(ids(&kit.claim_up_to(9).await), [past]);
    kit.advance(s(10) - ms(1));
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.advance(ms(1));
    assert_eq!(ids(&kit.claim_up_to(9).await), [delayed]);
    kit.advance(s(10));
    assert_eq!(ids(&kit.claim_up_to(9).await), [at]);
}

pub async fn groups_take_turns(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::of("a"), 5).await;
    kit.submit_many(&Draft::of("b"), 2).await;
    kit.submit_many(&Draft::default(), 2).await;
    let mut claimed = Vec::new();
    for count in [1, 2, 1, 5] {
        claimed.extend(kit.claim_up_to(count).await);
    }
    let groups = groups(&claimed);
    for round in groups[..6].chunks(3) {
        assert_eq!(
            round.iter().collect::<BTreeSet<_>>().len(),
            3,
            "each group has its turn in {groups:?}"
        );
    }
    assert_eq!(groups[6..], ["a", "a", "a"]);
}

pub async fn a_backlog_does_not_stand_before_another_groups_job(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::of("a"), 50).await;
    kit.claim_up_to(7).await;
    kit.submit(Draft::of("b")).await;
    let next = groups(&kit.claim_up_to(2).await);
    assert!(next.contains(&"b".to_owned()), "{next:?}");
}

pub async fn a_group_does_not_gain_by_coming_and_going(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::of("patient"), 2).await;
    kit.submit(Draft::of("eager")).await;
    for _ in 0..2 {
        let first = groups(&kit.claim_up_to(1).await);
        kit.submit(Draft::of("eager")).await;
        let both = [first, groups(&kit.claim_up_to(1).await)].concat();
        assert!(both.contains(&"patient".to_owned()), "{both:?}");
    }
}

pub async fn many_new_groups_do_not_stand_before_an_old_one(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::of("old"), 3).await;
    kit.claim_one().await;
    for name in ["n0", "n1", "n2"] {
        kit.submit(Draft::of(name)).await;
    }
    let next = groups(&kit.claim_up_to(1).await);
    assert_eq!(next, ["old"], "it waited before the others came");
}

pub async fn priority_orders_a_groups_own_jobs_only(kit: Kit) {
    kit.q().await;
    let plain = kit
        .submit(Draft {
            priority: 9,
            ..Draft::of("a")
        })
        .await;
    let urgent = kit
        .submit_many(
            &Draft {
                priority: 0,
                ..Draft::of("b")
            },
            3,
        )
        .await;
    let claimed = ids(&kit.claim_up_to(2).await);
    assert!(
        claimed.contains(&plain) && claimed.contains(&urgent[0]),
        "both groups have a turn"
    );
}

pub async fn a_job_in_backoff_does_not_hold_its_group_up(kit: Kit) {
    kit.q().await;
    let first = kit.running(Draft::of("a")).await;
    let second = kit.submit(Draft::of("a")).await;
    kit.settle(&first, fail_after(s(60)))
        .await
        .expect("the lease is held");
    assert_eq!(kit.claim_one().await.id, second);
    kit.advance(s(600));
    assert_eq!(kit.claim_one().await.id, first.id);
}

pub async fn a_job_that_comes_back_waits_by_its_new_due_time(kit: Kit) {
    kit.q().await;
    let back = kit.running(Draft::default()).await;
    kit.advance(s(1));
    let second = kit.submit(Draft::default()).await;
    kit.advance(s(1));
    kit.settle(&back, release(s(0))).await.expect("the lease is held");
    kit.advance(s(1));
    let third = kit.submit(Draft::default()).await;
    assert_eq!(ids(&kit.claim_up_to(9).await), [second, back.id, third]);
}

/// How many are before the job, as the store tells.
async fn ahead(kit: &Kit, id: JobId) -> Option<u64> {
    let job = kit.get(id).await;
    let told = kit
        .store
        .standing(&kit.ns, &job)
        .await
        .expect("the store answers");
    told.expect("the queue is there").ahead
}

pub async fn a_waiting_job_can_be_told_how_many_are_before_it(kit: Kit) {
    kit.q().await;
    let mut waiting = Vec::new();
    for (group, priority) in [
        ("a", 5),
        ("a", 5),
        ("a", 0),
        ("", 5),
        ("b", 9),
        ("a", 5),
        ("b", 1),
        ("", 0),
        ("", 5),
    ] {
        let draft = Draft {
            group: (!group.is_empty()).then_some(group),
            priority,
            ..Draft::default()
        };
        waiting.push(kit.submit(draft).await);
    }
    // Also in the middle of the groups' turns.
    for round in [2, 3, 4] {
        let mut told = Vec::new();
        for id in &waiting {
            told.push((ahead(&kit, *id).await, *id));
        }
        told.sort_unstable();
        let places: Vec<_> = told.iter().map(|(ahead, _)| *ahead).collect();
        let expected: Vec<_> = (0..waiting.len() as u64).map(Some).collect();
        assert_eq!(places, expected);
        let claimed = ids(&kit.claim_up_to(round).await);
        let first: Vec<_> = told.iter().map(|(_, id)| *id).take(round).collect();
        assert_eq!(claimed, first);
        waiting.retain(|id| !claimed.contains(id));
    }
    assert!(waiting.is_empty());
}

pub async fn who_does_not_wait_for_a_claim_has_nobody_before_it(kit: Kit) {
    kit.q().await;
    let later = kit
        .submit(Draft {
            delay: Some(s(60)),
            ..Draft::default()
        })
        .await;
    let running = kit.running(Draft::default()).await;
    assert_eq!(ahead(&kit, later).await, None);
    assert_eq!(ahead(&kit, running.id).await, None);
    let told = kit
        .store
        .standing(&kit.ns, &running)
        .await
        .expect("the store answers");
    let counts = told.expect("the queue is there").status.counts;
    assert_eq!((counts.scheduled, counts.running), (1, 1));
    let mut elsewhere = (*running).clone();
    elsewhere.queue = super::kit::queue_name("nowhere");
    assert_eq!(kit.store.standing(&kit.ns, &elsewhere).await, Ok(None));
}
