//! Promises about the log of what administrators do.

use super::draft::{Draft, queue_name};
use super::keys::new_key;
use super::kit::{Kit, h, s, succeed};
use crate::audit::{Act, ActFilter, ActPage, Actor, Acts, ActsKept, Recorded};
use crate::key::KeyId;
use crate::name::{GroupName, Namespace};
use crate::queue::QueueSpec;
use crate::secret::Secret;
use crate::store::{QueueRefused, Retry, Slice};

/// An act with this number.
pub fn act(kit: &Kit, id: u64) -> Act {
    Act {
        id,
        actor: Actor::Key(KeyId::new(id % 2)),
        address: Some([192, 0, 2, 7].into()),
        namespace: kit.ns.clone(),
        action: "putQueue".to_owned(),
        target: "/v1/queues/q".to_owned(),
        request_id: format!("request {id}"),
    }
}

fn kept() -> ActsKept {
    ActsKept {
        time: h(24),
        refused_max: 100,
        count_max: 1_000,
    }
}

impl Kit {
    /// A page of the log.
    pub async fn acts_page(&self, filter: ActFilter, cursor: Option<u64>, limit: u32) -> Acts {
        let page = ActPage {
            filter,
            cursor,
            limit,
        };
        let acts = self.store.acts(&self.ns, page);
        acts.await.expect("the store answers")
    }

    /// The whole log, newest first.
    pub async fn log(&self) -> Vec<Recorded> {
        self.acts_page(ActFilter::default(), None, 200).await.acts
    }

    /// The numbers of the acts, newest first, and the codes of the refused ones.
    async fn log_ids(&self) -> Vec<(u64, Option<String>)> {
        let log = self.log().await;
        log.into_iter().map(|row| (row.act.id, row.refused)).collect()
    }

    async fn record(&self, id: u64, refused: Option<&str>) {
        let recorded = self.store.record(act(self, id), refused.map(str::to_owned));
        recorded.await.expect("the store answers");
    }

    async fn prune_acts(&self, kept: ActsKept, limit: u32) -> Slice {
        let pruned = self.store.prune_acts(kept, limit);
        pruned.await.expect("the store answers")
    }
}

pub async fn an_act_is_recorded_with_what_it_does(kit: Kit) {
    let store = kit.store.recording(act(&kit, 1));
    let put = store.put_queue(&kit.ns, &queue_name("q"), QueueSpec::default(), false);
    put.await.expect("the store answers").expect("it may be put");
    let log = kit.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!(
        (&log[0].act, log[0].at, &log[0].refused),
        (&act(&kit, 1), kit.now(), &None)
    );
    kit.q().await;
    assert_eq!(kit.log().await.len(), 1, "what nobody is to be named for is not");
}

pub async fn every_administrative_operation_is_recorded(kit: Kit) {
    kit.q().await;
    let done = kit.finished(Draft::default(), succeed("yes")).await.id;
    let forgotten = kit.finished(Draft::default(), succeed("yes")).await.id;
    let waiting = kit.submit(Draft::default()).await;
    kit.make_key(new_key(7, "admin")).await.expect("it may be made");
    let (ns, queue) = (&kit.ns, &queue_name("q"));
    let by = |id| kit.store.recording(act(&kit, id));
    let retry = Retry {
        id: done,
        new_id: kit.store.mint(),
    };
    let group = GroupName::new("g").expect("a name");
    by(1)
        .put_group(ns, queue, &group, None)
        .await
        .expect("the store answers")
        .expect("the queue is there");
    by(2)
        .pause(ns, queue, true)
        .await
        .expect("the store answers")
        .expect("the queue is there");
    by(3)
        .rotate_secret(ns, Secret::new([1; 32]))
        .await
        .expect("the store answers");
    by(4)
        .create_key(ns, new_key(8, "read"))
        .await
        .expect("the store answers")
        .expect("it may be made");
    by(5)
        .revoke_key(ns, KeyId::new(8))
        .await
        .expect("the store answers")
        .expect("it is there");
    by(6).cancel(ns, vec![waiting]).await.expect("the store answers");
    by(7)
        .delete(ns, vec![forgotten])
        .await
        .expect("the store answers");
    by(8).retry(ns, vec![retry]).await.expect("the store answers");
    by(9)
        .purge(ns, queue, 10)
        .await
        .expect("the store answers")
        .expect("the queue is there");
    by(10)
        .delete_queue(ns, queue)
        .await
        .expect("the store answers")
        .expect("nothing waits in it");
    let ids: Vec<_> = kit.log().await.iter().map(|row| row.act.id).collect();
    assert_eq!(ids, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

pub async fn the_row_of_a_key_that_was_made_names_it(kit: Kit) {
    let by = kit.store.recording(act(&kit, 1));
    let made = by.create_key(&kit.ns, new_key(3, "admin"));
    made.await.expect("the store answers").expect("it may be made");
    let target = format!("/v1/queues/q/{}", KeyId::new(3));
    assert_eq!(kit.log().await[0].act.target, target);
}

pub async fn what_an_operation_refused_is_not_recorded_by_it(kit: Kit) {
    let by = kit.store.recording(act(&kit, 1));
    assert_eq!(
        by.pause(&kit.ns, &queue_name("q"), true).await,
        Ok(Err(QueueRefused::Unknown))
    );
    assert_eq!(kit.log().await, []);
    kit.record(1, Some("unknown-queue")).await;
    assert_eq!(kit.log_ids().await, [(1, Some("unknown-queue".to_owned()))]);
}

pub async fn an_act_has_one_row(kit: Kit) {
    kit.q().await;
    let by = kit.store.recording(act(&kit, 1));
    for paused in [true, false] {
        let answer = by.pause(&kit.ns, &queue_name("q"), paused).await;
        answer.expect("the store answers").expect("the queue is there");
    }
    kit.record(1, Some("internal")).await;
    assert_eq!(kit.log_ids().await, [(1, None)]);
}

pub async fn the_log_is_read_page_by_page(kit: Kit) {
    for id in 1..=5 {
        kit.record(id, None).await;
        kit.advance(s(1));
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = kit.acts_page(ActFilter::default(), cursor, 2).await;
        seen.extend(page.acts.iter().map(|row| row.act.id));
        // What comes meanwhile moves no page.
        kit.record(10 + seen.len() as u64, None).await;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

pub async fn the_log_shows_what_is_asked_for_and_nothing_else(kit: Kit) {
    let start = kit.now();
    for id in 1..=3 {
        kit.record(id, None).await;
        kit.advance(s(1));
    }
    let other = Act {
        action: "pauseQueue".to_owned(),
        actor: Actor::Local,
        ..act(&kit, 4)
    };
    kit.store.record(other, None).await.expect("the store answers");
    let all = ActFilter::default;
    for (filter, expected) in [
        (
            ActFilter {
                actor: Some(Actor::Key(KeyId::new(1))),
                ..all()
            },
            &[3, 1][..],
        ),
        (
            ActFilter {
                actor: Some(Actor::Local),
                ..all()
            },
            &[4],
        ),
        (
            ActFilter {
                action: Some("putQueue".to_owned()),
                ..all()
            },
            &[3, 2, 1],
        ),
        (
            ActFilter {
                since: Some(start.plus(s(2))),
                ..all()
            },
            &[4, 3],
        ),
    ] {
        let found = kit.acts_page(filter.clone(), None, 10).await.acts;
        let ids: Vec<_> = found.iter().map(|row| row.act.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
    }
}

pub async fn acts_are_forgotten_when_their_time_is_over(kit: Kit) {
    for id in 1..=3 {
        kit.record(id, None).await;
        kit.advance(h(1));
    }
    kit.advance(h(22));
    let slice = |count, more| Slice { count, more };
    assert_eq!(kit.prune_acts(kept(), 1).await, slice(1, true));
    assert_eq!(kit.log_ids().await, [(3, None), (2, None)]);
    assert_eq!(kit.prune_acts(kept(), 1).await, slice(1, false));
    assert_eq!(kit.prune_acts(kept(), 1).await, slice(0, false));
    assert_eq!(kit.log_ids().await, [(3, None)]);
}

pub async fn no_flood_of_acts_fills_the_store(kit: Kit) {
    kit.record(1, None).await;
    for id in 2..=6 {
        kit.record(id, Some("forbidden")).await;
    }
    let few = ActsKept {
        refused_max: 2,
        ..kept()
    };
    kit.prune_acts(few, 10).await;
    let refused = |id| (id, Some("forbidden".to_owned()));
    assert_eq!(
        kit.log_ids().await,
        [refused(6), refused(5), (1, None)],
        "what was refused pushes nothing out that was done"
    );
    let fewer = ActsKept {
        count_max: 1,
        ..kept()
    };
    kit.prune_acts(fewer, 10).await;
    assert_eq!(kit.log_ids().await, [refused(6)]);
}

pub async fn a_stranger_sees_no_act_of_another_namespace(kit: Kit) {
    kit.record(1, None).await;
    let stranger = kit.acting_for(Namespace::new("stranger").expect("the name is well formed"));
    assert_eq!(stranger.log().await, []);
    stranger.record(2, None).await;
    assert_eq!(kit.log_ids().await, [(1, None)]);
    assert_eq!(stranger.log_ids().await, [(2, None)]);
}
