//! Promises about changing jobs: those that have not started, and what a worker tells of those that have.

use std::sync::Arc;

use super::kit::{Draft, Kit, TERM, fail, h, lease, s};
use crate::decide::{Patch, PatchRefused};
use crate::id::JobId;
use crate::job::{Job, State};
use crate::lease::Progress;
use crate::list::{Filter, Page};
use crate::name::Tag;
use crate::store::{PatchError, Renew};

async fn patch(kit: &Kit, id: JobId, patch: Patch) -> Result<Arc<Job>, PatchError> {
    kit.store
        .patch(&kit.ns, vec![(id, patch)])
        .await
        .expect("the store is open")
        .remove(0)
}

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a tag")
}

pub async fn a_job_that_has_not_started_can_be_changed(kit: Kit) {
    kit.q().await;
    let id = kit.submit(Draft::default()).await;
    let run_at = kit.now().plus(h(2));
    let wanted = Patch {
        priority: Some(1),
        run_at: Some(run_at),
        tags: Some(vec![tag("eu")]),
        if_version: Some(1),
    };
    let changed = patch(&kit, id, wanted).await.expect("the job waits");
    assert_eq!(
        (changed.priority, changed.run_at, changed.version),
        (1, run_at, 2)
    );
    assert_eq!(changed.options.tags, [tag("eu")]);
    assert_eq!(kit.get(id).await, changed);
    assert_eq!(changed.state(kit.now()), State::Scheduled);
}

pub async fn a_changed_priority_or_start_moves_the_job(kit: Kit) {
    kit.q().await;
    let ids = kit.submit_many(&Draft::default(), 3).await;
    let first = Patch {
        priority: Some(0),
        ..Patch::default()
    };
    patch(&kit, ids[2], first).await.expect("the job waits");
    let later = Patch {
        run_at: Some(kit.now().plus(s(60))),
        ..Patch::default()
    };
    patch(&kit, ids[0], later).await.expect("the job waits");
    let claimed: Vec<_> = kit
        .claim_up_to(9)
        .await
        .into_iter()
        .map(|leased| leased.job.id)
        .collect();
    assert_eq!(claimed, [ids[2], ids[1]]);
    kit.advance(s(60));
    assert_eq!(kit.claim_one().await.id, ids[0]);
}

pub async fn a_change_costs_a_group_no_turn(kit: Kit) {
    kit.q().await;
    let group = |name| Draft {
        group: Some(name),
        ..Draft::default()
    };
    let first = kit.submit(group("a")).await;
    kit.submit(group("b")).await;
    let later = Patch {
        priority: Some(9),
        ..Patch::default()
    };
    patch(&kit, first, later).await.expect("the job waits");
    assert_eq!(kit.claim_one().await.id, first);
}

pub async fn changed_tags_are_the_ones_it_is_found_by(kit: Kit) {
    kit.q().await;
    let id = kit.submit(Draft::default()).await;
    for tags in [vec!["a", "b"], vec!["b", "c"], vec![]] {
        let wanted = Patch {
            tags: Some(tags.iter().map(|text| tag(text)).collect()),
            ..Patch::default()
        };
        patch(&kit, id, wanted).await.expect("the job waits");
        for text in ["a", "b", "c"] {
            let filter = Filter {
                tag: Some(tag(text)),
                ..Filter::default()
            };
            let listed = kit
                .store
                .list(
                    &kit.ns,
                    Page {
                        filter,
                        cursor: None,
                        limit: 9,
                    },
                )
                .await;
            let found = !listed.expect("the store is open").jobs.is_empty();
            assert_eq!(found, tags.contains(&text), "{text} among {tags:?}");
        }
    }
}

pub async fn a_job_that_has_started_or_changed_is_not_patched(kit: Kit) {
    kit.q().await;
    let first = Patch {
        priority: Some(0),
        ..Patch::default()
    };
    let held = kit.running(Draft::default()).await;
    let started = Err(PatchError::Refused(PatchRefused::Started));
    assert_eq!(patch(&kit, held.id, first.clone()).await, started, "it runs");
    kit.settle(&held, fail()).await.expect("the lease lives");
    assert_eq!(
        patch(&kit, held.id, first.clone()).await,
        started,
        "it waits for its second attempt"
    );
    kit.cancel(held.id).await.expect("the job is there");
    assert_eq!(patch(&kit, held.id, first.clone()).await, started, "it is done");
    let id = kit.submit(Draft::default()).await;
    let stale = Patch {
        if_version: Some(7),
        ..first
    };
    assert_eq!(
        patch(&kit, id, stale).await,
        Err(PatchError::Refused(PatchRefused::Changed))
    );
    assert_eq!(kit.get(id).await.version, 1);
}

pub async fn a_patch_that_changes_nothing_is_no_transition(kit: Kit) {
    kit.q().await;
    let id = kit.submit(Draft::default()).await;
    let same = Patch {
        priority: Some(kit.get(id).await.priority),
        ..Patch::default()
    };
    assert_eq!(patch(&kit, id, same).await.expect("the job waits").version, 1);
}

pub async fn progress_is_told_until_the_attempt_ends(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let told = |job: &Job| job.lease().and_then(|lease| lease.progress.clone());
    let half = Progress {
        fraction: Some(0.5),
        message: Some("page 4".to_owned()),
    };
    for (progress, expected) in [
        (None, None),
        (Some(half.clone()), Some(half.clone())),
        (None, Some(half)),
    ] {
        let renew = Renew {
            lease: lease(&held),
            term: TERM,
            progress,
            defer: false,
        };
        let renewed = kit
            .store
            .renew(&kit.ns, vec![renew])
            .await
            .expect("the store is open")
            .remove(0);
        assert_eq!(renewed.expect("the lease lives").lease.progress, expected);
        assert_eq!(told(&*kit.get(held.id).await), expected);
    }
    assert_eq!(
        kit.get(held.id).await.version,
        held.version,
        "progress is no transition"
    );
    let ended = kit.settle(&held, fail()).await.expect("the lease lives");
    assert_eq!(told(&ended), None);
}
