//! Waiting: for a job to be done, for it to change, and what ends a wait.

use std::time::Duration;

use crate::client::Line;
use crate::harness::{Server, Setup, failure, ns, success};
use raincheck::api::ApiOptions;

/// Until so many requests wait.
async fn waiters(server: &Server, count: usize) {
    while server.node.watch().waiters() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_waiting_submit_done_in_time_is_answered_with_the_result() {
    let server = Server::start().await;
    let submit = server
        .post("/v1/queues/thumbs/jobs")
        .header("prefer", "wait=30")
        .body("x");
    let (answer, job) = tokio::join!(submit.send(), async {
        waiters(&server, 1).await;
        server.work(success("done")).await
    });
    let tag = answer.header("etag").unwrap().to_owned();
    insta::assert_snapshot!(answer.shown().replace(&tag, "[tag]"));
    assert_eq!(answer.job(), job.id.to_string());
    waiters(&server, 0).await;
}

#[tokio::test]
async fn a_wait_that_is_over_is_answered_with_the_job_as_it_stands() {
    let server = Server::start().await;
    let path = "/v1/queues/thumbs/jobs";
    let answer = server
        .post(path)
        .header("prefer", "wait=0, respond-async")
        .body("x")
        .send()
        .await;
    assert_eq!(answer.header("preference-applied"), Some("respond-async, wait=0"));
    let (answer, _) = tokio::join!(server.post(&format!("{path}?wait=1")).body("x").send(), async {
        waiters(&server, 1).await;
        server.claim("thumbs").await
    });
    assert_eq!((answer.status, answer.outcome()), (202, Some("pending")));
    assert_eq!(answer.header("preference-applied"), Some("wait=1"));
    let answer = server
        .post(path)
        .header("prefer", "respond-async")
        .body("x")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (202, Some("respond-async"))
    );
}

#[tokio::test]
async fn a_failed_job_ends_a_wait_as_well() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let get = server
        .get(&format!("/v1/jobs/{id}/result"))
        .header("prefer", "wait=30");
    let (answer, _) = tokio::join!(get.send(), async {
        waiters(&server, 1).await;
        server.work(failure("handler-failed", "exit code 65", None)).await
    });
    insta::assert_snapshot!(answer.shown());
}

#[tokio::test]
async fn a_result_and_a_document_can_be_waited_for() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let result = server.get(&format!("/v1/jobs/{id}/result?wait=60s")).send();
    let document = server
        .get(&format!("/v1/jobs/{id}"))
        .header("prefer", "wait=600")
        .send();
    let (result, document, _) = tokio::join!(result, document, async {
        waiters(&server, 2).await;
        server.work(success("r")).await
    });
    assert_eq!(
        (result.status, result.text(), result.header("preference-applied")),
        (200, "r", Some("wait=60"))
    );
    assert_eq!((document.status, &document.json()["done"]), (200, &true.into()));
    assert_eq!(
        document.header("preference-applied"),
        Some("wait=60"),
        "the wait granted"
    );
    let again = server.get(&format!("/v1/jobs/{id}/result?wait=60")).send().await;
    assert_eq!(again.text(), "r", "what is done is not waited for");
}

#[tokio::test]
async fn a_change_can_be_waited_for() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let path = format!("/v1/jobs/{id}?wait=30");
    let ask = |version: &str| server.get(&path).header("if-none-match", version);
    let (claimed, leased) = tokio::join!(ask("W/\"1\"").send(), async {
        waiters(&server, 1).await;
        server.claim("thumbs").await.unwrap()
    });
    assert_eq!(
        (claimed.status, &claimed.json()["state"]),
        (200, &"running".into())
    );
    assert_eq!(ask("W/\"1\"").send().await.status, 200, "it has moved already");
    let (asked, _) = tokio::join!(ask("W/\"2\"").send(), async {
        waiters(&server, 1).await;
        server.post(&format!("/v1/jobs/{id}/cancel")).send().await
    });
    assert_eq!(
        (asked.status, &asked.json()["cancel_requested"]),
        (200, &true.into())
    );
    server.settle(&leased, success("r")).await;
    let done = ask("W/\"4\"").send().await;
    assert_eq!(
        (done.status, done.outcome()),
        (304, Some("succeeded")),
        "a finished job does not move"
    );
    let other = server.submit("y").await;
    let same = server
        .get(&format!("/v1/jobs/{other}?wait=1"))
        .header("if-none-match", "W/\"1\"")
        .send()
        .await;
    assert_eq!(
        (same.status, same.header("preference-applied")),
        (304, Some("wait=1")),
        "it did not move in time"
    );
}

#[tokio::test]
async fn there_is_an_end_to_all_who_wait() {
    let api = ApiOptions {
        waiters_max: 1,
        ..ApiOptions::default()
    };
    let server = Server::with(Setup {
        api,
        ..Setup::default()
    })
    .await;
    let id = server.submit("x").await;
    let path = format!("/v1/jobs/{id}/result?wait=30");
    let (first, ()) = tokio::join!(server.get(&path).send(), async {
        waiters(&server, 1).await;
        insta::assert_snapshot!(server.get(&path).send().await.shown());
        let document = server
            .get(&format!("/v1/jobs/{id}"))
            .header("prefer", "wait=1")
            .send()
            .await;
        assert_eq!(document.code(), "too-many-waiters");
        let submit = server
            .post("/v1/queues/thumbs/jobs")
            .header("prefer", "wait=30")
            .body("y")
            .send()
            .await;
        assert_eq!(
            (submit.status, submit.header("preference-applied")),
            (202, None),
            "a submit is never lost for it"
        );
        server.work(success("r")).await;
    });
    assert_eq!(first.text(), "r");
    assert_eq!(
        server.get(&path).send().await.text(),
        "r",
        "the place is free again"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_job_and_gives_up_its_place() {
    let server = Server::with(Setup {
        server: raincheck::server::ServerOptions {
            gone_time: Duration::from_millis(50),
            ..Default::default()
        },
        ..Setup::default()
    })
    .await;
    let mut line = Line::open(server.addr).await;
    let host = server.addr;
    let head =
        format!("POST /v1/queues/thumbs/jobs?wait=60 HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\n\r\nx");
    line.send(head.as_bytes()).await;
    waiters(&server, 1).await;
    drop(line);
    waiters(&server, 0).await;
    assert_eq!(server.claim("thumbs").await.unwrap().input.body, "x");
}

#[tokio::test]
async fn a_client_that_closes_only_its_side_still_gets_its_answer() {
    let server = Server::start().await;
    let mut line = Line::open(server.addr).await;
    let host = server.addr;
    let head =
        format!("POST /v1/queues/thumbs/jobs?wait=60 HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\n\r\nx");
    line.send(head.as_bytes()).await;
    line.finish().await;
    waiters(&server, 1).await;
    server.work(success("r")).await;
    assert_eq!(line.answer().await.unwrap().text(), "r");
}

#[tokio::test]
async fn a_drained_node_keeps_nobody_waiting() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (result, document, ()) = tokio::join!(
        server.get(&format!("/v1/jobs/{id}/result?wait=60")).send(),
        server
            .get(&format!("/v1/jobs/{id}?wait=60"))
            .header("if-none-match", "W/\"1\"")
            .send(),
        async {
            waiters(&server, 2).await;
            server.node.drain().await;
        }
    );
    assert_eq!((result.status, result.outcome()), (202, Some("pending")));
    assert_eq!((document.status, document.outcome()), (304, Some("pending")));
    assert!(
        !server
            .store()
            .get(&ns(), id.parse().unwrap())
            .await
            .unwrap()
            .unwrap()
            .done()
    );
}
