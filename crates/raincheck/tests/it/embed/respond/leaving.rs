//! What a restart, and a crash, leave of requests that are jobs.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use raincheck::Raincheck;
use raincheck::embed::RespondAsync;

use super::super::{App, opened};
use super::{Gate, preferring, redeem, serve};
use crate::client::Answer;

/// Cuts everything where it stands, as a crash does.
async fn crashed(rc: Raincheck, app: App) {
    rc.node().abort();
    rc.node().close().await;
    drop((rc, app));
}

async fn opened_again(folder: &Path) -> Raincheck {
    Raincheck::builder().open(folder.join("jobs")).await.unwrap()
}

/// Redeems a rain check after a restart: its request was made again, or it was worked once and has failed.
async fn redeemed_after_a_crash(
    folder: &Path,
    layer: impl Fn(&Raincheck) -> RespondAsync,
    (check, method): (&Answer, &str),
    again: bool,
) {
    let gate = Gate::opened();
    let rc = opened_again(folder).await;
    let app = serve(&rc, gate.routes().layer(layer(&rc))).await;
    let result = redeem(&app, check).await;
    if again {
        assert_eq!((result.text(), gate.calls()), ("slow wets", 1), "{method}");
    } else {
        assert_eq!((result.outcome(), gate.calls()), (Some("failed"), 0), "{method}");
    }
}

#[tokio::test]
async fn what_waits_when_the_application_is_left_is_worked_when_it_is_back() {
    let (rc, folder) = opened(Raincheck::builder()).await;
    let one_at_a_time = |rc: &Raincheck| {
        let settings = raincheck::embed::queue().concurrency(1);
        rc.respond_async().queue("reports", settings)
    };
    let gate = Gate::new();
    let app = serve(&rc, gate.routes().layer(one_at_a_time(&rc))).await;
    let runs = preferring(app.ask("GET", "/slow")).send().await;
    gate.begun().await;
    let waits = preferring(app.ask("POST", "/slow")).body("wets").send().await;
    crashed(rc, app).await;

    let rc = opened_again(folder.path()).await;
    // Nobody answers for them yet.
    let id = waits.job().parse().unwrap();
    let before = rc.job(id).await.unwrap().unwrap();
    let gate = Gate::opened();
    let app = serve(&rc, gate.routes().layer(one_at_a_time(&rc))).await;
    assert_eq!(before.attempt, 0);
    assert_eq!(redeem(&app, &waits).await.text(), "slow wets");
    assert_eq!(redeem(&app, &runs).await.text(), "slow ", "it was safe to repeat");
}

#[tokio::test]
async fn a_crash_repeats_only_what_is_safe_or_allowed() {
    type Made = fn(&Raincheck) -> RespondAsync;
    let usual: Made = |rc| rc.respond_async();
    let allowed: Made = |rc| rc.respond_async().retry_unsafe();
    let after: Made = |rc| rc.respond_async().after(Duration::from_millis(50));
    for (method, layer, again) in [
        ("GET", usual, true),
        ("POST", usual, false),
        ("POST", allowed, true),
        ("GET", after, true),
        ("POST", after, false),
    ] {
        let gate = Gate::new();
        let (rc, folder) = opened(Raincheck::builder()).await;
        let app = serve(&rc, gate.routes().layer(layer(&rc))).await;
        let check = preferring(app.ask(method, "/slow")).body("wets").send().await;
        gate.begun().await;
        crashed(rc, app).await;
        gate.dropped().await;

        redeemed_after_a_crash(folder.path(), layer, (&check, method), again).await;
    }
}

#[tokio::test]
async fn what_became_a_job_under_way_is_repeated_after_a_crash_only_where_that_is_safe() {
    for (method, again) in [("GET", true), ("POST", false)] {
        let late = |rc: &Raincheck| rc.respond_async().after(Duration::from_millis(50));
        let gate = Gate::new();
        let (rc, folder) = opened(Raincheck::builder()).await;
        let app = serve(&rc, gate.routes().layer(late(&rc))).await;
        let check = app.ask(method, "/slow").body("wets").send().await;
        crashed(rc, app).await;

        redeemed_after_a_crash(folder.path(), late, (&check, method), again).await;
    }
}

#[tokio::test]
async fn a_stop_lets_handlers_finish_and_lets_go_of_the_application() {
    let gate = Gate::new();
    let (rc, folder) = opened(Raincheck::builder()).await;
    let app = serve(&rc, gate.routes().layer(rc.respond_async())).await;
    let check = preferring(app.ask("POST", "/slow")).body("wets").send().await;
    gate.begun().await;
    app.stop.cancel();
    gate.open.add_permits(1);
    app.ended.await.unwrap().unwrap();
    drop(rc);
    let rc = opened_again(folder.path()).await;
    let app = serve(&rc, Router::new()).await;
    assert_eq!(
        redeem(&app, &check).await.text(),
        "slow wets",
        "it is redeemed without the route"
    );
}
