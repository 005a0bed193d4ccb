//! The promise about what those are told who watch a store.

use super::kit::{Draft, Kit, s, succeed};
use crate::decide::TryEnd;
use crate::delivery::Callback;
use crate::job::Options;
use crate::queue::QueueSpec;
use crate::store::EndTry;
use crate::time::Timestamp;

impl Kit {
    /// Since when the oldest job of `q` waits, and how many webhooks are pending.
    async fn behind(&self) -> (Option<Timestamp>, u64) {
        let lag = self.store.lag().await.expect("the store answers");
        let names: Vec<_> = lag.queues.iter().map(|queue| queue.queue.as_str()).collect();
        assert_eq!(names, ["other", "q"]);
        assert_eq!(lag.queues[0].due_since, None, "that one is empty");
        (lag.queues[1].due_since, lag.webhooks)
    }
}

pub async fn a_store_tells_how_far_behind_its_work_is(kit: Kit) {
    kit.q().await;
    kit.put("other", QueueSpec::default()).await;
    assert_eq!(kit.behind().await, (None, 0));
    let first = kit.now();
    let told = Draft {
        priority: 9,
        ..Draft::with(Options {
            callback: Some(Callback::to("https://example.org/job")),
            ..Options::default()
        })
    };
    kit.submit(told).await;
    kit.advance(s(5));
    let second = kit.now();
    kit.submit(Draft::default()).await;
    let later = Draft {
        delay: Some(s(10)),
        ..Draft::default()
    };
    kit.submit(later).await;
    assert_eq!(
        kit.behind().await,
        (Some(first), 0),
        "the last one in the order came first"
    );
    kit.claim_up_to(1).await;
    assert_eq!(kit.behind().await.0, Some(first));
    let ends = kit.claim_up_to(1).await;
    assert_eq!(kit.behind().await.0, None, "what is not due yet is not late");
    kit.advance(s(10));
    assert_eq!(kit.behind().await.0, Some(second.plus(s(10))));
    kit.settle(&ends[0].job, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(kit.behind().await.1, 1);
    let due = kit.store.claim_deliveries(9).await.expect("the store answers");
    assert_eq!(
        kit.behind().await.1,
        1,
        "it is not taken before its receiver says so"
    );
    let ended = EndTry {
        id: due.due[0].delivery.id,
        n: 1,
        end: TryEnd::Taken { status: 200 },
        seed: 1,
    };
    kit.store.end_tries(vec![ended]).await.expect("the store answers");
    assert_eq!(kit.behind().await.1, 0);
}
