//! Requests that are jobs from the start: the 202, its ticket, and the route's own answer.

use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use raincheck::Raincheck;
use raincheck::embed::Ctx;
use raincheck::tasks::{Group, TaskKind};
use serde_json::{Value, json};

use super::super::{App, opened};
use super::{Gate, preferring, redeem, serve, url};
use crate::client::{Answer, Ask};
use crate::events::Stream;

/// What is said of a request, by everything that takes it apart.
async fn taken(
    State(shop): State<String>,
    Path((tenant, month)): Path<(String, u32)>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let said = json!({
        "shop": shop, "tenant": tenant, "month": month, "query": query, "body": body,
        "own": headers.get("x-own").map(|own| own.to_str().unwrap()),
    });
    let headers = [
        ("etag", "\"v1\""),
        ("x-own", "2"),
        ("location", "/reports/7"),
        ("set-cookie", "session=1"),
    ];
    (StatusCode::CREATED, headers, said.to_string()).into_response()
}

fn shop(rc: &Raincheck) -> Router {
    Router::new()
        .route("/{tenant}/reports/{month}", post(taken))
        .layer(rc.respond_async())
        .with_state("rain".to_owned())
}

/// The headers that the route itself gave.
fn own(answer: &Answer) -> Vec<(String, String)> {
    let of_the_way = [
        "date",
        "connection",
        "set-cookie",
        "raincheck-job",
        "raincheck-outcome",
        "cache-control",
        "preference-applied",
        "x-request-id",
    ];
    let mut own = answer.headers.clone();
    own.retain(|(name, _)| !of_the_way.contains(&name.as_str()));
    own.sort();
    own
}

#[tokio::test]
async fn a_rain_check_is_redeemed_for_the_routes_own_answer() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = serve(&rc, shop(&rc)).await;
    let ask = || {
        let ask = app.ask("POST", "/caf%C3%A9/reports/11?a=%20&a=2");
        ask.header("x-own", "1").json(r#"{"format":"pdf"}"#)
    };
    let plain = ask().send().await;
    assert_eq!((plain.status, plain.header("raincheck-job")), (201, None));
    let check = preferring(ask()).send().await;
    assert_eq!(
        (
            check.outcome(),
            check.header("preference-applied"),
            check.header("retry-after")
        ),
        (Some("pending"), Some("respond-async"), Some("1"))
    );
    assert_eq!(check.json()["urls"]["result"], url(&check, "/result"));
    let result = redeem(&app, &check).await;
    assert_eq!(
        (result.status, result.outcome()),
        (201, Some("succeeded")),
        "{result:?}"
    );
    assert_eq!((result.text(), own(&result)), (plain.text(), own(&plain)));
    assert_eq!(
        result.header("set-cookie"),
        None,
        "that was for the one who asked"
    );
    assert_eq!(result.json()["tenant"], "café");
}

#[tokio::test]
async fn a_result_is_read_in_parts_and_known_again() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let tagged = get(async || ([("etag", "\"v1\"")], "cats and dogs"));
    let app = serve(&rc, Router::new().route("/", tagged).layer(rc.respond_async())).await;
    let check = preferring(app.ask("GET", "/")).send().await;
    assert_eq!(redeem(&app, &check).await.text(), "cats and dogs");
    let path = url(&check, "/result");
    let part = app.ask("GET", &path).header("range", "bytes=5-7").send().await;
    assert_eq!((part.status, part.text()), (206, "and"));
    let known = app
        .ask("GET", &path)
        .header("if-none-match", "\"v1\"")
        .send()
        .await;
    assert_eq!((known.status, known.header("etag")), (304, Some("\"v1\"")));
}

#[tokio::test]
async fn a_route_hears_of_its_job_from_nobody_else() {
    async fn told(headers: HeaderMap, ctx: Option<Ctx>) -> String {
        let of = |name: &str| headers.get(name).map_or("-", |value| value.to_str().unwrap());
        let ctx = ctx.map_or("-".to_owned(), |ctx| ctx.id().to_string());
        let (job, attempt, key) = (
            of("raincheck-job"),
            of("raincheck-attempt"),
            of("idempotency-key"),
        );
        format!("{job} {attempt} {key} {ctx} {}", of("prefer"))
    }
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = serve(&rc, Router::new().route("/", get(told)).layer(rc.respond_async())).await;
    let ask = || app.ask("GET", "/").header("raincheck-job", "job_false");
    assert_eq!(ask().send().await.text(), "- - - - -");
    let check = preferring(ask()).send().await;
    let job = check.job();
    assert_eq!(
        redeem(&app, &check).await.text(),
        format!("{job} 1 {job} {job} -")
    );
    let check = preferring(ask()).header("idempotency-key", "k").send().await;
    let job = check.job();
    assert_eq!(redeem(&app, &check).await.text(), format!("{job} 1 k {job} -"));
    let again = preferring(ask()).header("idempotency-key", "k").send().await;
    assert_eq!(
        (again.job(), again.header("idempotency-replayed")),
        (job, Some("true"))
    );
}

#[tokio::test]
async fn what_a_route_shows_while_it_works_is_seen_by_who_follows_its_job() {
    async fn report(ctx: Option<Ctx>) -> &'static str {
        if let Some(ctx) = ctx {
            ctx.log("page 1");
        }
        "drawn"
    }
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = serve(
        &rc,
        Router::new().route("/", get(report)).layer(rc.respond_async()),
    )
    .await;
    let check = preferring(app.ask("GET", "/")).send().await;
    assert_eq!(redeem(&app, &check).await.text(), "drawn");
    let mut events = Stream::open(app.addr, &url(&check, "/events")).await;
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event.data.to_string());
    }
    assert!(seen.iter().any(|data| data.contains("page 1")), "{seen:?}");
}

#[tokio::test]
async fn a_failed_attempt_is_made_again_only_where_that_is_safe() {
    async fn flaky(headers: HeaderMap) -> Response {
        match headers
            .get("raincheck-attempt")
            .map(|attempt| attempt.to_str().unwrap())
        {
            Some("1") => (StatusCode::SERVICE_UNAVAILABLE, "not yet").into_response(),
            attempt => format!("{attempt:?}").into_response(),
        }
    }
    for (method, unsafe_too, status, text) in [
        ("GET", false, 200, "Some(\"2\")"),
        ("POST", false, 503, "not yet"),
        ("POST", true, 200, "Some(\"2\")"),
    ] {
        let (rc, _folder) = opened(Raincheck::builder()).await;
        let layer = rc.respond_async().queue(
            "flaky",
            raincheck::embed::queue().backoff("constant;base=1ms".parse().unwrap()),
        );
        let layer = if unsafe_too { layer.retry_unsafe() } else { layer };
        let app = serve(&rc, Router::new().route("/", get(flaky).post(flaky)).layer(layer)).await;
        let check = preferring(app.ask(method, "/")).send().await;
        let result = redeem(&app, &check).await;
        assert_eq!(
            (result.status, result.text()),
            (status, text),
            "{method} {unsafe_too}"
        );
    }
}

#[tokio::test]
async fn a_route_that_panics_fails_its_job_and_nothing_else() {
    async fn panics() -> &'static str {
        panic!("at the disco")
    }
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let routes = Router::new()
        .route("/", post(panics))
        .route("/fast", get(async || "fast"));
    let app = serve(&rc, routes.layer(rc.respond_async())).await;
    let check = preferring(app.ask("POST", "/")).send().await;
    let result = redeem(&app, &check).await;
    assert_eq!((result.status, result.outcome()), (500, Some("failed")));
    assert!(result.text().contains("panicked"), "{result:?}");
    assert_eq!(app.ask("GET", "/fast").send().await.text(), "fast");
}

#[tokio::test]
async fn a_cancelled_job_drops_its_handler() {
    let gate = Gate::new();
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = serve(&rc, gate.routes().layer(rc.respond_async())).await;
    let check = preferring(app.ask("POST", "/slow")).body("x").send().await;
    gate.begun().await;
    let cancel = app.ask("POST", &url(&check, "/cancel")).send().await;
    assert!(cancel.status == 200 || cancel.status == 202, "{cancel:?}");
    gate.dropped().await;
    let result = redeem(&app, &check).await;
    assert_eq!((result.code().as_str(), gate.calls()), ("job-cancelled", 1));
}

#[tokio::test]
async fn where_everything_is_a_job_who_waits_gets_the_answer_itself() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let layer = rc.respond_async().always();
    let app = serve(&rc, Router::new().route("/", get(async || "fast")).layer(layer)).await;
    let waited = app.ask("GET", "/").header("prefer", "wait=30").send().await;
    assert_eq!(
        (
            waited.text(),
            waited.outcome(),
            waited.header("preference-applied")
        ),
        ("fast", Some("succeeded"), Some("wait=30"))
    );
    let check = app.ask("GET", "/").send().await;
    assert_eq!(redeem(&app, &check).await.text(), "fast");
}

#[tokio::test]
async fn under_another_server_routes_still_know_who_asked() {
    async fn peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
        peer.ip().to_string()
    }
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = Router::new().route("/", get(peer)).layer(rc.respond_async());
    let app = rc.respond_with(app.merge(rc.router())).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
    Group::new("app").spawn(TaskKind::Errand, async move { serving.await.unwrap() });
    let check = preferring(Ask::new(addr, "GET", "/")).send().await;
    let result = Ask::new(addr, "GET", &(url(&check, "/result") + "&wait=30"))
        .send()
        .await;
    assert_eq!((result.status, result.text()), (200, "127.0.0.1"));
}

#[tokio::test]
async fn an_application_that_was_not_told_of_answers_as_ever() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let before = Router::new().route("/", get(async || "fast"));
    let app = App::serve(&rc, before.merge(rc.router())).await;
    let layered = Router::new()
        .route("/", get(async || "fast"))
        .layer(rc.respond_async().always());
    let request = axum::extract::Request::get("/")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = tower::ServiceExt::oneshot(layered, request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let check = preferring(app.ask("GET", "/")).send().await;
    assert_eq!(check.status, 200, "it has no layer");
}
