//! What every attempt is promised, whoever runs it.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use raincheck_core::content::JobResult;
use raincheck_core::decide::Claimer;
use raincheck_core::id::{JobId, Nonce};
use raincheck_core::job::{AttemptOutcome, Outcome};
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::WorkerName;
use raincheck_core::queue::{QueueSpec, Worker};
use raincheck_core::store::{Claim, Renew, Settle, Store, StoreError};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::dispatch::Slots;
use crate::testing::faulty::Op;
use crate::testing::{Setup, eventually, promises, queue_name, sh, soon, text};
use crate::workers::{AttemptEnd, StopReason};

promises! {
    a_panic_in_one_attempt_harms_no_other
    a_lease_is_renewed_while_the_attempt_runs
    an_attempt_that_was_settled_over_its_lease_settles_nothing
    an_attempt_that_lost_its_lease_stops_and_settles_nothing
    a_cancel_request_that_was_not_heard_is_learned_by_renewal
    a_job_cancelled_before_its_attempt_began_is_not_worked
    a_runner_that_does_not_listen_is_cut
    nothing_new_starts_while_a_lease_cannot_be_renewed
    what_was_claimed_too_late_is_given_back
}

type Run = dyn Fn(Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> + Send + Sync;

/// A worker made by a test.
struct Made(Box<Run>);

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

impl Runner for Made {
    fn kind(&self) -> WorkerKind {
        WorkerKind::Function
    }

    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>> {
        (self.0)(ctx)
    }
}

fn made<F: Future<Output = AttemptEnd> + Send + 'static>(
    run: impl Fn(Ctx) -> F + Send + Sync + 'static,
) -> Arc<dyn Runner> {
    Arc::new(Made(Box::new(move |ctx| Box::pin(run(ctx)))))
}

fn succeed() -> AttemptEnd {
    AttemptEnd::Succeeded(JobResult::new(200, None, Vec::new(), "done".into()))
}

/// A queue that nobody but the test claims from.
async fn own_queue(setup: &Setup, change: impl FnOnce(&mut QueueSpec)) -> Arc<Queue> {
    setup.queue("own", Worker::Pull, change).await
}

async fn claimed(setup: &Setup, queue: &Queue) -> Leased {
    let claim = Claim {
        queue: queue_name("own"),
        claimer: Claimer {
            worker: WorkerName::new("test").unwrap(),
            kind: WorkerKind::Function,
            term: queue.lease_for(),
            claim_id: None,
        },
        nonces: vec![Nonce(rand::random())],
        running_max: None,
        passing_over: Vec::new(),
    };
    setup
        .store
        .claim(&setup.ns, claim)
        .await
        .unwrap()
        .pop()
        .expect("a job is there")
}

/// Starts an attempt at the next job of the test's own queue.
async fn begin(setup: &Setup, queue: &Arc<Queue>, runner: Arc<dyn Runner>) {
    let leased = claimed(setup, queue).await;
    go_on(setup, queue, leased, runner);
}

fn go_on(setup: &Setup, queue: &Arc<Queue>, leased: Leased, runner: Arc<dyn Runner>) {
    let attempt = Attempt {
        leased,
        queue: queue.clone(),
        runner,
        asked: Instant::now(),
        slot: Arc::new(Slots::default()).take(),
        place: None,
    };
    start(setup.node.shop(), attempt);
}

async fn submitted(setup: &Setup) -> (Arc<Queue>, JobId) {
    let queue = own_queue(setup, |spec| spec.lease_for = Some(Duration::from_secs(1))).await;
    (queue, setup.submit("own", "").await)
}

async fn a_panic_in_one_attempt_harms_no_other(setup: Setup) {
    let queue = own_queue(&setup, |spec| spec.max_attempts = Some(1)).await;
    let (bad, good) = (setup.submit("own", "").await, setup.submit("own", "").await);
    begin(&setup, &queue, made(|_| async { panic!("at the disco") })).await;
    let (go, wait) = watch::channel(false);
    let runner = made(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            succeed()
        }
    });
    begin(&setup, &queue, runner).await;
    let failed = setup.done(bad).await.job;
    assert_eq!(failed.outcome(), Some(Outcome::Failed));
    let error = failed.error.clone().unwrap();
    assert_eq!(
        (error.code.as_str(), error.detail.as_str()),
        ("handler-failed", "the handler panicked")
    );
    // The other one is still there, and goes on when it is told to.
    assert!(!setup.job(good).await.done());
    go.send_replace(true);
    assert_eq!(text(&setup.done(good).await), "done");
}

async fn a_lease_is_renewed_while_the_attempt_runs(setup: Setup) {
    let (queue, id) = submitted(&setup).await;
    let renewed = {
        let store = setup.store.clone();
        move || store.renewals.load(Ordering::SeqCst) >= 4
    };
    let runner = made(move |_| {
        let renewed = renewed.clone();
        async move {
            // More than a whole term: without renewals the lease would be reclaimed.
            eventually("four renewals", renewed).await;
            succeed()
        }
    });
    begin(&setup, &queue, runner).await;
    let done = setup.done(id).await.job;
    assert_eq!((done.attempt, done.outcome()), (1, Some(Outcome::Succeeded)));
}

/// Begins an attempt that tells when it has begun and why it is to stop, and succeeds all the same.
fn stubborn(setup: &Setup, queue: &Arc<Queue>, leased: Leased) -> mpsc::Receiver<Option<StopReason>> {
    let (tell, told) = mpsc::channel(1);
    let runner = made(move |ctx: Ctx| {
        let (tell, stops) = (tell.clone(), ctx.stops);
        async move {
            tell.send(None).await.unwrap();
            tell.send(Some(stops.told().await.reason)).await.unwrap();
            succeed()
        }
    });
    go_on(setup, queue, leased, runner);
    told
}

async fn an_attempt_that_was_settled_over_its_lease_settles_nothing(setup: Setup) {
    // The first renewal would come too late to tell it.
    let queue = own_queue(&setup, |spec| spec.lease_for = Some(Duration::from_secs(300))).await;
    let id = setup.submit("own", "").await;
    let leased = claimed(&setup, &queue).await;
    let lease = leased.job.lease_id().unwrap();
    let mut told = stubborn(&setup, &queue, leased);
    assert_eq!(soon("the beginning", told.recv()).await, Some(None));
    let settle = Settle {
        lease,
        settlement: Settlement::Cancel,
        digest: [1; 16],
        seed: 0,
    };
    let mut settled = setup.store.settle(&setup.ns, vec![settle]).await.unwrap();
    settled.pop().unwrap().unwrap();
    let reason = soon("the stop", told.recv()).await;
    assert_eq!(reason, Some(Some(StopReason::Settled)));
    eventually("the attempt's end", || setup.node.shop().attempts.running() == 0).await;
    let settles = setup.store.settles.load(Ordering::SeqCst);
    assert_eq!(settles, 1, "only the test's own");
    assert_eq!(setup.job(id).await.outcome(), Some(Outcome::Cancelled));
}

async fn an_attempt_that_lost_its_lease_stops_and_settles_nothing(setup: Setup) {
    let (queue, id) = submitted(&setup).await;
    let leased = claimed(&setup, &queue).await;
    setup
        .store
        .fail(Op::Renew, StoreError::Unavailable("away".to_owned()));
    let mut told = stubborn(&setup, &queue, leased);
    assert_eq!(soon("the beginning", told.recv()).await, Some(None));
    // The lease lapses and is reclaimed.
    let reason = soon("the stop", told.recv()).await;
    assert_eq!(reason, Some(Some(StopReason::LeaseOver)));
    eventually("the attempt's end", || setup.node.shop().attempts.running() == 0).await;
    assert_eq!(setup.store.settles.load(Ordering::SeqCst), 0);
    assert_eq!(setup.job(id).await.attempts[0].outcome, AttemptOutcome::LeaseLost);
}

async fn a_cancel_request_that_was_not_heard_is_learned_by_renewal(setup: Setup) {
    let (queue, id) = submitted(&setup).await;
    let leased = claimed(&setup, &queue).await;
    // Nobody hears what the store tells any more.
    setup.store.observe_nobody();
    setup.store.cancel(&setup.ns, vec![id]).await.unwrap();
    let runner = made(|ctx: Ctx| {
        let stops = ctx.stops;
        async move {
            assert_eq!(stops.told().await.reason, StopReason::Cancelled);
            AttemptEnd::Stopped
        }
    });
    go_on(&setup, &queue, leased, runner);
    eventually("the attempt's end", || setup.node.shop().attempts.running() == 0).await;
    let job = setup.job(id).await;
    assert_eq!(job.outcome(), Some(Outcome::Cancelled));
    assert_eq!(job.attempts[0].outcome, AttemptOutcome::Cancelled);
}

async fn a_job_cancelled_before_its_attempt_began_is_not_worked(setup: Setup) {
    let (queue, id) = submitted(&setup).await;
    let leased = claimed(&setup, &queue).await;
    setup.store.cancel(&setup.ns, vec![id]).await.unwrap();
    let begun = Arc::new(AtomicBool::new(false));
    let mark = begun.clone();
    let runner = made(move |_| {
        mark.store(true, Ordering::SeqCst);
        pending()
    });
    go_on(&setup, &queue, leased, runner);
    let job = setup.done(id).await.job;
    assert_eq!(job.outcome(), Some(Outcome::Cancelled));
    assert!(!begun.load(Ordering::SeqCst));
}

async fn a_runner_that_does_not_listen_is_cut(setup: Setup) {
    let queue = own_queue(&setup, |spec| {
        spec.timeout = Some(Duration::from_millis(50));
        spec.max_attempts = Some(1);
    })
    .await;
    let id = setup.submit("own", "").await;
    begin(&setup, &queue, made(|_| pending())).await;
    let job = setup.done(id).await.job;
    assert_eq!(job.attempts[0].outcome, AttemptOutcome::TimedOut);
    eventually("the attempt's end", || setup.node.shop().attempts.running() == 0).await;
}

async fn nothing_new_starts_while_a_lease_cannot_be_renewed(setup: Setup) {
    let (queue, id) = submitted(&setup).await;
    begin(&setup, &queue, made(|_| pending())).await;
    for op in [Op::Renew, Op::Reclaim] {
        setup.store.fail(op, StoreError::Unavailable("away".to_owned()));
    }
    eventually("the local deadline", || setup.node.shop().unrenewed.any()).await;
    let claims = setup.store.claims.load(Ordering::SeqCst);
    setup.queue("q", sh("cat"), |_| {}).await;
    let waiting = setup.submit("q", "x").await;
    let renewals = setup.store.renewals.load(Ordering::SeqCst);
    eventually("further tries", || {
        setup.store.renewals.load(Ordering::SeqCst) >= renewals + 2
    })
    .await;
    assert_eq!(
        setup.store.claims.load(Ordering::SeqCst),
        claims,
        "nobody claimed"
    );
    assert_eq!(setup.job(waiting).await.attempt, 0);
    setup.store.mend();
    assert_eq!(text(&setup.done(waiting).await), "x");
    assert!(!setup.job(id).await.done());
}

async fn what_was_claimed_too_late_is_given_back(setup: Setup) {
    let (queue, id) = submitted(&setup).await;
    let leased = claimed(&setup, &queue).await;
    give_back(
        setup.node.shop(),
        &leased,
        false,
        Arc::new(Slots::default()).take(),
    );
    let job = setup.when(id, |job| job.attempts.len() == 1).await.job;
    assert_eq!(
        (job.attempt, job.attempts[0].outcome),
        (0, AttemptOutcome::Released)
    );
    // Its lease is over for whoever still has it.
    let lease = leased.job.lease_id().unwrap();
    let renew = Renew {
        lease,
        term: Duration::from_secs(1),
        progress: None,
        defer: false,
    };
    assert!(setup.store.renew(&setup.ns, vec![renew]).await.unwrap()[0].is_none());
}
