//! What dispatch promises.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use axum::Router;
use axum::routing::post;
use raincheck_core::job::Outcome;
use raincheck_core::queue::Worker;
use raincheck_core::store::{Store, StoreError};
use tokio::sync::Semaphore;

use super::*;
use crate::testing::faulty::Op;
use crate::testing::handler::Handler;
use crate::testing::{Setup, eventually, promises, queue_name, sh, text};

promises! {
    dispatch_claims_only_free_slots
    a_host_is_never_sent_more_than_it_may_have_by_all_queues_together
    who_writes_sixteen_means_sixteen
    a_submit_wakes_an_idle_queue
    a_paused_queue_is_not_worked_and_a_resumed_one_at_once
    another_worker_is_used_at_once
    a_job_claimed_for_a_former_worker_is_not_begun_by_it
    more_concurrency_is_used_at_once
    a_failing_store_is_not_hammered
    every_job_of_many_is_worked_once
    an_idle_queue_is_left_alone
}

/// A handler that lets requests through one by one, and knows how many were in it at once.
struct Turnstile {
    handler: Handler,
    /// The same at another port.
    other: Handler,
    entered: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
}

impl Turnstile {
    async fn new() -> Self {
        let (entered, inside, most) = (
            Arc::<AtomicU32>::default(),
            Arc::<AtomicU32>::default(),
            Arc::<AtomicU32>::default(),
        );
        let gate = Arc::new(Semaphore::new(0));
        let shared = (entered.clone(), inside, most.clone(), gate.clone());
        let handle = move || {
            let (entered, inside, most, gate) = shared.clone();
            async move {
                entered.fetch_add(1, Ordering::SeqCst);
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let routes = Router::new().route("/", post(handle));
        let handler = Handler::serve(routes.clone()).await;
        let other = Handler::serve(routes).await;
        Self {
            handler,
            other,
            entered,
            most,
            gate,
        }
    }

    /// Both ports in turn.
    fn at_both(&self) -> Worker {
        let url = |handler: &Handler| format!("http://{}/", handler.addr);
        Worker::Push(vec![url(&self.handler), url(&self.other)])
    }

    async fn entered(&self, n: u32) {
        eventually("the requests", || self.entered.load(Ordering::SeqCst) >= n).await;
    }
}

async fn dispatch_claims_only_free_slots(setup: Setup) {
    let turnstile = Turnstile::new().await;
    // Not written down, so the store does not bound it: only dispatch does, at 16. Each of two hosts takes 8.
    setup.queue("q", turnstile.at_both(), |_| {}).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(setup.submit("q", "").await);
    }
    turnstile.entered(16).await;
    turnstile.gate.add_permits(1);
    turnstile.entered(17).await;
    turnstile.gate.add_permits(100);
    for id in ids {
        assert_eq!(setup.done(id).await.job.attempt, 1);
    }
    assert_eq!(turnstile.most.load(Ordering::SeqCst), 16);
    assert!(setup.store.wanted_max.load(Ordering::SeqCst) <= 16);
}

async fn a_host_is_never_sent_more_than_it_may_have_by_all_queues_together(setup: Setup) {
    let turnstile = Turnstile::new().await;
    setup.queue("a", turnstile.handler.at("/"), |_| {}).await;
    setup.queue("b", turnstile.handler.at("/"), |_| {}).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(setup.submit("a", "").await);
        ids.push(setup.submit("b", "").await);
    }
    turnstile.entered(8).await;
    turnstile.gate.add_permits(1);
    turnstile.entered(9).await;
    turnstile.gate.add_permits(100);
    for id in ids {
        assert_eq!(setup.done(id).await.job.attempt, 1);
    }
    assert_eq!(turnstile.most.load(Ordering::SeqCst), 8);
}

async fn who_writes_sixteen_means_sixteen(setup: Setup) {
    let turnstile = Turnstile::new().await;
    setup
        .queue("q", turnstile.handler.at("/"), |spec| spec.concurrency = Some(16))
        .await;
    for _ in 0..20 {
        setup.submit("q", "").await;
    }
    turnstile.entered(16).await;
    turnstile.gate.add_permits(100);
}

async fn a_submit_wakes_an_idle_queue(setup: Setup) {
    setup.queue("q", sh("cat"), |_| {}).await;
    for _ in 0..3 {
        let id = setup.submit("q", "x").await;
        // Sooner than the line would look by itself.
        let done = tokio::time::timeout(Duration::from_secs(4), setup.done(id)).await;
        assert_eq!(text(&done.expect("somebody woke the line")), "x");
        eventually("the free slot", || setup.node.shop().attempts.running() == 0).await;
    }
}

async fn a_paused_queue_is_not_worked_and_a_resumed_one_at_once(setup: Setup) {
    setup.queue("q", sh("cat"), |_| {}).await;
    let name = queue_name("q");
    setup
        .node
        .pause_queue(&setup.ns, &name, true)
        .await
        .unwrap()
        .unwrap();
    let claims = setup.store.claims.load(Ordering::SeqCst);
    let id = setup.submit("q", "x").await;
    // Another queue is worked meanwhile, so there was time for this one.
    setup.queue("other", sh("cat"), |_| {}).await;
    let other = setup.submit("other", "y").await;
    setup.done(other).await;
    assert_eq!(setup.job(id).await.attempt, 0);
    setup
        .node
        .pause_queue(&setup.ns, &name, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(text(&setup.done(id).await), "x");
    assert!(setup.store.claims.load(Ordering::SeqCst) > claims);
}

async fn a_job_claimed_for_a_former_worker_is_not_begun_by_it(setup: Setup) {
    setup.queue("q", Worker::Pull, |_| {}).await;
    let id = setup.submit("q", "x").await;
    let held = setup.store.hold(Op::Claim);
    setup.queue("q", sh("echo one"), |_| {}).await;
    while setup.job(id).await.attempt == 0 {
        tokio::task::yield_now().await;
    }
    setup.queue("q", sh("echo two"), |_| {}).await;
    held.cancel();
    assert_eq!(text(&setup.done(id).await), "two\n");
    assert_eq!(
        setup.job(id).await.attempt,
        1,
        "the one that was given back is not charged"
    );
}

async fn another_worker_is_used_at_once(setup: Setup) {
    setup.queue("q", Worker::Pull, |_| {}).await;
    let id = setup.submit("q", "x").await;
    setup.queue("q", sh("echo one"), |_| {}).await;
    assert_eq!(text(&setup.done(id).await), "one\n");
    setup.queue("q", sh("echo two"), |_| {}).await;
    let id = setup.submit("q", "x").await;
    assert_eq!(text(&setup.done(id).await), "two\n");
    setup.queue("q", Worker::Pull, |_| {}).await;
    let id = setup.submit("q", "x").await;
    setup.queue("other", sh("cat"), |_| {}).await;
    let other = setup.submit("other", "y").await;
    setup.done(other).await;
    // A claim under the former settings may have taken it, and gives it back.
    while setup.job(id).await.attempt != 0 {
        tokio::task::yield_now().await;
    }
    setup.store.cancel(&setup.ns, vec![id]).await.unwrap();
    setup
        .node
        .delete_queue(&setup.ns, &queue_name("q"))
        .await
        .unwrap()
        .unwrap_or(());
    setup.queue("q", sh("echo three"), |_| {}).await;
    let id = setup.submit("q", "x").await;
    assert_eq!(text(&setup.done(id).await), "three\n");
}

async fn more_concurrency_is_used_at_once(setup: Setup) {
    let turnstile = Turnstile::new().await;
    setup
        .queue("q", turnstile.handler.at("/"), |spec| spec.concurrency = Some(1))
        .await;
    for _ in 0..4 {
        setup.submit("q", "").await;
    }
    turnstile.entered(1).await;
    setup
        .queue("q", turnstile.handler.at("/"), |spec| spec.concurrency = Some(4))
        .await;
    turnstile.entered(4).await;
    turnstile.gate.add_permits(4);
}

async fn a_failing_store_is_not_hammered(setup: Setup) {
    setup.queue("q", sh("cat"), |_| {}).await;
    let before = setup.store.claims.load(Ordering::SeqCst);
    setup
        .store
        .fail(Op::Claim, StoreError::Unavailable("away".to_owned()));
    let id = setup.submit("q", "x").await;
    let started = tokio::time::Instant::now();
    eventually("several tries", || {
        setup.store.claims.load(Ordering::SeqCst) >= before + 5
    })
    .await;
    // Four pauses lie between five tries, each at least half of 50, 100, 200 and 400 ms.
    assert!(
        started.elapsed() >= Duration::from_millis(375),
        "{:?}",
        started.elapsed()
    );
    setup.store.mend();
    assert_eq!(text(&setup.done(id).await), "x");
}

async fn every_job_of_many_is_worked_once(setup: Setup) {
    let seen = Arc::new(Mutex::new(Map::<String, u32>::default()));
    let sink = seen.clone();
    let count = move |headers: axum::http::HeaderMap| async move {
        let job = headers["raincheck-job"].to_str().unwrap().to_owned();
        *sink.lock().unwrap().entry(job).or_default() += 1;
    };
    let handler = Handler::serve(Router::new().route("/", post(count))).await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(setup.submit("q", "").await);
    }
    for id in &ids {
        assert_eq!(setup.done(*id).await.job.outcome(), Some(Outcome::Succeeded));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 200);
    assert!(seen.values().all(|times| *times == 1));
}

async fn an_idle_queue_is_left_alone(setup: Setup) {
    setup.queue("q", sh("cat"), |_| {}).await;
    let id = setup.submit("q", "x").await;
    setup.done(id).await;
    eventually("the free slot", || setup.node.shop().attempts.running() == 0).await;
    let before = setup.store.claims.load(Ordering::SeqCst);
    // Another queue's whole life goes by.
    setup.queue("other", sh("cat"), |_| {}).await;
    let other = setup.submit("other", "y").await;
    setup.done(other).await;
    let after = setup.store.claims.load(Ordering::SeqCst);
    assert!(after - before <= 8, "{before} then {after} claims");
}
