//! Large results and inputs take no more memory than there is for all of them, whoever asks for them and reads or does not.

use crate::client::Line;
use crate::harness::{Server, Setup, result};
use raincheck::api::ApiOptions;
use raincheck::core::decide::Settlement;

/// More than sockets hold between a server and a client that reads nothing.
const LARGE: usize = 24 << 20;

#[tokio::test]
async fn results_that_nobody_reads_take_no_more_than_there_is_for_all() {
    let api = ApiOptions {
        answers_bytes_max: LARGE as u64 * 3 / 2,
        ..ApiOptions::default()
    };
    let server = Server::with(Setup {
        api,
        ..Setup::default()
    })
    .await;
    let large = "x".repeat(LARGE);
    let id = server
        .finished(Settlement::succeed(result(200, "text/plain", &[], &large)))
        .await;
    let small = server
        .finished(Settlement::succeed(result(200, "text/plain", &[], "small")))
        .await;
    let mut slow = Line::open(server.addr).await;
    let get = format!("GET /v1/jobs/{id}/result HTTP/1.1\r\nHost: localhost\r\n\r\n");
    slow.send(get.as_bytes()).await;
    slow.starts().await;

    let path = format!("/v1/jobs/{id}/result");
    let refused = server.get(&path).send().await;
    assert_eq!(refused.status, 503, "{} bytes came", refused.body.len());
    assert_eq!(refused.code(), "overloaded");
    assert_eq!(
        (refused.header("retry-after"), refused.outcome()),
        (Some("1"), None)
    );
    let there = server.get(&format!("/v1/jobs/{small}/result")).send().await;
    assert_eq!(there.text(), "small", "what is small needs no room");

    assert_eq!(slow.answer().await.unwrap().body.len(), LARGE);
    let again = server.get(&path).send().await;
    assert_eq!((again.status, again.body.len()), (200, LARGE));
}
