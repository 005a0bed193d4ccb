//! Promises about the end: what was handed over is finished, and nothing is taken afterwards.

use super::kit::{Draft, Kit, SEED, TERM, Take, error, key, lease, queue_name, settle, succeed};
use crate::queue::QueueSpec;
use crate::store::{Renew, Retry, StoreError, Submitted};

pub async fn an_open_store_can_write(kit: Kit) {
    assert_eq!(kit.store.check().await, Ok(()));
}

pub async fn a_close_finishes_what_was_handed_over(kit: Kit) {
    kit.q().await;
    let submission = kit.submission(&Draft::default());
    let handed_over = kit.store.submit(&kit.ns, vec![submission]);
    assert_eq!(kit.store.close().await, Ok(()));
    assert_eq!(handed_over.await, Ok(vec![Ok(Submitted::Created)]));
}

pub async fn a_closed_store_takes_nothing(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    assert_eq!(kit.store.close().await, Ok(()));
    let (store, ns, name, id) = (&kit.store, &kit.ns, queue_name("q"), held.id);
    let idempotency = key(&Draft::keyed("k", 1)).expect("the draft has a key");
    let renew = Renew {
        lease: lease(&held),
        term: TERM,
        progress: None,
        defer: false,
    };
    let retry = Retry { id, new_id: id };
    for (operation, refused) in [
        (
            "submit",
            error(store.submit(ns, vec![kit.submission(&Draft::default())]).await),
        ),
        ("replay", error(store.replay(ns, &name, idempotency).await)),
        ("cancel", error(store.cancel(ns, vec![id]).await)),
        ("retry", error(store.retry(ns, vec![retry]).await)),
        ("delete", error(store.delete(ns, vec![id]).await)),
        ("claim", error(store.claim(ns, kit.claim(&Take::default())).await)),
        ("renew", error(store.renew(ns, vec![renew]).await)),
        (
            "settle",
            error(
                store
                    .settle(ns, vec![settle(lease(&held), succeed("late"))])
                    .await,
            ),
        ),
        ("reclaim", error(store.reclaim(9, SEED).await)),
        ("prune", error(store.prune(9).await)),
        ("get", error(store.get(ns, id).await)),
        ("input", error(store.input(ns, id).await)),
        ("result", error(store.result(ns, id).await)),
        (
            "put_queue",
            error(store.put_queue(ns, &name, QueueSpec::default(), false).await),
        ),
        ("queue", error(store.queue(ns, &name).await)),
        ("queues", error(store.queues(ns).await)),
        ("all_queues", error(store.all_queues().await)),
        ("lag", error(store.lag().await)),
        ("pause", error(store.pause(ns, &name, true).await)),
        ("purge", error(store.purge(ns, &name, 9).await)),
        ("delete_queue", error(store.delete_queue(ns, &name).await)),
        ("keys", error(store.keys(ns).await)),
        ("all_keys", error(store.all_keys().await)),
        ("home", error(store.home(id).await)),
        ("check", error(store.check().await)),
    ] {
        assert_eq!(refused, StoreError::Closed, "{operation}");
    }
}
