//! Bodies that are said to be compressed: kept as they came or refused, never unpacked, so no bomb goes off here.

use axum::response::IntoResponse as _;

use super::Bed;
use crate::push::{Endpoint, submit};

/// A gzip stream (RFC 1952) of stored blocks cannot be small; this one says that it unpacks to 4 GiB less one byte, and
/// its packed part is a run of bytes that a reader would have to believe.
fn bomb() -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bytes.extend(std::iter::repeat_n(0u8, 10_000));
    bytes.extend_from_slice(&[0xff; 8]);
    bytes
}

#[tokio::test]
async fn an_input_that_is_coded_is_kept_as_it_came() {
    let mut bed = Bed::start().await;
    for coding in [
        "gzip",
        "br",
        "zstd",
        "deflate",
        "gzip, gzip, gzip",
        "x-unknown",
        "identity",
    ] {
        let head = format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\n");
        let taken = bed.ask("POST", "/v1/queues/thumbs/jobs", &head, &bomb()).await;
        let input = bed
            .server
            .get(&format!("/v1/jobs/{}/input", taken.job()))
            .send()
            .await;
        assert_eq!(input.body, bomb());
        assert_eq!(input.header("content-encoding"), Some(coding));
    }
    bed.sound("coded inputs").await;
}

#[tokio::test]
async fn json_that_is_coded_is_refused_by_every_path_that_reads_it() {
    let mut bed = Bed::start().await;
    for (method, path) in [
        ("POST", "/v1/jobs"),
        ("POST", "/v1/jobs/bulk"),
        ("PUT", "/v1/queues/other"),
        ("PUT", "/v1/queues/thumbs/groups/g"),
        ("POST", "/v1/queues/thumbs/claim"),
        ("POST", "/v1/leases"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/batches"),
    ] {
        for coding in ["gzip", "br", "identity", ""] {
            let head = format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\n");
            let answer = bed.ask(method, path, &head, &bomb()).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (415, "unsupported-media-type"),
                "{method} {path} {coding:?}"
            );
        }
    }
    bed.sound("coded JSON").await;
}

/// The answer of a handler is kept with its coding, never unpacked, and counts as large as it came.
#[tokio::test]
async fn an_answer_of_a_handler_that_is_coded_is_kept_as_it_came() {
    let bed = Bed::start().await;
    let mut endpoint = Endpoint::start().await;
    endpoint.works(&bed.server).await;
    let id = submit(&bed.server, "x").await;
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    endpoint.next().await.answer((headers, bomb()).into_response());
    let result = bed
        .server
        .get(&format!("/v1/jobs/{id}/result?wait=20"))
        .send()
        .await;
    assert_eq!((result.status, result.outcome()), (200, Some("succeeded")));
    assert_eq!(result.header("content-encoding"), Some("gzip"));
    assert!(result.body == bomb());
}

#[tokio::test]
async fn an_answer_of_a_handler_without_end_is_cut_at_the_queues_limit() {
    let bed = Bed::start().await;
    let (handler, stop) = endless().await;
    let settings = format!(r#"{{"worker":{{"push":["http://{handler}/"]}},"result_max":"64KiB"}}"#);
    let put = bed
        .server
        .ask("PUT", "/v1/queues/pushed")
        .json(&settings)
        .send()
        .await;
    assert_eq!(put.status, 200, "{put:?}");
    let id = submit(&bed.server, "x").await;
    let result = bed
        .server
        .get(&format!("/v1/jobs/{id}/result?wait=20"))
        .send()
        .await;
    assert_eq!((result.status, result.code().as_str()), (502, "result-too-large"));
    assert_eq!(result.outcome(), Some("failed"));
    drop(stop);
}

/// A handler that never stops answering.
async fn endless() -> (std::net::SocketAddr, raincheck::tasks::Group) {
    use raincheck::tasks::{Group, TaskKind};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let tasks = Group::new("endless");
    tasks.spawn(TaskKind::Connection, async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            while stream.write_all(b"400\r\n").await.is_ok()
                && stream.write_all(&[b'x'; 0x400]).await.is_ok()
                && stream.write_all(b"\r\n").await.is_ok()
            {}
        }
    });
    (addr, tasks)
}
