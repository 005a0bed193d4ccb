//! Bodies, keys, hosts, what layers may say of one queue, what is counted, and applications told of twice.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use raincheck::Raincheck;
use raincheck::core::key::Grants;
use raincheck::core::name::{KeyName, Namespace};
use raincheck::embed::queue;
use raincheck::keys::KeyWish;
use tower::ServiceExt as _;

use super::super::opened;
use super::{Gate, preferring, redeem, serve, url};
use crate::client::Ask;

/// How long a body is.
fn measured() -> Router {
    let measure = post(async |body: String| body.len().to_string());
    Router::new()
        .route("/", measure)
        .layer(DefaultBodyLimit::disable())
}

#[tokio::test]
async fn a_request_is_kept_up_to_what_its_queue_takes() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = serve(&rc, measured().layer(rc.respond_async())).await;
    let ask = |bytes: usize| app.ask("POST", "/").body("x".repeat(bytes));
    let check = preferring(ask(2 << 20)).send().await;
    assert_eq!(redeem(&app, &check).await.text(), "2097152");
    let refused = preferring(ask((2 << 20) + 1)).send().await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["code"], "body-too-large");
    let waited = ask(3 << 20).header("prefer", "wait=30").send().await;
    assert_eq!(
        (waited.status, waited.text()),
        (200, "3145728"),
        "it needs not be kept"
    );

    let large = rc.respond_async().queue("large", queue().body_max(4 << 20));
    let app = serve(&rc, measured().layer(large)).await;
    let check = preferring(app.ask("POST", "/").body("x".repeat(3 << 20)))
        .send()
        .await;
    assert_eq!(redeem(&app, &check).await.text(), "3145728");
}

#[tokio::test]
async fn a_ticket_opens_its_job_by_whatever_name_and_without_a_key() {
    for keys in [false, true] {
        let (rc, _folder) = opened(Raincheck::builder()).await;
        if keys {
            let wish = KeyWish {
                name: KeyName::new("root").unwrap(),
                grants: Grants::everything(),
                valid_for: None,
            };
            let made = rc.node().create_key(&Namespace::default(), wish).await;
            made.unwrap().unwrap();
        }
        let app = serve(&rc, Gate::opened().routes().layer(rc.respond_async())).await;
        let ask = |method: &str, path: &str| Ask::to_host(app.addr, "shop.example", method, path);
        let check = preferring(ask("GET", "/slow")).send().await;
        let path = url(&check, "/result") + "&wait=30";
        let result = ask("GET", &path)
            .header("origin", "https://shop.example")
            .send()
            .await;
        assert_eq!((result.status, result.text()), (200, "slow "), "{keys}");
        let (bare, _) = path.split_once('?').unwrap();
        let status = |answer: crate::client::Answer| answer.status;
        let refused = if keys { 401 } else { 403 };
        assert_eq!(status(ask("GET", bare).send().await), refused);
        let other = format!("{bare}?ticket=t1{}", "0".repeat(50));
        assert_eq!(status(ask("GET", &other).send().await), 403);
        let job = bare.strip_suffix("/result").unwrap();
        for (method, path) in [
            ("GET", format!("{job}?xticket=1")),
            ("GET", format!("{bare}?wait=1&x=ticket=1")),
            ("GET", format!("{bare}?tickets=1")),
            ("POST", format!("{job}/retry?xticket=1")),
            ("DELETE", format!("{job}?xticket=1")),
        ] {
            let asked = ask(method, &path).send().await;
            assert_eq!(asked.status, refused, "{method} {path}: {asked:?}");
        }
        // Whoever finds the right name of a job in a page of his own still has no ticket.
        for (method, path) in [("POST", format!("{job}/retry")), ("DELETE", job.to_owned())] {
            let ticket = url(&check, "").split_once('?').unwrap().1.to_owned();
            let asked = ask(method, &format!("{path}?{ticket}")).send().await;
            assert_eq!(asked.status, 403, "{method} {path}: a ticket reads and cancels");
        }
        assert_eq!(status(ask("GET", "/v1/queues?ticket=t1").send().await), 403);
    }
}

#[tokio::test]
async fn layers_may_share_a_queue_where_they_say_the_same_of_it() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let one = Router::new().route("/one", post(async || "one"));
    let two = Router::new().route("/two", post(async || "two"));
    let routes = one
        .layer(rc.respond_async())
        .merge(two.layer(rc.respond_async().always()));
    let app = serve(&rc, routes).await;
    let check = preferring(app.ask("POST", "/one")).send().await;
    assert_eq!(redeem(&app, &check).await.text(), "one");
    let check = app.ask("POST", "/two").send().await;
    assert_eq!(redeem(&app, &check).await.text(), "two");
}

#[tokio::test]
#[should_panic(expected = "respond_async: queue respond-async: two layers give it different settings")]
async fn layers_that_say_different_things_of_one_queue_are_refused() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let _ = Router::<()>::new()
        .route("/", post(async || ""))
        .layer(rc.respond_async());
    let other = rc.respond_async().queue("respond-async", queue().concurrency(1));
    let _ = Router::<()>::new().route("/", post(async || "")).layer(other);
}

#[tokio::test]
#[should_panic(expected = "one of the application's handlers works it")]
async fn a_layer_takes_no_queue_of_a_handler() {
    async fn nothing() {}
    let builder = Raincheck::builder().handle("respond-async", queue(), nothing);
    let (rc, _folder) = opened(builder).await;
    let _ = Router::<()>::new()
        .route("/", post(async || ""))
        .layer(rc.respond_async());
}

#[tokio::test]
async fn what_becomes_of_requests_is_counted() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let held = Gate::new();
    let late = rc
        .respond_async()
        .queue("held", queue())
        .after(Duration::from_millis(1));
    let routes = Gate::opened().routes().layer(rc.respond_async());
    let app = serve(&rc, routes.nest("/held", held.routes().layer(late))).await;
    assert_eq!(app.ask("GET", "/fast").send().await.status, 200);
    let check = preferring(app.ask("GET", "/slow")).send().await;
    assert_eq!(redeem(&app, &check).await.status, 200);
    let large = app.ask("POST", "/slow").body("x".repeat((2 << 20) + 1));
    assert_eq!(preferring(large).send().await.status, 413);
    let check = app.ask("GET", "/held/slow").send().await;
    held.open.add_permits(1);
    assert_eq!(redeem(&app, &check).await.status, 200);
    let metrics = app.ask("GET", "/metrics").send().await;
    let counted: BTreeSet<_> = metrics
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("raincheck_respond_async_requests_total"))
        .collect();
    // Neither the attempts nor the asking of the API are among them.
    let expected = [
        r#"{queue="held",mode="late",code="202"} 1"#,
        r#"{queue="respond-async",mode="job",code="202"} 1"#,
        r#"{queue="respond-async",mode="pass",code="200"} 1"#,
        r#"{queue="respond-async",mode="refused",code="413"} 1"#,
    ];
    assert_eq!(counted, BTreeSet::from(expected));
}

#[tokio::test]
async fn told_of_another_application_jobs_ask_that_one() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let of = |who: &'static str| {
        Router::new()
            .route("/", get(async move || who))
            .layer(rc.respond_async())
    };
    let first = rc.respond_with(of("first")).await.unwrap();
    let app = serve(&rc, of("second")).await;
    let ask = http::Request::get("/").header("prefer", "respond-async");
    let ask = ask
        .header("host", "localhost")
        .body(axum::body::Body::empty())
        .unwrap();
    let check = first.oneshot(ask).await.unwrap();
    assert_eq!(check.status(), 202);
    let location = check.headers()["location"].to_str().unwrap();
    let result = location.replacen('?', "/result?wait=30&", 1);
    assert_eq!(app.ask("GET", &result).send().await.text(), "second");
}
