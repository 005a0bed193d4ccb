//! Batches: uploaded as lines, counted, cancelled, told of.

mod results;
mod upload;

use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Server, Setup, failure, success};
use crate::push::Endpoint;
use crate::push::signed::{secret, verified};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use raincheck::core::clock::ManualClock;

/// Uploads these lines; lines that name no queue are for `thumbs`.
pub(crate) async fn upload(server: &Server, lines: &[Value], headers: &[(&str, &str)]) -> Answer {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut ask = server.post("/v1/batches?queue=thumbs");
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    ask.header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .await
}

/// So many lines.
pub(crate) fn lines(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"input": {"n": n}})).collect()
}

/// Uploads so many lines; the id of their batch.
pub(crate) async fn batch(server: &Server, count: usize) -> String {
    let answer = upload(server, &lines(count), &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn look(server: &Server, id: &str) -> Value {
    let answer = server.get(&format!("/v1/batches/{id}")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_batch_is_counted_until_it_is_done() {
    let server = Server::start().await;
    let answer = upload(
        &server,
        &[
            json!({"input": 1}),
            json!({"input": 2}),
            json!({"input": 3, "delay": "1h"}),
        ],
        &[],
    )
    .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let batch = answer.json();
    let id = batch["id"].as_str().unwrap();
    let path = format!("/v1/batches/{id}");
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(batch["urls"]["self"], path);
    let counts = json!({"scheduled": 1, "queued": 2, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0});
    assert_eq!(
        (
            &batch["sealed"],
            &batch["done"],
            &batch["total"],
            &batch["counts"]
        ),
        (&json!(true), &json!(false), &json!(3), &counts)
    );
    let first = server.work(success("1")).await;
    let document = server.get(&format!("/v1/jobs/{}", first.id)).send().await.json();
    assert_eq!(
        (&document["batch"], &document["expires_at"]),
        (&json!(id), &Value::Null)
    );
    server.work(failure("handler-failed", "no", None)).await;
    let half = look(&server, id).await;
    assert_eq!(half["progress"], 0.6666);
    let jobs = server
        .get(&format!("/v1/jobs?batch={id}&state=scheduled"))
        .send()
        .await
        .json();
    let last = jobs["jobs"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1);
    server.post(&format!("/v1/jobs/{last}/cancel")).send().await;
    let done = server.get(&path).send().await;
    assert_eq!(done.header("retry-after"), None);
    let done = done.json();
    let counts = json!({"scheduled": 0, "queued": 0, "running": 0, "succeeded": 1, "failed": 1, "cancelled": 1, "expired": 0});
    assert_eq!(
        (&done["done"], &done["progress"], &done["counts"]),
        (&json!(true), &json!(1.0), &counts)
    );
    assert!(done["expires_at"].is_string() && done["finished_at"].is_string());
    let head = server.ask("HEAD", &path).send().await;
    assert_eq!((head.status, head.text()), (200, ""));
}

#[tokio::test]
async fn a_get_that_waits_is_answered_when_the_batch_is_done() {
    let server = Server::start().await;
    let id = batch(&server, 2).await;
    let early = server.get(&format!("/v1/batches/{id}?wait=0")).send().await;
    assert_eq!(
        (early.header("preference-applied"), &early.json()["done"]),
        (Some("wait=0"), &json!(false))
    );
    let wait = server
        .get(&format!("/v1/batches/{id}"))
        .header("prefer", "wait=60");
    let work = async {
        server.work(success("1")).await;
        server.work(success("2")).await;
    };
    let (answer, ()) = tokio::join!(wait.send(), work);
    assert_eq!(answer.header("preference-applied"), Some("wait=60"));
    assert_eq!(answer.json()["done"], true);
}

#[tokio::test]
async fn a_batch_is_cancelled_with_all_that_is_unfinished() {
    let server = Server::start().await;
    let id = batch(&server, 1_200).await;
    server.work(success("kept")).await;
    let running = server.claim("thumbs").await.unwrap();
    let path = format!("/v1/batches/{id}/cancel");
    let told = server.post(&path).send().await;
    assert_eq!(told.status, 202, "one runs: {told:?}");
    let counts = &told.json()["counts"];
    assert_eq!(
        (&counts["succeeded"], &counts["running"], &counts["cancelled"]),
        (&json!(1), &json!(1), &json!(1_198))
    );
    server
        .settle(&running, raincheck::core::decide::Settlement::Cancel)
        .await;
    let again = server.post(&path).send().await;
    assert_eq!((again.status, &again.json()["done"]), (200, &json!(true)));
    assert_eq!(again.json()["cancel_requested"], true);
    assert!(server.claim("thumbs").await.is_none());
}

#[tokio::test]
async fn a_retried_member_is_a_job_of_its_own() {
    let server = Server::start().await;
    let id = batch(&server, 1).await;
    let member = server.work(failure("handler-failed", "no", None)).await;
    let again = server.post(&format!("/v1/jobs/{}/retry", member.id)).send().await;
    assert_eq!((again.status, &again.json()["batch"]), (202, &Value::Null));
    let batch = look(&server, &id).await;
    assert_eq!((&batch["done"], &batch["total"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn members_can_be_acted_on_by_their_batch() {
    let server = Server::start().await;
    let id = batch(&server, 3).await;
    server.submit("of no batch").await;
    let filter = json!({"action": "cancel", "filter": {"batch": id}});
    let preview = server
        .post("/v1/jobs/bulk")
        .json(&filter.to_string())
        .send()
        .await
        .json();
    assert_eq!(preview["count"], 3);
    let mut deed = filter;
    deed["confirm"] = preview["confirm"].clone();
    let done = server
        .post("/v1/jobs/bulk")
        .json(&deed.to_string())
        .send()
        .await
        .json();
    assert_eq!(
        (&done["acted"], &look(&server, &id).await["done"]),
        (&json!(3), &json!(true))
    );
}

#[tokio::test]
async fn a_batch_that_is_done_is_told_once_with_a_signature() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    let callback = format!("\"http://{}/hook\"", endpoint.addr);
    let answer = upload(&server, &lines(2), &[("raincheck-callback", &callback)]).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    server.work(success("1")).await;
    assert!(!endpoint.more(), "one remains");
    server.work(success("2")).await;
    let told = endpoint.next().await;
    let webhook: Value = serde_json::from_slice(&told.body).unwrap();
    let batch = &webhook["data"]["batch"];
    assert_eq!(
        (&webhook["type"], &batch["id"], &batch["counts"]["succeeded"]),
        (&json!("batch.completed"), &json!(id), &json!(2))
    );
    let own = format!("http://{}/v1/batches/{id}/results", server.addr);
    assert_eq!(batch["urls"]["results"], own, "URLs are absolute");
    assert!(verified(&told, secret(&server).await["secret"].as_str().unwrap()));
    let name = told.header("webhook-id").to_owned();
    assert!(told.answer(StatusCode::NO_CONTENT.into_response()));
    server.post(&format!("/v1/batches/{id}/cancel")).send().await;
    let listed = server.get("/v1/deliveries").send().await.json();
    let listed = listed["deliveries"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "it is recorded once");
    assert_eq!(
        (
            &listed[0]["id"],
            &listed[0]["type"],
            &listed[0]["batch"],
            &listed[0]["job"]
        ),
        (&json!(name), &json!("batch.completed"), &json!(id), &Value::Null)
    );
}

#[tokio::test]
async fn members_are_kept_as_long_as_their_batch_says() {
    let clock = std::sync::Arc::new(ManualClock::default());
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let answer = upload(&server, &lines(2), &[("raincheck-keep", "2h")]).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let first = server.work(success("1")).await.id;
    clock.advance(std::time::Duration::from_secs(30 * 3600));
    server.store().prune(100).await.unwrap();
    assert_eq!(
        server
            .get(&format!("/v1/jobs/{first}/result"))
            .send()
            .await
            .status,
        200
    );
    server.work(success("2")).await;
    clock.advance(std::time::Duration::from_secs(2 * 3600));
    while server.store().prune(100).await.unwrap().more {}
    let gone = server.get(&format!("/v1/jobs/{first}")).send().await;
    assert_eq!(gone.code(), "result-expired");
    for path in ["", "/results"] {
        let gone = server.get(&format!("/v1/batches/{id}{path}")).send().await;
        assert_eq!((gone.status, gone.code().as_str()), (410, "batch-expired"));
    }
}

#[tokio::test]
async fn a_batch_that_nobody_was_given_is_unknown() {
    let server = Server::start().await;
    for id in [
        "nope",
        "batch_01h455vb4pex5vsknk084sn02q",
        "job_01h455vb4pex5vsknk084sn02q",
    ] {
        for (method, rest) in [("GET", ""), ("GET", "/results"), ("POST", "/cancel")] {
            let answer = server
                .ask(method, &format!("/v1/batches/{id}{rest}"))
                .send()
                .await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "unknown-batch"));
        }
    }
}
