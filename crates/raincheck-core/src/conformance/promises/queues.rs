//! Promises about queues: their settings, pausing, counts and end.

use super::kit::{Draft, Kit, fail_after, h, key, queue_name, refuse, s, succeed};
use crate::delivery::Callback;
use crate::group::GroupSpec;
use crate::job::{Options, State};
use crate::queue::{Queue, QueueSpec, Worker};
use crate::retry::Backoff;
use crate::store::{Counts, QueueRefused};

fn spec() -> QueueSpec {
    QueueSpec {
        worker: Some(Worker::Push(vec![
            "http://localhost:1/a".to_owned(),
            "http://localhost:1/b".to_owned(),
        ])),
        concurrency: Some(3),
        rate: "50/s".parse().ok(),
        burst: Some(7),
        depth: Some(99),
        depth_bytes: Some(crate::queue::ByteSize(1 << 20)),
        group_defaults: Some(GroupSpec {
            concurrency: Some(2),
            rate: "10/m".parse().ok(),
            burst: Some(3),
        }),
        fair: Some(false),
        body_max: Some(crate::queue::ByteSize(1 << 16)),
        result_max: Some(crate::queue::ByteSize(1 << 17)),
        result_type: Some("image/png".to_owned()),
        stream: Some(true),
        timeout: Some(s(61)),
        lease_for: Some(s(5)),
        cancel_grace: Some(s(3)),
        max_attempts: Some(2),
        backoff: Some(Backoff::Constant { base: s(9) }),
        keep: Some(h(1)),
        keep_failed: Some(h(2)),
        callback: Some(Callback::to("https://example.org/hook")),
    }
}

pub async fn a_queue_is_there_as_it_was_written(kit: Kit) {
    kit.advance(s(5));
    let name = queue_name("q");
    let put = kit.store.put_queue(&kit.ns, &name, spec(), false).await;
    let queue = put.expect("the store answers").expect("it is nobody else's");
    assert_eq!(
        (&queue.namespace, &queue.name, &queue.spec),
        (&kit.ns, &name, &spec())
    );
    assert_eq!(
        (queue.managed, queue.paused, queue.created_at),
        (false, None, kit.now())
    );
    let status = kit
        .store
        .queue(&kit.ns, &name)
        .await
        .expect("the store answers")
        .expect("it is there");
    assert_eq!((&status.queue, status.counts), (&queue, Counts::default()));
    assert_eq!(kit.store.queues(&kit.ns).await.as_deref(), Ok(&[status][..]));
    assert_eq!(kit.store.all_queues().await.as_deref(), Ok(&[queue][..]));
}

pub async fn a_put_replaces_the_settings_whole(kit: Kit) {
    kit.put("q", spec()).await;
    let name = queue_name("q");
    let paused = kit
        .store
        .pause(&kit.ns, &name, true)
        .await
        .expect("the store answers")
        .expect("it is there");
    kit.advance(s(5));
    let other = QueueSpec {
        depth: Some(7),
        ..QueueSpec::default()
    };
    let put = kit.store.put_queue(&kit.ns, &name, other.clone(), false).await;
    let queue = put.expect("the store answers").expect("it is nobody else's");
    assert_eq!(queue.spec, other);
    assert_eq!(
        (queue.created_at, queue.paused),
        (paused.created_at, paused.paused),
        "it is the same queue"
    );
}

pub async fn changed_settings_hold_for_jobs_that_are_there(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.submit(Draft::with(Options {
        max_attempts: Some(2),
        ..Options::default()
    }))
    .await;
    kit.put(
        "q",
        QueueSpec {
            max_attempts: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    let done = kit
        .settle(&held, fail_after(s(0)))
        .await
        .expect("the lease is held");
    assert_eq!(done.state(kit.now()), State::Failed);
    let own = kit.claim_one().await;
    let waits = kit
        .settle(&own, fail_after(s(9)))
        .await
        .expect("the lease is held");
    assert_eq!(
        waits.state(kit.now()),
        State::Scheduled,
        "what the job itself asked goes first"
    );
}

pub async fn queues_are_listed_by_name(kit: Kit) {
    for name in ["m", "z", "a", "B", "9"] {
        kit.put(name, QueueSpec::default()).await;
    }
    kit.submit(Draft {
        queue: "m",
        ..Draft::default()
    })
    .await;
    let list = kit.store.queues(&kit.ns).await.expect("the store answers");
    let names: Vec<_> = list.iter().map(|status| status.queue.name.as_str()).collect();
    assert_eq!(names, ["9", "B", "a", "m", "z"], "in the order of their bytes");
    assert_eq!(kit.store.all_queues().await.expect("the store answers").len(), 5);
}

pub async fn an_unknown_queue_is_said_to_be(kit: Kit) {
    let (store, ns, name) = (&kit.store, &kit.ns, queue_name("q"));
    assert_eq!(store.queue(ns, &name).await, Ok(None));
    assert_eq!(store.pause(ns, &name, true).await, Ok(Err(QueueRefused::Unknown)));
    assert_eq!(
        store.pause(ns, &name, false).await,
        Ok(Err(QueueRefused::Unknown))
    );
    assert_eq!(store.purge(ns, &name, 9).await, Ok(Err(QueueRefused::Unknown)));
    assert_eq!(
        store.delete_queue(ns, &name).await,
        Ok(Err(QueueRefused::Unknown))
    );
    assert_eq!(store.queues(ns).await, Ok(Vec::new()));
    assert_eq!(store.all_queues().await, Ok(Vec::new()));
}

pub async fn a_managed_queue_is_changed_by_its_manager_only(kit: Kit) {
    let (store, ns, name) = (&kit.store, &kit.ns, queue_name("q"));
    let put = store
        .put_queue(ns, &name, spec(), true)
        .await
        .expect("the store answers");
    let queue = put.expect("it is nobody else's");
    assert!(queue.managed);
    let refused = Err(QueueRefused::Managed);
    assert_eq!(
        store.put_queue(ns, &name, QueueSpec::default(), false).await,
        Ok(refused.clone())
    );
    assert_eq!(
        store.delete_queue(ns, &name).await,
        Ok(Err(QueueRefused::Managed))
    );
    let status = store
        .queue(ns, &name)
        .await
        .expect("the store answers")
        .expect("it is there");
    assert_eq!(status.queue, queue);
    let again = store
        .put_queue(ns, &name, QueueSpec::default(), true)
        .await
        .expect("the store answers");
    assert_eq!(
        again.map(|queue| (queue.managed, queue.spec.clone())),
        Ok((true, QueueSpec::default()))
    );
    kit.submit(Draft::default()).await;
    let paused = store
        .pause(ns, &name, true)
        .await
        .expect("the store answers")
        .expect("pausing is allowed");
    assert!(paused.paused.is_some());
    let purged = store
        .purge(ns, &name, 9)
        .await
        .expect("the store answers")
        .expect("purging is allowed");
    assert_eq!(purged.count, 1);
}

pub async fn a_queue_can_become_managed(kit: Kit) {
    kit.put("q", QueueSpec::default()).await;
    kit.submit(Draft::default()).await;
    let put = kit.store.put_queue(&kit.ns, &queue_name("q"), spec(), true).await;
    assert!(put.expect("the store answers").expect("the manager may").managed);
    assert_eq!(kit.claim_up_to(9).await.len(), 1, "its jobs stay");
}

pub async fn a_queue_that_is_released_is_everybodys(kit: Kit) {
    let (store, ns, name) = (&kit.store, &kit.ns, queue_name("q"));
    let release = async |name| {
        let answer = store.release_queue(ns, name).await;
        answer.expect("the store answers")
    };
    assert_eq!(release(&name).await, Err(QueueRefused::Unknown));
    let put = store.put_queue(ns, &name, spec(), true).await;
    put.expect("the store answers").expect("it is nobody else's");
    kit.submit(Draft::default()).await;
    let paused = store.pause(ns, &name, true).await;
    let mut expected = Queue::clone(&paused.expect("the store answers").expect("pausing is allowed"));
    expected.managed = false;
    for _ in 0..2 {
        let released = release(&name).await.expect("it is there");
        assert_eq!(*released, expected);
    }
    let status = store.queue(ns, &name).await.expect("the store answers");
    let status = status.expect("it is there");
    assert_eq!((&*status.queue, status.counts.queued), (&expected, 1));
    let put = store.put_queue(ns, &name, QueueSpec::default(), false).await;
    assert!(put.expect("the store answers").is_ok(), "nobody manages it");
}

pub async fn pausing_twice_is_pausing_once(kit: Kit) {
    kit.q().await;
    let pause = async |paused| {
        let answer = kit.store.pause(&kit.ns, &queue_name("q"), paused).await;
        answer
            .expect("the store answers")
            .expect("the queue is there")
            .paused
    };
    let since = Some(kit.now());
    assert_eq!(pause(false).await, None);
    assert_eq!(pause(true).await, since);
    kit.advance(s(9));
    assert_eq!(pause(true).await, since, "it counts from the first time");
    assert_eq!(pause(false).await, None);
    assert_eq!(pause(true).await, Some(kit.now()));
}

pub async fn counts_follow_the_jobs(kit: Kit) {
    kit.q().await;
    let mut expected = Counts::default();
    let later = kit
        .submit(Draft {
            delay: Some(s(60)),
            ..Draft::default()
        })
        .await;
    let soon = Options {
        start_before: Some(s(1)),
        ..Options::default()
    };
    kit.submit(Draft::with(soon)).await;
    expected.scheduled = 1;
    expected.queued = 1;
    kit.counts_become("q", expected).await;
    kit.advance(s(2));
    kit.reclaim().await;
    expected.queued = 0;
    expected.expired = 1;
    kit.counts_become("q", expected).await;
    kit.submit_many(&Draft::default(), 5).await;
    let held = kit.claim_up_to(4).await;
    expected.queued = 1;
    expected.running = 4;
    kit.counts_become("q", expected).await;
    for (leased, settlement) in held
        .iter()
        .zip([succeed("a"), succeed("b"), refuse(), fail_after(s(90))])
    {
        kit.settle(&leased.job, settlement)
            .await
            .expect("the lease is held");
    }
    expected.running = 0;
    expected.succeeded = 2;
    expected.failed = 1;
    expected.scheduled = 2;
    kit.counts_become("q", expected).await;
    kit.cancel(later).await.expect("the job is there");
    expected.scheduled = 1;
    expected.cancelled = 1;
    kit.counts_become("q", expected).await;
    kit.delete(later).await.expect("the job is done");
    kit.retry(held[2].job.id).await.expect("the job is done");
    expected.cancelled = 0;
    expected.queued = 2;
    kit.counts_become("q", expected).await;
    kit.advance(s(90));
    expected.scheduled = 0;
    expected.queued = 3;
    kit.counts_become("q", expected).await;
    kit.advance(h(24));
    kit.prune().await;
    expected.succeeded = 0;
    expected.expired = 0;
    kit.counts_become("q", expected).await;
}

pub async fn a_queue_with_unfinished_jobs_is_not_deleted(kit: Kit) {
    kit.q().await;
    let name = queue_name("q");
    let delete = async || {
        kit.store
            .delete_queue(&kit.ns, &name)
            .await
            .expect("the store answers")
    };
    let held = kit.running(Draft::default()).await;
    let waiting = kit.submit(Draft::default()).await;
    let scheduled = kit
        .submit(Draft {
            delay: Some(h(1)),
            ..Draft::default()
        })
        .await;
    assert_eq!(delete().await, Err(QueueRefused::NotEmpty(3)));
    kit.cancel(waiting).await.expect("the job is there");
    kit.cancel(scheduled).await.expect("the job is there");
    assert_eq!(delete().await, Err(QueueRefused::NotEmpty(1)));
    kit.settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(delete().await, Ok(()));
    assert_eq!(kit.store.queue(&kit.ns, &name).await, Ok(None));
    assert_eq!(delete().await, Err(QueueRefused::Unknown));
    assert!(kit.get(held.id).await.done(), "finished jobs outlive their queue");
    assert!(kit.find(waiting).await.is_ok());
}

pub async fn a_queue_made_again_begins_with_fresh_settings(kit: Kit) {
    kit.put("q", spec()).await;
    let name = queue_name("q");
    kit.store
        .pause(&kit.ns, &name, true)
        .await
        .expect("the store answers")
        .expect("it is there");
    kit.store
        .delete_queue(&kit.ns, &name)
        .await
        .expect("the store answers")
        .expect("it is empty");
    kit.advance(s(1));
    kit.submit(Draft {
        create_queue: true,
        ..Draft::default()
    })
    .await;
    let status = kit
        .store
        .queue(&kit.ns, &name)
        .await
        .expect("the store answers")
        .expect("it is there");
    let queue = status.queue;
    assert_eq!(
        (&queue.spec, queue.paused, queue.created_at),
        (&QueueSpec::default(), None, kit.now())
    );
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    assert_eq!(key(&Draft::default()), None);
}
