//! What a node promises as a whole.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::conformance::ModelStore;
use raincheck_core::job::{AttemptOutcome, Outcome, State};
use raincheck_core::queue::{QueueSpec, Worker};
use raincheck_core::store::{Idempotency, QueueRefused, StoreError, Submitted};

use super::*;
use crate::clock::SystemClock;
use crate::intake::IntakeRefused;
use crate::testing::faulty::Op;
use crate::testing::{Setup, eventually, options, promises, queue_name, sh, soon, text};

promises! {
    a_drain_lets_attempts_finish
    a_drain_gives_the_attempt_back
    a_draining_node_takes_nothing_new_but_knows_what_it_took
    a_second_shutdown_leaves_at_once
    a_poisoned_store_stops_the_node
    a_settlement_waits_for_a_store_that_comes_back
    a_queue_is_current_after_every_change
    jobs_that_waited_for_a_node_are_worked_when_it_starts
}

/// A program that says that it runs and ends when it is told by a file.
fn waits_for(setup: &Setup, go: &str) -> Worker {
    let (running, go) = (setup.path("running"), setup.path(go));
    sh(&format!(
        "echo > {running}; while ! test -e {go}; do sleep 0.01; done; echo done"
    ))
}

async fn runs(setup: &Setup) {
    let running = setup.path("running");
    eventually("the program's start", || Path::new(&running).exists()).await;
}

async fn a_drain_lets_attempts_finish(setup: Setup) {
    setup
        .queue("q", waits_for(&setup, "go"), |spec| spec.concurrency = Some(1))
        .await;
    let id = setup.submit("q", "").await;
    let waiting = setup.submit("q", "").await;
    runs(&setup).await;
    let node = setup.node.clone();
    let drain = async { soon("the drain", node.drain()).await };
    let finish = async {
        eventually("the drain's beginning", || setup.node.draining()).await;
        std::fs::write(setup.path("go"), "").unwrap();
    };
    tokio::join!(drain, finish);
    assert!(setup.node.drained().is_cancelled());
    assert_eq!(text(&setup.done(id).await), "done\n");
    assert_eq!(setup.job(waiting).await.attempt, 0, "nothing new was begun");
    soon("the close", setup.node.close()).await;
    assert!(matches!(
        setup.store.get(&setup.ns, id).await,
        Err(StoreError::Closed)
    ));
}

async fn a_drain_gives_the_attempt_back(setup: Setup) {
    let setup = Setup {
        node: Node::start(
            setup.store.clone(),
            NodeOptions {
                drain: Duration::from_millis(400),
                ..options()
            },
        )
        .await
        .unwrap(),
        ..setup
    };
    setup.queue("q", waits_for(&setup, "never"), |_| {}).await;
    let id = setup.submit("q", "").await;
    runs(&setup).await;
    soon("the drain", setup.node.drain()).await;
    let job = setup.job(id).await;
    assert_eq!(
        job.state(setup.store.now()),
        State::Queued,
        "it is offered at once"
    );
    assert_eq!(
        (job.attempt, job.fence.0),
        (0, 1),
        "the attempt is given back, the fence is not"
    );
    assert_eq!(job.attempts[0].outcome, AttemptOutcome::Interrupted);
}

async fn a_draining_node_takes_nothing_new_but_knows_what_it_took(setup: Setup) {
    setup.queue("q", Worker::Pull, |_| {}).await;
    let with_key = |key: &str| {
        let mut submission = setup.submission("q", "", |_, _| {});
        submission.idempotency = Some(Idempotency {
            key: key.to_owned(),
            fingerprint: [7; 32],
        });
        submission
    };
    let first = with_key("k");
    let id = first.job.id;
    setup
        .node
        .intake()
        .submit(&setup.ns, first)
        .await
        .unwrap()
        .unwrap();
    setup.node.drain().await;
    for refused in [with_key("other"), setup.submission("q", "", |_, _| {})] {
        let answer = setup.node.intake().submit(&setup.ns, refused).await.unwrap();
        assert_eq!(answer, Err(IntakeRefused::Draining));
    }
    let again = setup
        .node
        .intake()
        .submit(&setup.ns, with_key("k"))
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(again, Submitted::Replayed(Ok(_), replayed) if replayed == id),
        "{again:?}"
    );
}

async fn a_second_shutdown_leaves_at_once(setup: Setup) {
    setup.queue("q", waits_for(&setup, "never"), |_| {}).await;
    setup.submit("q", "").await;
    runs(&setup).await;
    let first = setup.node.shutdown();
    let second = async {
        eventually("the drain's beginning", || setup.node.draining()).await;
        setup.node.shutdown().await;
    };
    // The drain alone would take 10 s.
    let both = async { tokio::join!(first, second) };
    tokio::time::timeout(Duration::from_secs(8), both)
        .await
        .expect("nobody waits for the attempt");
    assert_eq!(setup.node.0.shop.attempts.running(), 0);
}

async fn a_poisoned_store_stops_the_node(setup: Setup) {
    setup.queue("q", waits_for(&setup, "never"), |_| {}).await;
    setup.submit("q", "").await;
    runs(&setup).await;
    assert_eq!(setup.node.failed(), None);
    setup.store.poison();
    assert_eq!(
        soon("the failure", setup.node.failure()).await,
        "the disk is gone"
    );
    assert_eq!(setup.node.failed().as_deref(), Some("the disk is gone"));
    eventually("the end of the attempt", || {
        setup.node.0.shop.attempts.running() == 0
    })
    .await;
    soon("the end", setup.node.shutdown()).await;
}

async fn a_settlement_waits_for_a_store_that_comes_back(setup: Setup) {
    setup
        .store
        .fail(Op::Settle, StoreError::Unavailable("away".to_owned()));
    setup.queue("q", sh("cat"), |_| {}).await;
    let ids = [setup.submit("q", "a").await, setup.submit("q", "b").await];
    eventually("several tries", || {
        setup.store.settles.load(Ordering::SeqCst) >= 3
    })
    .await;
    setup.store.mend();
    for id in ids {
        let done = setup.done(id).await.job;
        assert_eq!((done.attempt, done.outcome()), (1, Some(Outcome::Succeeded)));
    }
}

async fn a_queue_is_current_after_every_change(setup: Setup) {
    let name = queue_name("q");
    let queue = || async { setup.node.queue(&setup.ns, &name).await.unwrap() };
    let pause = |paused| setup.node.pause_queue(&setup.ns, &name, paused);
    assert_eq!(queue().await, None);
    setup.queue("q", Worker::Pull, |spec| spec.depth = Some(7)).await;
    assert_eq!(queue().await.unwrap().depth(), 7);
    pause(true).await.unwrap().unwrap();
    assert!(queue().await.unwrap().paused.is_some());
    pause(false).await.unwrap().unwrap();
    assert!(queue().await.unwrap().paused.is_none());
    setup.queue("q", Worker::Pull, |spec| spec.depth = Some(8)).await;
    assert_eq!(queue().await.unwrap().depth(), 8);
    let refused = setup
        .node
        .put_queue(&setup.ns, &name, QueueSpec::default(), false)
        .await
        .unwrap();
    assert_eq!(refused, Err(QueueRefused::Managed));
    assert_eq!(queue().await.unwrap().depth(), 8);
}

async fn jobs_that_waited_for_a_node_are_worked_when_it_starts(setup: Setup) {
    setup.queue("q", Worker::Pull, |_| {}).await;
    let id = setup.submit("q", "x").await;
    soon("the first node's end", setup.node.drain()).await;
    let worker = QueueSpec {
        worker: Some(sh("cat")),
        ..QueueSpec::default()
    };
    setup
        .store
        .put_queue(&setup.ns, &queue_name("q"), worker, true)
        .await
        .unwrap()
        .unwrap();
    let node = Node::start(setup.store.clone(), options()).await.unwrap();
    let setup = Setup { node, ..setup };
    assert_eq!(text(&setup.done(id).await), "x");
}

#[tokio::test]
async fn a_node_that_is_gone_lets_its_store_go() {
    let store: Arc<dyn Store> = Arc::new(ModelStore::new(Arc::new(SystemClock::new())));
    let weak = Arc::downgrade(&store);
    let node = Node::start(store.clone(), options()).await.unwrap();
    node.shutdown().await;
    drop((node, store));
    assert!(weak.upgrade().is_none());
}

/// Starts and stops over one directory, with jobs under way each time.
#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_lose_nothing_and_charge_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for round in 0..12_u64 {
        let last = round == 11;
        let store = crate::store::open(dir.path(), Arc::new(SystemClock::new())).unwrap();
        let drain = Duration::from_millis(if last { 20_000 } else { 30 * round });
        let setup = Setup::over(store, NodeOptions { drain, ..options() }).await;
        setup.queue("q", sh("sleep 0.05; cat"), |_| {}).await;
        for _ in 0..5 {
            ids.push(setup.submit("q", "x").await);
        }
        // Some are running by now, some wait, some are done.
        setup.done(ids[ids.len() / 3]).await;
        if last {
            for id in &ids {
                let done = setup.done(*id).await;
                assert_eq!(
                    (done.job.attempt, done.job.outcome()),
                    (1, Some(Outcome::Succeeded)),
                    "{:?}",
                    done.job
                );
                assert_eq!(text(&done), "x");
            }
        }
        soon("the shutdown", setup.node.shutdown()).await;
    }
}
