//! The API nested below a path of an application: every URL that it hands out leads back to it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use http::Request;
use raincheck::core::key::Grants;
use raincheck::core::name::{KeyName, Namespace};
use raincheck::embed::{
    Accepted, Args, Builder, JobError, JobType, OpenFailed, Raincheck, SubmitError, queue,
};
use raincheck::keys::KeyWish;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{App, opened};
use crate::client::Answer;
use crate::events::Stream;

const SQUARE: JobType<u64, u64> = JobType::new("square");

async fn square(Args(number): Args<u64>) -> Result<u64, JobError> {
    Ok(number * number)
}

async fn ask(rc: Raincheck) -> Result<Accepted<u64>, SubmitError> {
    rc.submit(&SQUARE, &12).idempotency_key("k").send().await
}

fn builder() -> Builder {
    Raincheck::builder().handle(SQUARE, queue(), square)
}

/// An application that nests the API at `/raincheck`.
async fn nested(builder: Builder) -> (Raincheck, App, tempfile::TempDir) {
    let (rc, folder) = opened(builder).await;
    let app = Router::new()
        .route("/squares", post(ask))
        .nest("/raincheck", rc.router())
        .with_state(rc.clone());
    let app = App::serve(&rc, app).await;
    (rc, app, folder)
}

/// All texts in a document that are paths.
fn paths(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with('/') => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| paths(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| paths(value, found)),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// The document of an answer, when every path in it and in its headers is below the mount.
fn below(answer: &Answer) -> Value {
    let document = answer.json();
    let mut found = Vec::new();
    paths(&document, &mut found);
    for name in ["location", "content-location"] {
        found.extend(answer.header(name).map(str::to_owned));
    }
    assert!(!found.is_empty(), "{answer:?}");
    for path in found {
        assert!(path.starts_with("/raincheck/"), "{path} in {answer:?}");
    }
    document
}

#[tokio::test]
async fn what_an_application_accepts_is_redeemed_where_the_api_is_nested() {
    let (_rc, app, _folder) = nested(builder().mounted_at("/raincheck")).await;
    for _ in 0..2 {
        let answer = app.ask("POST", "/squares").send().await;
        assert_eq!(answer.status, 202, "{answer:?}");
        below(&answer);
        let location = answer.header("location").unwrap();
        let result = app.ask("GET", &format!("{location}/result?wait=30")).send().await;
        assert_eq!((result.status, result.text()), (200, "144"));
    }
}

#[tokio::test]
async fn every_url_of_the_api_begins_with_where_it_is_nested() {
    let (_rc, app, _folder) = nested(builder().mounted_at("/raincheck/")).await;
    let post = |path: &str| app.ask("POST", &format!("/raincheck{path}"));
    let get = |path: &str| app.ask("GET", &format!("/raincheck{path}"));
    let jobs = "/v1/queues/square/jobs";
    let accepted = post(jobs).header("raincheck-ticket", "1h").json("3").send().await;
    below(&accepted);
    let location = accepted.header("location").unwrap().to_owned();
    assert!(location.contains("?ticket="), "{location}");
    assert_eq!(app.ask("GET", &location).send().await.status, 200);
    let waited = post(&format!("{jobs}?wait=30")).json("4").send().await;
    assert_eq!((waited.status, waited.text()), (200, "16"));
    for name in ["location", "content-location"] {
        assert!(waited.header(name).unwrap().starts_with("/raincheck/v1/jobs/"));
    }
    let later = post(jobs).header("raincheck-delay", "1h").json("5").send().await;
    let id = later.job();
    below(&get(&format!("/v1/jobs/{id}")).send().await);
    below(&get(&format!("/v1/jobs/{id}/result")).send().await);
    below(&get("/v1/jobs").send().await);
    below(&post(&format!("/v1/jobs/{id}/cancel")).send().await);
    below(&post(&format!("/v1/jobs/{id}/retry")).send().await);
    let entries = r#"[{"queue":"square","input":6},{"queue":"nowhere","input":6}]"#;
    below(&post("/v1/jobs").json(entries).send().await);
    let line = "{\"queue\":\"square\",\"input\":7}\n";
    let batch = post("/v1/batches").header("content-type", "application/x-ndjson");
    let batch = below(&batch.body(line).send().await);
    below(
        &app.ask("GET", batch["urls"]["self"].as_str().unwrap())
            .send()
            .await,
    );
    let pull = app
        .ask("PUT", "/raincheck/v1/queues/pulled")
        .json("{}")
        .send()
        .await;
    assert!(pull.status < 300, "{pull:?}");
    post("/v1/queues/pulled/jobs").json("8").send().await;
    below(
        &post("/v1/queues/pulled/claim")
            .json(r#"{"worker":"w"}"#)
            .send()
            .await,
    );
    below(&get("/v1/jobs/job_none").send().await);
    let mut events = Stream::open(app.addr, &format!("/raincheck/v1/jobs/{id}/events")).await;
    let event = events.next().await.unwrap();
    assert_eq!(event.data["urls"]["self"], format!("/raincheck/v1/jobs/{id}"));
}

#[tokio::test]
async fn pages_lead_to_pages_and_the_openapi_document_says_where_its_paths_are() {
    let (_rc, app, _folder) = nested(builder().mounted_at("/raincheck")).await;
    for path in ["/problems", "/docs"] {
        let page = app.ask("GET", &format!("/raincheck{path}")).send().await;
        assert!(
            page.text().contains("](/raincheck/problems/queue-full)"),
            "{path}"
        );
        assert!(!page.text().contains("](/problems/"), "{path}");
    }
    let openapi = app.ask("GET", "/raincheck/openapi.json").send().await.json();
    assert_eq!(openapi["servers"][0]["url"], "/raincheck");
    assert!(openapi["paths"]["/v1/jobs"].is_object());
}

#[tokio::test]
async fn keys_open_what_their_scopes_say_wherever_the_api_stands() {
    for (mount, prefix) in [("", ""), ("/raincheck", "/raincheck")] {
        let (rc, folder) = opened(builder().mounted_at(mount)).await;
        let wish = KeyWish {
            name: KeyName::new("root").unwrap(),
            grants: Grants::everything(),
            valid_for: None,
        };
        let made = rc.node().create_key(&Namespace::default(), wish).await;
        let (_, token) = made.unwrap().unwrap();
        let app: Router = if mount.is_empty() {
            rc.router()
        } else {
            Router::new().nest(mount, rc.router())
        };
        let app = App::serve(&rc, app).await;
        let path = format!("{prefix}/v1/queues/square");
        assert_eq!(app.ask("GET", &path).send().await.status, 401);
        let bearer = format!("Bearer {}", token.reveal());
        let answer = app
            .ask("GET", &path)
            .header("authorization", &bearer)
            .send()
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        drop(folder);
    }
}

#[tokio::test]
async fn an_api_that_is_nested_elsewhere_than_it_says_answers_only_that() {
    let (_rc, app, _folder) = nested(builder()).await;
    let answer = app.ask("GET", "/raincheck/v1/queues").send().await;
    assert_eq!(answer.status, 500, "{answer:?}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(r#"mounted_at("/raincheck")"#), "{detail}");
}

#[tokio::test]
async fn behind_a_proxy_that_takes_away_a_beginning_that_beginning_comes_first() {
    let (_rc, app, _folder) = nested(builder().mounted_at("/shop/raincheck")).await;
    let answer = app.ask("POST", "/squares").send().await;
    let location = answer.header("location").unwrap();
    let behind = location.strip_prefix("/shop").unwrap();
    assert_eq!(app.ask("GET", behind).send().await.status, 200);
}

#[tokio::test]
async fn what_is_no_path_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let opened = builder()
        .mounted_at("rain check")
        .open(folder.path().join("jobs"))
        .await;
    assert!(matches!(opened, Err(OpenFailed::Mount(_))), "{opened:?}");
    assert!(!folder.path().join("jobs").exists());
}

#[tokio::test]
async fn a_route_learns_the_address_of_its_connection_as_from_axum_s_own_server() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let who = |ConnectInfo(from): ConnectInfo<SocketAddr>| async move { from.ip().to_string() };
    let app = App::serve(&rc, Router::new().route("/who", get(who))).await;
    let answer = app.ask("GET", "/who").send().await;
    assert_eq!((answer.status, answer.text()), (200, "127.0.0.1"), "{answer:?}");
}

/// Asks for this over no connection, or one from there.
async fn asked(api: &Router, path: &str, from: Option<&str>) -> u16 {
    let mut request = Request::get(path).header("host", "localhost");
    if let Some(from) = from {
        let from: SocketAddr = from.parse().unwrap();
        request = request.extension(ConnectInfo(from));
    }
    let answer = api.clone().oneshot(request.body(Body::empty()).unwrap()).await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn without_a_key_the_api_answers_to_connections_from_this_machine_alone() {
    let (rc, _folder) = opened(builder()).await;
    let order = rc
        .submit(&SQUARE, &3)
        .ticket(Duration::from_secs(60))
        .send()
        .await
        .unwrap();
    let answer = order.into_response();
    let ticket = answer.headers()["location"].to_str().unwrap().to_owned();
    let api = rc.router::<()>();
    for (from, status) in [
        (Some("127.0.0.1:5000"), 200),
        (Some("[::1]:5000"), 200),
        (Some("[::ffff:127.0.0.1]:5000"), 200),
        (Some("10.99.77.2:5000"), 403),
        (Some("192.0.2.2:5000"), 403),
        (Some("[2001:db8::1]:5000"), 403),
        (None, 403),
    ] {
        for path in ["/v1/jobs", "/v1/webhook-secret", "/metrics"] {
            assert_eq!(asked(&api, path, from).await, status, "{path} {from:?}");
        }
        assert_eq!(
            asked(&api, &ticket, from).await,
            200,
            "a ticket opens its job to anybody"
        );
    }
}
