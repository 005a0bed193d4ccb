//! Uploads of batches: many lines, bad lines, and uploads that break off.

use serde_json::{Value, json};

use super::{lines, look, upload};
use crate::client::Line;
use crate::harness::{Server, ns};
use raincheck::core::list::{Filter, Page};

/// The jobs that are there.
async fn jobs(server: &Server) -> usize {
    let page = Page {
        filter: Filter::default(),
        cursor: None,
        limit: 200_000,
    };
    let mut count = 0;
    let mut cursor = None;
    loop {
        let listed = server
            .store()
            .list(
                &ns(),
                Page {
                    cursor,
                    ..page.clone()
                },
            )
            .await
            .unwrap();
        count += listed.jobs.len();
        if listed.cursor.is_none() {
            return count;
        }
        cursor = listed.cursor;
    }
}

/// Begins an upload under a key with these lines, and breaks it off inside the next one; the id of the batch.
async fn broken_off(server: &Server, key: &str, count: usize) -> String {
    let mut line = Line::open(server.addr).await;
    let head = format!(
        "POST /v1/batches?queue=thumbs HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\n\
         idempotency-key: {key}\r\ncontent-length: 1000000\r\n\r\n",
        server.addr
    );
    line.send(head.as_bytes()).await;
    let body: String = lines(count).iter().map(|line| format!("{line}\n")).collect();
    line.send(body.as_bytes()).await;
    line.send(b"{\"input\": {\"n\"").await;
    loop {
        let listed = server.get("/v1/jobs?limit=1").send().await.json();
        if let Some(id) = listed["jobs"][0]["batch"].as_str()
            && look(server, id).await["total"] == count
        {
            return id.to_owned();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn twenty_thousand_lines_are_taken_and_counted() {
    let server = Server::start().await;
    let count = 20_000;
    let batch = upload(&server, &lines(count), &[]).await;
    assert_eq!(batch.status, 202, "{batch:?}");
    let batch = batch.json();
    assert_eq!(
        (&batch["total"], &batch["rejected"], &batch["counts"]["queued"]),
        (&json!(count), &json!(0), &json!(count))
    );
    assert_eq!(jobs(&server).await, count);
    let server = server.restarted().await;
    let again = look(&server, batch["id"].as_str().unwrap()).await;
    assert_eq!(again["counts"], batch["counts"]);
}

#[tokio::test]
async fn lines_run_while_the_upload_goes_on() {
    let server = Server::start().await;
    let mut line = Line::open(server.addr).await;
    let head = format!(
        "POST /v1/batches HTTP/1.1\r\nhost: {}\r\ncontent-type: application/jsonl\r\ntransfer-encoding: chunked\r\n\
         connection: close\r\n\r\n",
        server.addr
    );
    line.send(head.as_bytes()).await;
    let one = "{\"queue\":\"thumbs\",\"input\":1}\n";
    line.send(format!("{:x}\r\n{one}\r\n", one.len()).as_bytes())
        .await;
    let job = server.work(crate::harness::success("early")).await;
    let id = job.member.unwrap().batch.to_string();
    let open = look(&server, &id).await;
    assert_eq!(
        (&open["sealed"], &open["done"], &open["total"]),
        (&json!(false), &json!(false), &json!(1))
    );
    assert!(open["open_until"].is_string());
    line.send(b"0\r\n\r\n").await;
    let answer = line.answer().await.unwrap();
    assert_eq!((answer.status, &answer.json()["done"]), (202, &json!(true)));
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_was() {
    let server = Server::start().await;
    let id = broken_off(&server, "k", 700).await;
    assert_eq!(look(&server, &id).await["sealed"], false);
    let server = server.restarted().await;
    let whole = upload(&server, &lines(1_000), &[("idempotency-key", "k")]).await;
    assert_eq!(
        (whole.status, whole.header("idempotency-replayed")),
        (202, None),
        "{whole:?}"
    );
    let batch = whole.json();
    assert_eq!(
        (&batch["id"], &batch["total"], &batch["sealed"]),
        (&json!(id), &json!(1_000), &json!(true))
    );
    assert_eq!(jobs(&server).await, 1_000, "no line is lost, none is there twice");
    let again = upload(&server, &lines(1_000), &[("idempotency-key", "k")]).await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (202, Some("true"))
    );
    assert_eq!(again.json()["id"], id);
    assert_eq!(jobs(&server).await, 1_000);
    for count in [999, 1_001] {
        let other = upload(&server, &lines(count), &[("idempotency-key", "k")]).await;
        assert_eq!(
            (other.status, other.code().as_str()),
            (422, "idempotency-mismatch"),
            "{count}"
        );
    }
    let other = upload(
        &server,
        &lines(1_000),
        &[("idempotency-key", "k"), ("raincheck-keep", "1h")],
    )
    .await;
    assert_eq!(other.code(), "idempotency-mismatch");
}

#[tokio::test]
async fn a_cancelled_upload_takes_no_more_lines() {
    let server = Server::start().await;
    let id = broken_off(&server, "k", 3).await;
    let cancelled = server.post(&format!("/v1/batches/{id}/cancel")).send().await;
    assert_eq!((cancelled.status, &cancelled.json()["done"]), (200, &json!(true)));
    let rest = upload(&server, &lines(5), &[("idempotency-key", "k")]).await;
    assert_eq!((rest.status, rest.code().as_str()), (409, "batch-closed"));
    assert_eq!(jobs(&server).await, 3);
}

#[tokio::test]
async fn a_line_that_cannot_be_is_told_and_harms_no_other() {
    let server = Server::start().await;
    let body = [
        r#"{"input": 1}"#,
        "{",
        "7",
        "",
        r#"{"queue": "nowhere"}"#,
        r#"{"queue": "a b"}"#,
        r#"{"inptu": 1}"#,
        r#"{"keep": "1h"}"#,
        r#"{"ticket": "1h"}"#,
        r#"{"input": "last"}"#,
    ]
    .join("\n");
    let large = format!("{body}\n{{\"input_text\":\"{}\"}}", "x".repeat(2 << 20));
    let ask = server.post("/v1/batches?queue=thumbs");
    let answer = ask
        .header("content-type", "application/x-ndjson")
        .body(large)
        .send()
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let batch = answer.json();
    let told: Vec<(u64, String)> = batch["rejected_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["index"].as_u64().unwrap(),
                line["code"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let bad = |index| (index, "bad-request".to_owned());
    let expected = [
        bad(1),
        bad(2),
        (3, "unknown-queue".to_owned()),
        bad(4),
        bad(5),
        bad(6),
        bad(7),
        (9, "body-too-large".to_owned()),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        (&batch["total"], &batch["rejected"], &batch["counts"]["queued"]),
        (&json!(10), &json!(8), &json!(2))
    );
    let details: Vec<&str> = batch["rejected_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["detail"].as_str().unwrap())
        .collect();
    assert_eq!(details[1], "the line is not a JSON object");
    assert!(details[4].contains("\"inptu\""), "{details:?}");
    assert!(details[5].contains("Raincheck-Keep"), "{details:?}");
}

#[tokio::test]
async fn a_line_that_stands_for_another_job_is_no_member() {
    let server = Server::start().await;
    let line = json!({"input": 1, "idempotency_key": "k"});
    let answer = upload(&server, &[line.clone(), line], &[]).await.json();
    assert_eq!(
        (&answer["rejected"], &answer["rejected_lines"][0]["code"]),
        (&json!(1), &json!("already-submitted"))
    );
}

#[tokio::test]
async fn a_head_that_cannot_be_opens_nothing() {
    let server = Server::start().await;
    let callback = "\"https://example.org/\";events=\"failed\"";
    for (path, header, status) in [
        ("/v1/batches?queue=a%20b", ("x-a", "b"), 400),
        ("/v1/batches?queue=a&queue=a", ("x-a", "b"), 400),
        ("/v1/batches?wait=5", ("x-a", "b"), 400),
        ("/v1/batches", ("raincheck-priority", "3"), 400),
        ("/v1/batches", ("raincheck-callback", callback), 400),
        ("/v1/batches", ("raincheck-keep", "0s"), 400),
        ("/v1/batches", ("content-encoding", "gzip"), 415),
    ] {
        let ask = server.post(path).header(header.0, header.1);
        let answer = ask
            .header("content-type", "application/x-ndjson")
            .body("{}")
            .send()
            .await;
        assert_eq!(answer.status, status, "{path} {header:?} {answer:?}");
        answer.code();
    }
    let json = server.post("/v1/batches").json("[]").send().await;
    assert_eq!(json.code(), "unsupported-media-type");
    server.node.drain().await;
    let answer = upload(&server, &lines(1), &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "draining"));
    assert_eq!(jobs(&server).await, 0);
}

#[tokio::test]
async fn a_batch_of_nothing_is_done_at_once() {
    let server = Server::start().await;
    let batch: Value = upload(&server, &[], &[]).await.json();
    assert_eq!(
        (&batch["done"], &batch["total"], &batch["progress"]),
        (&json!(true), &json!(0), &json!(1.0))
    );
}

#[tokio::test]
async fn a_development_server_makes_the_queues_of_lines() {
    let mut setup = crate::harness::Setup::default();
    setup.node.dev = true;
    let server = Server::with(setup).await;
    let batch = upload(&server, &[json!({"queue": "fresh"})], &[]).await.json();
    assert_eq!(
        (&batch["rejected"], &batch["counts"]["queued"]),
        (&json!(0), &json!(1))
    );
}
