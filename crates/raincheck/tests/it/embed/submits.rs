//! Submitting from an application's own routes, and the API beside them.

use std::time::Duration;

use axum::extract::FromRef;
use axum::routing::post;
use axum::{Json, Router};
use raincheck::core::job::State;
use raincheck::embed::{
    Accepted, Args, JobError, JobType, OpenFailed, Raincheck, ResultError, SubmitError, queue,
};

use super::{App, opened};
use crate::client::Ask;

const SQUARE: JobType<u64, u64> = JobType::new("square");

async fn square(Args(number): Args<u64>) -> Result<u64, JobError> {
    Ok(number * number)
}

/// A state that has more than one thing in it.
#[derive(Clone)]
struct Application {
    rc: Raincheck,
}

impl FromRef<Application> for Raincheck {
    fn from_ref(application: &Application) -> Self {
        application.rc.clone()
    }
}

async fn ask(rc: Raincheck, Json(number): Json<u64>) -> Result<Accepted<u64>, SubmitError> {
    let key = format!("square-{number}");
    rc.submit(&SQUARE, &number).idempotency_key(key).send().await
}

async fn served() -> (App, tempfile::TempDir) {
    let (rc, folder) = opened(Raincheck::builder().handle(SQUARE, queue(), square)).await;
    let app = Router::new().route("/squares", post(ask)).merge(rc.router());
    let app = App::serve(&rc, app.with_state(Application { rc: rc.clone() })).await;
    (app, folder)
}

#[tokio::test]
async fn a_route_answers_202_and_the_result_is_redeemed_beside_it() {
    let (app, _folder) = served().await;
    let answer = app.ask("POST", "/squares").json("12").send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(answer.json()["urls"]["self"], *location);
    assert_eq!(answer.header("retry-after"), Some("1"));
    let result = app.ask("GET", &format!("{location}/result?wait=30")).send().await;
    assert_eq!((result.status, result.text()), (200, "144"));
    let again = app.ask("POST", "/squares").json("12").send().await;
    assert_eq!((again.status, again.header("location")), (202, Some(&*location)));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn by_a_ticket_the_clients_of_a_route_redeem_under_the_applications_own_name() {
    async fn ask(rc: Raincheck, Json(number): Json<u64>) -> Result<Accepted<u64>, SubmitError> {
        let order = rc
            .submit(&SQUARE, &number)
            .idempotency_key(format!("square-{number}"));
        order.ticket(Duration::from_secs(3600)).send().await
    }
    let (rc, _folder) = opened(Raincheck::builder().handle(SQUARE, queue(), square)).await;
    let app = Router::new().route("/squares", post(ask)).merge(rc.router());
    let app = App::serve(&rc, app.with_state(Application { rc: rc.clone() })).await;
    let to = |method: &str, path: &str| Ask::to_host(app.addr, "squares.example", method, path);
    for replayed in [None, Some("true")] {
        let answer = to("POST", "/squares").json("12").send().await;
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (202, replayed)
        );
        let location = answer.header("location").unwrap();
        let (document, result) = (answer.json(), answer.json()["urls"]["result"].clone());
        assert_eq!(document["urls"]["self"], *location);
        let result = to("GET", &format!("{}&wait=30", result.as_str().unwrap()))
            .send()
            .await;
        assert_eq!((result.status, result.text()), (200, "144"));
        let plain = to("GET", location.split('?').next().unwrap()).send().await;
        assert_eq!(plain.status, 403, "{plain:?}");
    }
}

#[tokio::test]
async fn the_whole_api_is_there_beside_the_applications_routes() {
    let (app, _folder) = served().await;
    for path in [
        "/v1/queues/square",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        let answer = app.ask("GET", path).send().await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let queue = app.ask("GET", "/v1/queues/square").send().await.json();
    assert_eq!(
        (&queue["worker"], &queue["managed"]),
        (&"function".into(), &true.into())
    );
    let nothing = app.ask("GET", "/v1/nothing").send().await;
    assert_eq!(
        (nothing.status, &nothing.json()["code"]),
        (404, &"not-found".into())
    );
    // Over the API too a function works the job.
    let posted = app
        .ask("POST", "/v1/queues/square/jobs?wait=30")
        .json("3")
        .send()
        .await;
    assert_eq!((posted.status, posted.text()), (200, "9"));
    for worker in [r#"{"worker":"function"}"#, r#"{"worker":"pull"}"#] {
        let put = app.ask("PUT", "/v1/queues/square").json(worker).send().await;
        assert!((400..500).contains(&put.status), "{worker}: {put:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_the_problem_that_the_api_gives() {
    async fn nowhere(rc: Raincheck) -> Result<Accepted<()>, SubmitError> {
        const NOWHERE: JobType<(), ()> = JobType::new("nowhere");
        rc.submit(&NOWHERE, &()).send().await
    }
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = Router::new()
        .route("/nowhere", post(nowhere))
        .with_state(rc.clone());
    let app = App::serve(&rc, app).await;
    let answer = app.ask("POST", "/nowhere").send().await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["code"], "unknown-queue");
}

#[tokio::test]
async fn options_are_those_of_the_api() {
    let (rc, _folder) = opened(Raincheck::builder().handle(SQUARE, queue(), square)).await;
    let accepted = rc
        .submit(&SQUARE, &2)
        .delay(Duration::from_secs(3600))
        .priority(1)
        .group("tenant-7")
        .tags("eu, nightly")
        .timeout(Duration::from_secs(9))
        .deadline(Duration::from_secs(7200))
        .max_attempts(7)
        .keep(Duration::from_secs(60))
        .option("unique", "\"two\"")
        .send()
        .await
        .unwrap();
    assert!(!accepted.was_there());
    let job = rc.job(accepted.id()).await.unwrap().unwrap();
    assert_eq!(job.state(rc.node().store().now()), State::Scheduled);
    assert_eq!((job.priority, job.options.max_attempts), (1, Some(7)));
    assert_eq!(job.group.as_ref().map(|group| group.as_str()), Some("tenant-7"));
    let taken = rc
        .submit(&SQUARE, &3)
        .option("unique", "\"two\"")
        .send()
        .await
        .unwrap_err();
    assert_eq!(taken.code(), "unique-conflict");
    for (field, value) in [("priority", "10"), ("colour", "red"), ("delay", "soon")] {
        let refused = rc
            .submit(&SQUARE, &2)
            .option(field, value)
            .send()
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "bad-request", "{field}");
        assert!(refused.to_string().contains(field), "{refused}");
    }
    rc.cancel(accepted.id()).await.unwrap().unwrap();
    assert_eq!(accepted.result().await, Err(ResultError::Cancelled));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("jobs");
    let open = |builder: raincheck::embed::Builder| builder.open(at.clone());
    let name = open(Raincheck::builder().handle("no name", queue(), square)).await;
    assert!(matches!(name, Err(OpenFailed::Name(_))), "{name:?}");
    let twice = Raincheck::builder().handle(SQUARE, queue(), square);
    let twice = open(twice.handle(SQUARE, queue(), square)).await;
    assert!(matches!(twice, Err(OpenFailed::Twice(_))), "{twice:?}");
    let setting = open(Raincheck::builder().handle(SQUARE, queue().concurrency(0), square)).await;
    assert!(
        setting
            .unwrap_err()
            .to_string()
            .contains("queue square: concurrency is 1 to")
    );
    assert!(!at.exists());
    let postgres = Raincheck::builder().open("postgres://localhost/jobs").await;
    assert!(matches!(postgres, Err(OpenFailed::Address(_))), "{postgres:?}");
}
