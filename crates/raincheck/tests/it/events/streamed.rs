//! What the server's own workers show while they work, where their queue says `stream`.

use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Stream, told};
use crate::harness::{Server, ns, queue};
use raincheck::core::queue::{QueueSpec, Worker};

/// A server with a queue `tell` that is worked so and shows it.
async fn with_worker(worker: Worker) -> Server {
    let server = Server::start().await;
    let spec = QueueSpec {
        worker: Some(worker),
        stream: Some(true),
        max_attempts: Some(1),
        ..QueueSpec::default()
    };
    let put = server.node.put_queue(&ns(), &queue("tell"), spec, true).await;
    put.unwrap().unwrap();
    server
}

async fn submit(server: &Server) -> String {
    server.post("/v1/queues/tell/jobs").body("x").send().await.job()
}

/// The events of one name, until the text of them is this.
async fn until(reader: &mut Stream, name: &str, text: &str) {
    let mut got = String::new();
    while got != text {
        let event = reader.next().await.expect("more to come");
        if event.name == name {
            got.push_str(event.data["text"].as_str().unwrap());
        }
        assert!(text.starts_with(&got), "{got:?}");
    }
}

fn program(script: &str, folder: &Path) -> Worker {
    let folder = folder.to_str().unwrap();
    Worker::Process(["sh", "-c", script, "sh", folder].map(str::to_owned).to_vec())
}

const TELL: &str = "echo one; echo hm >&2; until [ -e \"$1/go\" ]; do sleep 0.01; done; printf 'two'";

#[tokio::test]
async fn a_program_is_heard_while_it_runs_and_its_output_is_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_worker(program(TELL, folder.path())).await;
    let id = submit(&server).await;
    let mut reader = Stream::open(server.addr, &format!("/v1/jobs/{id}/events")).await;
    let mut logs = Stream::open(server.addr, &format!("/v1/jobs/{id}/events")).await;
    until(&mut reader, "output", "one\n").await;
    until(&mut logs, "log", "hm\n").await;
    std::fs::write(folder.path().join("go"), "").unwrap();
    until(&mut reader, "output", "two").await;
    let end = reader.rest().await;
    assert_eq!(told(&end), ["succeeded", "done succeeded"]);
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(result.text(), "one\ntwo");
}

#[tokio::test]
async fn a_program_that_fails_leaves_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_worker(program("echo half; echo broken >&2; exit 65", folder.path())).await;
    let id = submit(&server).await;
    let mut reader = Stream::open(server.addr, &format!("/v1/jobs/{id}/events")).await;
    let events = told(&reader.rest().await);
    for event in ["half\n", "broken\n", "done failed"] {
        assert!(
            events.iter().any(|told| told.ends_with(event)),
            "{event:?} in {events:?}"
        );
    }
}

#[tokio::test]
async fn a_program_that_talks_without_end_loses_its_log_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let script = "head -c 3000 /dev/zero | tr '\\0' x >&2; until [ -e \"$1/go\" ]; do sleep 0.01; done; \
                  head -c 3000 /dev/zero | tr '\\0' y >&2; echo done";
    let server = with_worker(program(script, folder.path())).await;
    let spec = QueueSpec {
        result_max: Some("4000".parse().unwrap()),
        worker: Some(program(script, folder.path())),
        stream: Some(true),
        ..QueueSpec::default()
    };
    let put = server.node.put_queue(&ns(), &queue("tell"), spec, true).await;
    put.unwrap().unwrap();
    let id = submit(&server).await;
    let mut reader = Stream::open(server.addr, &format!("/v1/jobs/{id}/events")).await;
    until(&mut reader, "log", &"x".repeat(3_000)).await;
    std::fs::write(folder.path().join("go"), "").unwrap();
    let events = reader.rest().await;
    assert!(
        events.iter().all(|event| event.name != "log"),
        "{:?}",
        told(&events)
    );
    let output = events.iter().filter(|event| event.name == "output");
    let output: String = output.filter_map(|event| event.data["text"].as_str()).collect();
    assert_eq!(output, "done\n");
    assert_eq!(told(&events).last().unwrap(), "done succeeded");
}

#[tokio::test]
async fn an_endpoint_is_heard_while_it_answers_and_its_answer_is_the_result() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = with_worker(Worker::Push(vec![url])).await;
    let id = submit(&server).await;
    let mut reader = Stream::open(server.addr, &format!("/v1/jobs/{id}/events")).await;
    let (go, told_to_go) = oneshot::channel::<()>();
    let endpoint = async move {
        let (mut line, _) = listener.accept().await.unwrap();
        assert!(line.read(&mut [0; 4096]).await.unwrap() > 0);
        // The second half of a character comes with the next chunk.
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        line.write_all(head).await.unwrap();
        line.write_all(b"5\r\none \xc3\r\n").await.unwrap();
        told_to_go.await.unwrap();
        line.write_all(b"5\r\n\xa4two\n\r\n0\r\n\r\n").await.unwrap();
        line.shutdown().await.unwrap();
    };
    let following = async {
        until(&mut reader, "output", "one ").await;
        go.send(()).unwrap();
        until(&mut reader, "output", "ätwo\n").await;
        told(&reader.rest().await)
    };
    let ((), end) = tokio::join!(endpoint, following);
    assert_eq!(end, ["succeeded", "done succeeded"]);
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!((result.status, result.text()), (200, "one ätwo\n"));
}

#[tokio::test]
async fn a_queue_says_whether_it_streams() {
    let server = Server::start().await;
    let put = server
        .ask("PUT", "/v1/queues/s")
        .json(r#"{"stream": true}"#)
        .send()
        .await;
    assert_eq!(
        (put.status, &put.json()["stream"]),
        (200, &json!(true)),
        "{put:?}"
    );
    let put = server.ask("PUT", "/v1/queues/s").json("{}").send().await;
    assert_eq!(put.json()["stream"], json!(false));
    let put = server
        .ask("PUT", "/v1/queues/s")
        .json(r#"{"stream": "yes"}"#)
        .send()
        .await;
    assert_eq!(put.code(), "bad-request");
}
