//! Emitting: chunks of output and log under a lease.

use serde_json::json;

use super::{one, path, say, settings};
use crate::client::Answer;
use crate::harness::{Server, ns};
use raincheck::core::id::JobId;
use raincheck::core::output::Stream;
use raincheck::core::queue::ByteSize;

/// What the store keeps of the job's chunks.
async fn kept(server: &Server, id: &str) -> Vec<(Stream, Vec<u8>)> {
    let id: JobId = id.parse().unwrap();
    let output = server
        .node
        .store()
        .output(&ns(), id, 0, 1_000)
        .await
        .unwrap()
        .unwrap();
    let chunks = output.chunks.iter();
    chunks
        .map(|chunk| (chunk.piece.stream, chunk.piece.body.to_vec()))
        .collect()
}

fn shown(answer: &Answer) -> (u16, String) {
    let text = if answer.status == 200 {
        answer.text().to_owned()
    } else {
        answer.code()
    };
    (answer.status, text)
}

#[tokio::test]
async fn chunks_come_as_text_as_base64_and_as_they_are() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (lease, _) = one(&server).await;
    let emit = format!("{lease}/emit");
    for (n, body) in [
        (0, json!({"seq": 0, "output": "it is "})),
        (1, json!({"log": "hm\n", "seq": 1})),
        (2, json!({"seq": 2, "output_base64": "/wA="})),
    ] {
        let answer = say(&server, &emit, &body).await;
        assert_eq!(
            (answer.status, answer.job(), answer.outcome()),
            (200, id.clone(), Some("pending"))
        );
        assert_eq!(answer.json(), json!({"seq": n, "cancel_requested": false}));
    }
    let raw = |seq: &str| server.post(&emit).header("raincheck-seq", seq);
    let answer = raw("3")
        .header("content-type", "image/png")
        .body(vec![0, 255])
        .send()
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = raw("4")
        .header("raincheck-stream", "log")
        .body("done")
        .send()
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (output, log) = (Stream::Output, Stream::Log);
    let expected: Vec<(Stream, Vec<u8>)> = vec![
        (output, b"it is ".to_vec()),
        (log, b"hm\n".to_vec()),
        (output, vec![255, 0]),
        (output, vec![0, 255]),
        (log, b"done".to_vec()),
    ];
    assert_eq!(kept(&server, &id).await, expected);
}

#[tokio::test]
async fn what_is_no_chunk_is_refused_and_pointed_at() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (lease, _) = one(&server).await;
    let emit = format!("{lease}/emit");
    for (body, pointer) in [
        (json!({}), "/seq"),
        (json!({"output": "a"}), "/seq"),
        (json!({"seq": 0}), "/output"),
        (json!({"seq": -1, "output": "a"}), "/seq"),
        (json!({"seq": 0, "output": 7}), "/output"),
        (json!({"seq": 0, "output": "a", "log": "b"}), "/output"),
        (json!({"seq": 0, "output_base64": "!"}), "/output_base64"),
        (json!({"seq": 0, "text": "a"}), "/text"),
    ] {
        let answer = say(&server, &emit, &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-request".to_owned()),
            "{body}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    let raw = || server.post(&emit).body("a");
    for (name, value) in [
        ("raincheck-seq", "x"),
        ("raincheck-seq", "-1"),
        ("raincheck-stream", "log"),
        ("raincheck-status", "200"),
    ] {
        let answer = raw().header(name, value).send().await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "bad-request".to_owned()),
            "{name}"
        );
    }
    let answer = raw()
        .header("raincheck-seq", "0")
        .header("raincheck-stream", "err")
        .send()
        .await;
    assert_eq!(answer.code(), "bad-request");
    let answer = raw().header("content-type", "text/plain").send().await;
    assert_eq!(answer.code(), "unsupported-media-type");
    assert_eq!(kept(&server, &id).await, []);
}

#[tokio::test]
async fn a_chunk_has_one_place_and_one_content() {
    let server = Server::start().await;
    server.submit("x").await;
    let (lease, _) = one(&server).await;
    let emit = format!("{lease}/emit");
    let ok = |seq: u32| (200, json!({"seq": seq, "cancel_requested": false}).to_string());
    let refused = |code: &str| (409, code.to_owned());
    for (seq, text, expected) in [
        (1, "b", refused("emit-gap")),
        (0, "a", ok(0)),
        (0, "a", ok(0)),
        (0, "b", refused("emit-mismatch")),
        (2, "c", refused("emit-gap")),
        (1, "b", ok(1)),
    ] {
        let answer = say(&server, &emit, &json!({"seq": seq, "output": text})).await;
        if expected.1 == "emit-gap" {
            assert_eq!(
                answer.header("raincheck-seq"),
                Some(if seq == 1 { "0" } else { "1" })
            );
        }
        let mut got = shown(&answer);
        if got.0 == 200 {
            got.1 = answer.json().to_string();
        }
        assert_eq!(got, expected, "{seq} {text}");
    }
    server.post(&format!("{lease}/succeed")).body("ab").send().await;
    let answer = say(&server, &emit, &json!({"seq": 2, "output": "c"})).await;
    assert_eq!(shown(&answer), refused("lease-lost"));
    assert_eq!(answer.outcome(), Some("succeeded"));
}

#[tokio::test]
async fn an_attempt_emits_no_more_than_its_queue_takes() {
    let server = Server::start().await;
    settings(&server, |spec| spec.result_max = Some(ByteSize(4))).await;
    let id = server.submit("x").await;
    let (lease, _) = one(&server).await;
    let emit = format!("{lease}/emit");
    let answer = say(&server, &emit, &json!({"seq": 0, "output": "abc"})).await;
    assert_eq!(answer.status, 200);
    let answer = say(&server, &emit, &json!({"seq": 1, "output": "de"})).await;
    assert_eq!(
        (answer.status, answer.code()),
        (413, "output-too-large".to_owned())
    );
    let answer = server
        .post(&emit)
        .header("raincheck-seq", "1")
        .body("12345")
        .send()
        .await;
    assert_eq!((answer.status, answer.code()), (413, "body-too-large".to_owned()));
    let answer = say(&server, &emit, &json!({"seq": 1, "log": "abcd"})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(kept(&server, &id).await.len(), 2);
}

#[tokio::test]
async fn many_chunks_and_the_end_go_in_one_request() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (_, lease) = one(&server).await;
    let lease = lease["lease"].clone();
    let entries = json!([
        {"lease": lease, "action": "emit", "seq": 0, "output": "a"},
        {"lease": lease, "action": "succeed", "text": "ab"},
        {"lease": lease, "action": "emit", "seq": 1, "output": "b"},
        {"lease": lease, "action": "emit", "seq": 7, "output": "h"},
        {"lease": lease, "action": "emit", "seq": 2},
    ]);
    let answer = say(&server, "/v1/leases", &entries).await;
    let entries = answer.json();
    let shown: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["status"].as_u64().unwrap(), entry["code"].as_str()))
        .collect();
    let expected = [
        (200, None),
        (200, None),
        (200, None),
        (409, Some("emit-gap")),
        (400, Some("bad-request")),
    ];
    assert_eq!(shown, expected);
    assert_eq!(entries[0]["seq"], 0);
    assert_eq!(kept(&server, &id).await.len(), 2);
    let result = server.get(&format!("/v1/jobs/{id}/result")).send().await;
    assert_eq!(result.text(), "ab");
}

#[tokio::test]
async fn a_worker_that_emits_hears_that_it_is_to_stop() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let (_, lease) = one(&server).await;
    server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    let answer = say(
        &server,
        &format!("{}/emit", path(&lease)),
        &json!({"seq": 0, "output": "a"}),
    )
    .await;
    assert_eq!(answer.json()["cancel_requested"], true);
}
