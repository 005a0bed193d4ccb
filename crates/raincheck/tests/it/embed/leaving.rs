//! How an application leaves, and what its jobs see of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use raincheck::embed::{Attempt, Ctx, JobError, JobType, Raincheck, ResultError, queue};
use tokio::sync::Semaphore;

use super::{App, opened};

const WAIT: JobType<(), u32> = JobType::new("wait");

/// A handler that says when it began, and ends when it is let.
#[derive(Clone)]
struct Gate {
    begun: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self {
            begun: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    fn builder(&self) -> raincheck::embed::Builder<Self> {
        async fn wait(
            axum::extract::State(gate): axum::extract::State<Gate>,
            Attempt(attempt): Attempt,
        ) -> Result<u32, JobError> {
            gate.begun.add_permits(1);
            gate.open.acquire().await?.forget();
            Ok(attempt)
        }
        Raincheck::builder()
            .with_state(self.clone())
            .handle(WAIT, queue(), wait)
    }
}

#[tokio::test]
async fn a_stop_lets_running_jobs_finish_while_the_door_still_answers() {
    let gate = Gate::new();
    let (rc, folder) = opened(gate.builder()).await;
    let app = App::serve(&rc, rc.router::<()>()).await;
    let accepted = rc.submit(&WAIT, &()).send().await.unwrap();
    gate.begun.acquire().await.unwrap().forget();
    app.stop.cancel();
    loop {
        let ready = app.ask("GET", "/readyz").send().await;
        if ready.status == 503 {
            break;
        }
    }
    gate.open.add_permits(1);
    assert_eq!(accepted.result().await, Ok(1));
    app.ended.await.unwrap().unwrap();
    let rc = Gate::new()
        .builder()
        .open(folder.path().join("jobs"))
        .await
        .unwrap();
    assert_eq!(rc.result::<u32>(accepted.id()).await, Ok(1));
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_given_back_and_worked_at_the_next_opening() {
    let gate = Gate::new();
    let (rc, folder) = opened(gate.builder()).await;
    let accepted = rc.submit(&WAIT, &()).send().await.unwrap();
    gate.begun.acquire().await.unwrap().forget();
    let waiting = accepted.result();
    let (left, waited) = tokio::join!(rc.shutdown(Duration::from_millis(50)), waiting);
    assert_eq!((left, waited), ((), Err(ResultError::Leaving)));
    drop((rc, gate));
    let gate = Gate::new();
    gate.open.add_permits(1);
    let rc = gate.builder().open(folder.path().join("jobs")).await.unwrap();
    assert_eq!(
        rc.result::<u32>(accepted.id()).await,
        Ok(1),
        "no attempt is charged"
    );
}

/// A handler that leaves with this error when it is told to, and ends when it is let.
fn leaving(gate: &Gate, error: fn(&str) -> JobError) -> raincheck::embed::Builder<()> {
    let gate = gate.clone();
    let handler = move |ctx: Ctx, Attempt(attempt): Attempt| {
        let gate = gate.clone();
        async move {
            gate.begun.add_permits(1);
            tokio::select! {
                open = gate.open.acquire() => open?.forget(),
                why = ctx.stopped() => return Err(error(&format!("{why:?}"))),
            }
            Ok::<_, JobError>(attempt)
        }
    };
    Raincheck::builder().handle(WAIT, queue().max_attempts(1), handler)
}

/// What comes of a job whose handler leaves with this error while the application stops, at the next opening.
async fn after_leaving(error: fn(&str) -> JobError) -> Result<u32, ResultError> {
    let gate = Gate::new();
    let (rc, folder) = opened(leaving(&gate, error)).await;
    let accepted = rc.submit(&WAIT, &()).send().await.unwrap();
    gate.begun.acquire().await.unwrap().forget();
    rc.shutdown(Duration::from_secs(60)).await;
    drop((rc, gate));
    let gate = Gate::new();
    gate.open.add_permits(1);
    let rc = leaving(&gate, error)
        .open(folder.path().join("jobs"))
        .await
        .unwrap();
    rc.result::<u32>(accepted.id()).await
}

#[tokio::test]
async fn a_handler_that_leaves_because_the_application_does_is_given_back_uncharged() {
    assert_eq!(after_leaving(|why| JobError::retry(why)).await, Ok(1));
}

#[tokio::test]
async fn a_handler_that_fails_for_good_while_the_application_leaves_has_failed() {
    let result = after_leaving(|why| JobError::fatal(why).code("left")).await;
    let Err(ResultError::Failed(failure)) = result else {
        panic!("{result:?}");
    };
    assert_eq!((&*failure.code, &*failure.detail), ("left", "Draining"));
}

#[tokio::test]
async fn jobs_survive_an_application_that_is_cut() {
    let (rc, folder) = opened(Gate::new().builder()).await;
    let accepted = rc.submit(&WAIT, &()).send().await.unwrap();
    let id = accepted.id();
    rc.node().abort();
    let refused = rc.submit(&WAIT, &()).send().await.unwrap_err();
    assert_eq!(refused.code(), "draining");
    rc.node().close().await;
    drop((rc, accepted));
    let gate = Gate::new();
    gate.open.add_permits(1);
    let rc = gate.builder().open(folder.path().join("jobs")).await.unwrap();
    assert!(rc.result::<u32>(id).await.is_ok());
}

#[tokio::test]
async fn an_application_without_the_api_serves_its_own_routes_alone() {
    async fn hello() -> &'static str {
        "hello"
    }
    async fn nothing(_: Ctx) {}
    let (rc, _folder) = opened(Raincheck::builder().handle("nothing", queue(), nothing)).await;
    let app = App::serve(&rc, Router::new().route("/", axum::routing::get(hello))).await;
    let answer = app.ask("GET", "/").send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(app.ask("GET", "/v1/queues").send().await.status, 404);
}
