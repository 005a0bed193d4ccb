//! Promises about namespaces: each sees its own and nothing of any other, whatever is asked.

use super::kit::{Draft, Kit, SEED, TERM, Take, h, key, lease, queue_name, s, settle, succeed};
use crate::decide::{Patch, SettleRefused};
use crate::list::{Filter, Page};
use crate::name::Namespace;
use crate::queue::QueueSpec;
use crate::store::{
    ChangeRefused, Counts, Idempotency, Missing, PatchError, QueueRefused, Renew, Retry, SubmitRefused,
    Submitted,
};

fn stranger() -> Namespace {
    Namespace::new("stranger").expect("the name is well formed")
}

pub async fn a_stranger_sees_no_job_of_another_namespace(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let waiting = kit
        .submit(Draft {
            delay: Some(h(9)),
            ..Draft::default()
        })
        .await;
    let done = kit.submit(Draft::default()).await;
    kit.cancel(done).await.expect("the job is there");
    let gone = kit.submit(Draft::default()).await;
    kit.cancel(gone).await.expect("the job is there");
    kit.delete(gone).await.expect("the job is done");
    let (store, ns) = (&kit.store, stranger());
    for id in [held.id, waiting, done, gone] {
        let before = kit.find(id).await;
        let unknown = Missing::Unknown;
        assert_eq!(store.get(&ns, id).await, Ok(Err(unknown)));
        assert_eq!(store.input(&ns, id).await, Ok(Err(unknown)));
        assert_eq!(
            store.result(&ns, id).await.map(|read| read.err()),
            Ok(Some(unknown))
        );
        assert_eq!(store.cancel(&ns, vec![id]).await, Ok(vec![Err(unknown)]));
        let patch = (
            id,
            Patch {
                priority: Some(0),
                ..Patch::default()
            },
        );
        assert_eq!(
            store.patch(&ns, vec![patch]).await,
            Ok(vec![Err(PatchError::Missing(unknown))])
        );
        let page = Page {
            filter: Filter::default(),
            cursor: None,
            limit: 200,
        };
        assert_eq!(
            store.list(&ns, page).await.map(|listed| listed.jobs),
            Ok(Vec::new())
        );
        assert_eq!(
            store.delete(&ns, vec![id]).await,
            Ok(vec![Err(ChangeRefused::Missing(unknown))])
        );
        let retry = Retry {
            id,
            new_id: store.mint(),
        };
        assert_eq!(
            store.retry(&ns, vec![retry]).await,
            Ok(vec![Err(ChangeRefused::Missing(unknown))])
        );
        assert_eq!(kit.find(id).await, before, "and changes nothing");
    }
    let renew = Renew {
        lease: lease(&held),
        term: TERM,
        progress: None,
        defer: false,
    };
    assert_eq!(store.renew(&ns, vec![renew]).await, Ok(vec![None]));
    let stolen = settle(lease(&held), succeed("stolen"));
    assert_eq!(
        store.settle(&ns, vec![stolen]).await,
        Ok(vec![Err(SettleRefused::LeaseLost)])
    );
    assert_eq!(kit.get(held.id).await, held);
}

pub async fn a_stranger_sees_no_queue_of_another_namespace(kit: Kit) {
    kit.q().await;
    kit.submit(Draft::default()).await;
    let (store, ns, name) = (&kit.store, stranger(), queue_name("q"));
    assert_eq!(store.queue(&ns, &name).await, Ok(None));
    assert_eq!(store.queues(&ns).await, Ok(Vec::new()));
    assert_eq!(
        store.pause(&ns, &name, true).await,
        Ok(Err(QueueRefused::Unknown))
    );
    assert_eq!(store.purge(&ns, &name, 9).await, Ok(Err(QueueRefused::Unknown)));
    assert_eq!(
        store.delete_queue(&ns, &name).await,
        Ok(Err(QueueRefused::Unknown))
    );
    let claim = kit.claim(&Take {
        count: 9,
        ..Take::default()
    });
    assert!(
        store
            .claim(&ns, claim)
            .await
            .expect("the store answers")
            .is_empty()
    );
    let mut submission = kit.submission(&Draft::default());
    submission.job.namespace = ns.clone();
    let refused = store.submit(&ns, vec![submission]).await;
    assert_eq!(refused, Ok(vec![Err(SubmitRefused::UnknownQueue)]));
    kit.counts_become(
        "q",
        Counts {
            queued: 1,
            ..Counts::default()
        },
    )
    .await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1, "and changed nothing");
}

pub async fn queues_of_one_name_have_nothing_in_common(kit: Kit) {
    let other = kit.acting_for(stranger());
    kit.put(
        "q",
        QueueSpec {
            concurrency: Some(1),
            depth: Some(3),
            ..QueueSpec::default()
        },
    )
    .await;
    other
        .put(
            "q",
            QueueSpec {
                depth: Some(9),
                ..QueueSpec::default()
            },
        )
        .await;
    let ours = kit.submit_many(&Draft::default(), 3).await;
    let theirs = other.submit_many(&Draft::default(), 5).await;
    assert_eq!(kit.claim_one().await.id, ours[0]);
    assert!(kit.claim_up_to(9).await.is_empty(), "their limits are their own");
    assert_eq!(other.claim_one().await.id, theirs[0]);
    kit.counts_become(
        "q",
        Counts {
            queued: 2,
            running: 1,
            ..Counts::default()
        },
    )
    .await;
    other
        .counts_become(
            "q",
            Counts {
                queued: 4,
                running: 1,
                ..Counts::default()
            },
        )
        .await;
    let name = queue_name("q");
    kit.store
        .pause(&kit.ns, &name, true)
        .await
        .expect("the store answers")
        .expect("it is there");
    kit.store
        .purge(&kit.ns, &name, 9)
        .await
        .expect("the store answers")
        .expect("it is there");
    assert_eq!(other.claim_up_to(9).await.len(), 4, "so are a pause and a purge");
    assert_eq!(kit.store.all_queues().await.expect("the store answers").len(), 2);
    assert_eq!(
        kit.store.queues(&kit.ns).await.expect("the store answers").len(),
        1
    );
}

pub async fn an_idempotency_key_is_its_namespaces_own(kit: Kit) {
    let other = kit.acting_for(stranger());
    kit.q().await;
    other.q().await;
    let ours = kit.submit(Draft::keyed("k", 1)).await;
    let Idempotency { key, fingerprint } = key(&Draft::keyed("k", 1)).expect("the draft has a key");
    let asked = Idempotency { key, fingerprint };
    assert_eq!(
        other.store.replay(&other.ns, &queue_name("q"), asked).await,
        Ok(None)
    );
    let theirs = other.submit(Draft::keyed("k", 2)).await;
    assert_ne!(ours, theirs);
    let again = kit.try_submit(&[Draft::keyed("k", 1)]).await.remove(0).1;
    assert!(
        matches!(again, Ok(Submitted::Replayed(Ok(_), id)) if id == ours),
        "{again:?}"
    );
}

pub async fn a_claim_id_is_its_namespaces_own(kit: Kit) {
    let other = kit.acting_for(stranger());
    kit.q().await;
    other.q().await;
    kit.submit(Draft::default()).await;
    let named = Take {
        claim_id: Some("c1"),
        ..Take::default()
    };
    assert_eq!(kit.take(named.clone()).await.len(), 1);
    assert!(other.take(named).await.is_empty());
}

pub async fn upkeep_works_on_every_namespace(kit: Kit) {
    let other = kit.acting_for(stranger());
    for kit in [&kit, &other] {
        kit.q().await;
        kit.submit(Draft::default()).await;
        kit.claim_one().await;
    }
    kit.advance(TERM);
    assert_eq!(
        kit.store.reclaim(9, SEED).await.map(|reclaimed| reclaimed.count),
        Ok(2)
    );
    for kit in [&kit, &other] {
        kit.advance(s(600));
        let held = kit.claim_one().await;
        kit.settle(&held, succeed("yes"))
            .await
            .expect("the lease is held");
    }
    kit.advance(h(24));
    assert_eq!(kit.prune().await, 2);
}
