//! Requests that become jobs while they are worked: one call, whatever happens.

use std::time::Duration;

use raincheck::Raincheck;
use raincheck::core::queue::QueueSpec;
use raincheck::embed::RespondAsync;

use super::super::{App, opened};
use super::{Gate, preferring, redeem, serve, url};

const SOON: Duration = Duration::from_millis(50);

async fn behind(
    gate: &Gate,
    layer: impl Fn(&Raincheck) -> RespondAsync,
) -> (Raincheck, App, tempfile::TempDir) {
    let (rc, folder) = opened(Raincheck::builder()).await;
    let app = serve(&rc, gate.routes().layer(layer(&rc))).await;
    // Once it answers, its queues are there.
    assert_eq!(app.ask("GET", "/fast").send().await.text(), "fast");
    (rc, app, folder)
}

#[tokio::test]
async fn a_slow_answer_becomes_a_rain_check_and_the_handler_goes_on() {
    for method in ["GET", "POST", "DELETE"] {
        let gate = Gate::new();
        let (rc, app, _folder) = behind(&gate, |rc| rc.respond_async().after(SOON)).await;
        let check = app.ask(method, "/slow").body("wets").send().await;
        assert_eq!(check.outcome(), Some("pending"), "{check:?}");
        gate.open.add_permits(1);
        let result = redeem(&app, &check).await;
        assert_eq!((result.status, result.text()), (200, "slow wets"));
        assert_eq!(gate.calls(), 1, "{method} was worked once");
        let input = rc
            .node()
            .store()
            .input(&crate::harness::ns(), check.job().parse().unwrap())
            .await;
        assert_eq!(input.unwrap().unwrap().body, "wets", "what came was kept aside");
    }
}

#[tokio::test]
async fn a_handler_that_reads_no_body_is_given_time_as_well() {
    let gate = Gate::new();
    let (rc, app, _folder) = behind(&gate, |rc| rc.respond_async().after(SOON)).await;
    let check = app.ask("POST", "/deaf").body("x".repeat(100_000)).send().await;
    gate.open.add_permits(1);
    assert_eq!(redeem(&app, &check).await.text(), "heard nothing");
    let input = rc
        .node()
        .store()
        .input(&crate::harness::ns(), check.job().parse().unwrap())
        .await;
    assert_eq!((input.unwrap().unwrap().body.len(), gate.calls()), (100_000, 1));
}

#[tokio::test]
async fn who_waits_gets_the_answer_in_time_or_a_rain_check_then() {
    let gate = Gate::new();
    let (_rc, app, _folder) = behind(&gate, Raincheck::respond_async).await;
    let fast = app.ask("GET", "/fast").header("prefer", "wait=30").send().await;
    assert_eq!((fast.text(), fast.header("raincheck-job")), ("fast", None));
    let check = app.ask("GET", "/slow").header("prefer", "wait=1").send().await;
    assert_eq!(check.header("preference-applied"), Some("wait=1"));
    gate.open.add_permits(1);
    assert_eq!(redeem(&app, &check).await.text(), "slow ");
    assert_eq!(gate.calls(), 1);
}

#[tokio::test]
async fn a_handler_goes_on_while_its_job_waits_for_its_queue() {
    let gate = Gate::new();
    let (rc, app, _folder) = behind(&gate, |rc| rc.respond_async().after(SOON)).await;
    let late = crate::harness::queue("respond-async-late");
    let paused = rc.node().pause_queue(&crate::harness::ns(), &late, true).await;
    paused.unwrap().unwrap();
    let check = app.ask("GET", "/slow").send().await;
    gate.open.add_permits(1);
    gate.dropped().await;
    let resumed = rc.node().pause_queue(&crate::harness::ns(), &late, false).await;
    resumed.unwrap().unwrap();
    assert_eq!(redeem(&app, &check).await.text(), "slow ");
    assert_eq!(gate.calls(), 1);
}

#[tokio::test]
async fn a_cancelled_job_drops_the_handler_whether_it_runs_or_waits() {
    for paused in [false, true] {
        let gate = Gate::new();
        let (rc, app, _folder) = behind(&gate, |rc| rc.respond_async().after(SOON)).await;
        let late = crate::harness::queue("respond-async-late");
        let changed = rc.node().pause_queue(&crate::harness::ns(), &late, paused).await;
        changed.unwrap().unwrap();
        let check = app.ask("GET", "/slow").send().await;
        app.ask("POST", &url(&check, "/cancel")).send().await;
        gate.dropped().await;
        assert_eq!(redeem(&app, &check).await.code(), "job-cancelled");
    }
}

#[tokio::test]
async fn a_handler_that_panics_by_then_fails_its_job() {
    let gate = Gate::new();
    let (_rc, app, _folder) = behind(&gate, |rc| rc.respond_async().after(SOON)).await;
    let check = app.ask("POST", "/broken").send().await;
    gate.open.add_permits(1);
    let result = redeem(&app, &check).await;
    assert_eq!((result.status, result.outcome()), (500, Some("failed")));
    assert!(result.text().contains("the call broke off"), "{result:?}");
}

#[tokio::test]
async fn where_no_job_is_accepted_the_request_goes_on_as_it_was() {
    let gate = Gate::new();
    let (rc, app, _folder) = behind(&gate, |rc| rc.respond_async().after(SOON)).await;
    // Nothing fits into it.
    let spec = QueueSpec {
        worker: Some(raincheck::core::queue::Worker::Function),
        depth: Some(1),
        ..QueueSpec::default()
    };
    let late = crate::harness::queue("respond-async-late");
    let ns = crate::harness::ns();
    rc.node()
        .put_queue(&ns, &late, spec, true)
        .await
        .unwrap()
        .unwrap();
    rc.node().pause_queue(&ns, &late, true).await.unwrap().unwrap();
    let first = app.ask("GET", "/slow").send().await;
    assert_eq!(first.status, 202);
    let asking = app.ask("GET", "/slow").send();
    let opening = async {
        gate.begun().await;
        gate.begun().await;
        // Longer than it would have taken to become a job.
        tokio::time::sleep(4 * SOON).await;
        gate.open.add_permits(2);
    };
    let (second, ()) = tokio::join!(asking, opening);
    assert_eq!((second.status, second.text()), (200, "slow "));
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_its_answer_takes_the_handler_with_it_and_later_does_not() {
    let gate = Gate::new();
    let (_rc, app, _folder) = behind(&gate, Raincheck::respond_async).await;
    let mut client = tokio::net::TcpStream::connect(app.addr).await.unwrap();
    let head = "GET /slow HTTP/1.1\r\nhost: localhost\r\nprefer: wait=30\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut client, head.as_bytes())
        .await
        .unwrap();
    gate.begun().await;
    drop(client);
    gate.dropped().await;
    let check = preferring(app.ask("GET", "/slow")).send().await;
    gate.open.add_permits(1);
    assert_eq!(redeem(&app, &check).await.text(), "slow ");
}
