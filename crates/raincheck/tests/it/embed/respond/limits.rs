//! Bodies, keys, hosts, and what layers may say of one queue.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use raincheck::Raincheck;
use raincheck::core::key::Grants;
use raincheck::core::name::{KeyName, Namespace};
use raincheck::embed::queue;
use raincheck::keys::KeyWish;

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
