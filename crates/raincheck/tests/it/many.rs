//! Many jobs in one request: arrays and NDJSON.

use std::collections::HashSet;

use raincheck::NodeOptions;
use raincheck::core::queue::{ByteSize, QueueSpec};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::harness::{Server, Setup, ns, queue, success};

fn entries(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!((answer.header("raincheck-job"), answer.outcome()), (None, None));
    answer.json().as_array().unwrap().clone()
}

async fn array(server: &Server, body: &Value) -> Vec<Value> {
    entries(&server.post("/v1/jobs").json(&body.to_string()).send().await)
}

async fn lines(server: &Server, body: &str) -> Vec<Value> {
    let ask = server
        .post("/v1/jobs")
        .header("content-type", "application/x-ndjson");
    entries(&ask.body(body).send().await)
}

/// A problem in a list: its code, after checking what each must have.
fn code(entry: &Value, index: usize) -> &str {
    let code = entry["code"]
        .as_str()
        .unwrap_or_else(|| panic!("no problem: {entry}"));
    assert_eq!(entry["type"], format!("/problems/{code}"));
    assert_eq!(
        (&entry["index"], &entry["request_id"]),
        (&json!(index), &Value::Null)
    );
    assert!(!entry["detail"].as_str().unwrap().is_empty() && entry["status"].as_u64().unwrap() >= 400);
    code
}

fn id(entry: &Value) -> String {
    entry["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no job: {entry}"))
        .to_owned()
}

async fn input(server: &Server, entry: &Value) -> String {
    let path = format!("/v1/jobs/{}/input", id(entry));
    server.get(&path).send().await.text().to_owned()
}

#[tokio::test]
async fn an_array_is_answered_with_a_list_of_jobs_in_its_order() {
    let server = Server::start().await;
    let body = json!([
        {"queue": "thumbs", "input": {"n": 0}},
        {"queue": "thumbs", "input_text": "one", "priority": 1, "tags": ["eu"], "delay": "1h"},
        {"queue": "thumbs", "input_base64": "dHdv"},
    ]);
    let answer = server.post("/v1/jobs").json(&body.to_string()).send().await;
    let jobs = entries(&answer);
    assert_eq!(jobs.len(), 3);
    let single = server
        .post("/v1/jobs")
        .json(r#"{"queue":"thumbs"}"#)
        .send()
        .await
        .json();
    for job in &jobs {
        let fields = |job: &Value| job.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            fields(job),
            fields(&single),
            "the short document that a 202 gives"
        );
        assert_eq!(
            server
                .get(job["urls"]["self"].as_str().unwrap())
                .send()
                .await
                .status,
            200
        );
    }
    assert_eq!(input(&server, &jobs[0]).await, r#"{"n":0}"#);
    assert_eq!(input(&server, &jobs[1]).await, "one");
    assert_eq!(input(&server, &jobs[2]).await, "two");
    assert_eq!(
        (&jobs[0]["state"], &jobs[1]["state"]),
        (&json!("queued"), &json!("scheduled"))
    );
    let stored = server
        .get(&format!("/v1/jobs/{}", id(&jobs[1])))
        .send()
        .await
        .json();
    assert_eq!(
        (&stored["priority"], &stored["tags"]),
        (&json!(1), &json!(["eu"]))
    );
    let ids: Vec<_> = jobs.iter().map(id).collect();
    assert!(ids.is_sorted(), "accepted in the order given");
}

#[tokio::test]
async fn ndjson_is_answered_with_the_same_list() {
    let server = Server::start().await;
    let body = "{\"queue\":\"thumbs\",\"input\":1}\r\n\n  {\"queue\":\"thumbs\",\"input\": 2 }";
    for kind in [
        "application/x-ndjson",
        "application/jsonl",
        "Application/X-NDJSON; charset=utf-8",
    ] {
        let ask = server.post("/v1/jobs").header("content-type", kind);
        let jobs = entries(&ask.body(body).send().await);
        assert_eq!(jobs.len(), 2, "blank lines count for nothing");
        assert_eq!(input(&server, &jobs[1]).await, "2");
    }
    assert_eq!(lines(&server, "{\"queue\":\"thumbs\"}").await.len(), 1);
}

#[tokio::test]
async fn a_list_of_nothing_is_a_list_of_nothing() {
    let server = Server::start().await;
    assert!(array(&server, &json!([])).await.is_empty());
    assert!(lines(&server, "").await.is_empty());
    assert!(lines(&server, "\n\r\n").await.is_empty());
}

#[tokio::test]
async fn a_bad_entry_is_a_problem_in_its_place_and_harms_no_other() {
    let server = Server::start().await;
    let small = QueueSpec {
        body_max: Some(ByteSize(4)),
        ..QueueSpec::default()
    };
    server
        .node
        .put_queue(&ns(), &queue("small"), small, false)
        .await
        .unwrap()
        .unwrap();
    let full = QueueSpec {
        depth: Some(1),
        ..QueueSpec::default()
    };
    server
        .node
        .put_queue(&ns(), &queue("full"), full, false)
        .await
        .unwrap()
        .unwrap();
    let list = array(
        &server,
        &json!([
            {"queue": "thumbs", "input": 0},
            7,
            {"queue": "nowhere"},
            {"queue": "thumbs", "priority": 10},
            {"queue": "small", "input_text": "12345"},
            {"queue": "small", "input_text": "1234"},
            {"input": 1},
            {"queue": "full"},
            {"queue": "full"},
            [{"queue": "thumbs"}],
            {"queue": "nowhere", "idempotency_key": "k"},
            {"queue": "thumbs", "colour": "blue"},
            {"queue": "thumbs", "input": 12},
        ]),
    )
    .await;
    let codes: Vec<_> = list
        .iter()
        .enumerate()
        .map(|(n, entry)| if entry["id"].is_null() { code(entry, n) } else { "" })
        .collect();
    assert_eq!(
        codes,
        [
            "",
            "bad-request",
            "unknown-queue",
            "bad-request",
            "body-too-large",
            "",
            "bad-request",
            "",
            "queue-full",
            "bad-request",
            "unknown-queue",
            "bad-request",
            ""
        ]
    );
    assert_eq!(list[3]["errors"][0]["pointer"], "/priority");
    assert_eq!(
        (&list[1]["detail"], &list[2]["status"]),
        (&json!("the entry is not a JSON object"), &json!(404))
    );
    assert_eq!(
        input(&server, &list[12]).await,
        "12",
        "what follows a refusal is its own"
    );
    let all = server.get("/v1/jobs").send().await.json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_line_that_is_no_json_is_a_problem_in_its_place() {
    let server = Server::start().await;
    let mut body =
        b"{\"queue\":\"thumbs\"}\n{\"queue\":\n\"thumbs\"\n{\"queue\":\"thumbs\"} x\n{\"queue\":\"\xff\"}\n"
            .to_vec();
    body.extend_from_slice(b"{\"a\":".repeat(10_000).as_slice());
    body.extend_from_slice(b"\n{\"queue\":\"thumbs\",\"input\":5}\n");
    let ask = server
        .post("/v1/jobs")
        .header("content-type", "application/jsonl");
    let list = entries(&ask.body(body).send().await);
    assert_eq!(list.len(), 7);
    id(&list[0]);
    for (n, entry) in list.iter().enumerate().take(6).skip(1) {
        assert_eq!(code(entry, n), "bad-request");
        assert!(
            entry["detail"].as_str().unwrap().starts_with("the entry is not"),
            "{entry}"
        );
    }
    assert_eq!(input(&server, &list[6]).await, "5");
}

#[tokio::test]
async fn twins_inside_one_list_make_one_job() {
    let server = Server::start().await;
    let twin = json!({"queue": "thumbs", "input": 1, "idempotency_key": "k"});
    let other = json!({"queue": "thumbs", "input": 2, "idempotency_key": "k"});
    let list = array(&server, &json!([twin, {"queue": "thumbs"}, twin, other])).await;
    assert_eq!(id(&list[0]), id(&list[2]));
    assert_eq!(
        (&list[0]["idempotency_replayed"], &list[2]["idempotency_replayed"]),
        (&Value::Null, &json!(true))
    );
    assert_ne!(id(&list[0]), id(&list[1]));
    assert_eq!(code(&list[3], 3), "idempotency-mismatch");
    let again = array(&server, &json!([twin])).await;
    assert_eq!(
        (id(&again[0]), &again[0]["idempotency_replayed"]),
        (id(&list[0]), &json!(true))
    );
    let single = server.post("/v1/jobs").json(&twin.to_string()).send().await;
    assert_eq!(
        single.job(),
        id(&list[0]),
        "alone or in a list, it is the same request"
    );
    let header = server
        .post("/v1/queues/thumbs/jobs")
        .header("idempotency-key", "k");
    let header = header
        .header("content-type", "application/json")
        .body("1")
        .send()
        .await;
    assert_eq!(header.job(), id(&list[0]));
    let all = server.get("/v1/jobs").send().await.json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_repetition_is_answered_with_the_job_as_it_is_now() {
    let server = Server::start().await;
    let twin = json!([{"queue": "thumbs", "idempotency_key": "k"}]);
    let first = array(&server, &twin).await;
    server.work(success("y")).await;
    let again = array(&server, &twin).await;
    assert_eq!(
        (id(&again[0]), &again[0]["outcome"]),
        (id(&first[0]), &json!("succeeded"))
    );
    server
        .ask("DELETE", &format!("/v1/jobs/{}", id(&first[0])))
        .send()
        .await;
    assert_eq!(code(&array(&server, &twin).await[0], 0), "job-deleted");
}

#[tokio::test]
async fn more_than_a_batch_is_taken_in_order_and_each_once() {
    let server = Server::start().await;
    let twin = json!({"queue": "thumbs", "input": "twin", "idempotency_key": "k"});
    let mut list: Vec<Value> = (0..2_500)
        .map(|n| json!({"queue": "thumbs", "input": n}))
        .collect();
    list[3] = twin.clone();
    list[1_700] = json!({"queue": "nowhere"});
    list[2_400] = twin;
    let jobs = array(&server, &json!(list)).await;
    assert_eq!(jobs.len(), 2_500);
    assert_eq!(code(&jobs[1_700], 1_700), "unknown-queue");
    assert_eq!(id(&jobs[3]), id(&jobs[2_400]), "twins in different batches");
    for n in [0, 999, 1_000, 1_699, 1_701, 2_000, 2_499] {
        assert_eq!(input(&server, &jobs[n]).await, n.to_string());
    }
    let ids: HashSet<_> = jobs.iter().filter_map(|job| job["id"].as_str()).collect();
    assert_eq!(ids.len(), 2_498);
}

#[tokio::test]
async fn ten_thousand_entries_are_taken_and_one_more_is_refused_before_any_is_stored() {
    let server = Server::start().await;
    let entry = r#"{"queue":"thumbs"}"#;
    let body = |n: usize| format!("[{}]", vec![entry; n].join(","));
    let ndjson = format!("{entry}\n").repeat(10_001);
    let refused = server.post("/v1/jobs").json(&body(10_001)).send().await;
    assert_eq!((refused.status, &*refused.code()), (413, "body-too-large"));
    let ask = server
        .post("/v1/jobs")
        .header("content-type", "application/jsonl");
    let refused = ask.body(ndjson).send().await;
    assert_eq!((refused.status, &*refused.code()), (413, "body-too-large"));
    let counts = async || server.get("/v1/queues/thumbs").send().await.json()["counts"]["queued"].as_u64();
    assert_eq!(counts().await, Some(0));
    let taken = entries(&server.post("/v1/jobs").json(&body(10_000)).send().await);
    assert!(taken.iter().all(|job| job["id"].is_string()));
    assert_eq!((taken.len(), counts().await), (10_000, Some(10_000)));
}

#[tokio::test]
async fn a_list_that_is_no_list_is_refused_whole() {
    let server = Server::start().await;
    let good = r#"{"queue":"thumbs"}"#;
    for body in [
        format!("[{good}"),
        format!("[{good},]"),
        format!("[{good}] {good}"),
        "[{]".to_owned(),
    ] {
        let answer = server.post("/v1/jobs").json(&body).send().await;
        assert_eq!((answer.status, &*answer.code()), (400, "bad-request"), "{body}");
    }
    let all = server.get("/v1/jobs").send().await.json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn what_a_list_cannot_have_is_refused() {
    let server = Server::start().await;
    let body = r#"[{"queue":"thumbs"}]"#;
    let ask = || server.post("/v1/jobs");
    let keyed = ask().header("idempotency-key", "k").json(body).send().await;
    assert_eq!((keyed.status, &*keyed.code()), (400, "bad-request"));
    assert!(
        keyed.json()["detail"]
            .as_str()
            .unwrap()
            .starts_with("Idempotency-Key: ")
    );
    let option = ask().header("raincheck-priority", "1").json(body).send().await;
    assert_eq!((option.status, &*option.code()), (400, "bad-request"));
    for kind in ["application/json", "application/x-ndjson"] {
        let coded = ask()
            .header("content-type", kind)
            .header("content-encoding", "gzip");
        let coded = coded.body(body).send().await;
        assert_eq!(
            (coded.status, &*coded.code()),
            (415, "unsupported-media-type"),
            "{kind}"
        );
    }
    let waiting = server.post("/v1/jobs?wait=1").json(body).send().await;
    assert_eq!((waiting.status, &*waiting.code()), (400, "bad-request"));
    let preferring = ask().header("prefer", "wait=60").json(body).send().await;
    assert_eq!(
        (preferring.status, preferring.header("preference-applied")),
        (200, None)
    );
    let announced = ask().header("content-type", "application/x-ndjson");
    let announced = announced.header("content-length", "67108865").send().await;
    assert_eq!((announced.status, &*announced.code()), (413, "body-too-large"));
}

#[tokio::test]
async fn a_draining_server_takes_no_entry_but_knows_what_it_took() {
    let server = Server::start().await;
    let known = json!({"queue": "thumbs", "idempotency_key": "k"});
    let first = array(&server, &json!([known])).await;
    server.node.drain().await;
    let fresh = json!({"queue": "thumbs", "idempotency_key": "fresh"});
    let list = array(&server, &json!([{"queue": "thumbs"}, known, fresh, {}])).await;
    assert_eq!((code(&list[0], 0), &list[0]["status"]), ("draining", &json!(503)));
    assert_eq!(id(&list[1]), id(&first[0]));
    assert_eq!(code(&list[2], 2), "draining");
    assert_eq!(code(&list[3], 3), "bad-request");
}

#[tokio::test]
async fn a_closed_store_is_told_for_each_entry() {
    let server = Server::start().await;
    server.store().close().await.unwrap();
    let list = array(&server, &json!([{"queue": "thumbs"}, 7])).await;
    assert_eq!(
        (&list[0]["status"], &list[0]["outcome"]),
        (&json!(503), &Value::Null)
    );
    code(&list[0], 0);
    assert_eq!(code(&list[1], 1), "bad-request");
}

#[tokio::test]
async fn a_list_creates_queues_where_the_server_does() {
    let server = Server::with(Setup {
        node: NodeOptions {
            dev: true,
            ..NodeOptions::default()
        },
        ..Setup::default()
    })
    .await;
    let list = array(&server, &json!([{"queue": "a"}, {"queue": "b"}, {"queue": "a"}])).await;
    list.iter().for_each(|job| drop(id(job)));
    assert_eq!(server.claim("a").await.unwrap().job.id.to_string(), id(&list[0]));
}

#[tokio::test]
async fn the_trace_and_the_headers_of_the_request_are_every_entrys() {
    let server = Server::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = json!([{"queue": "thumbs", "forward": ["x-tenant"]}, {"queue": "thumbs"}]);
    let ask = server
        .post("/v1/jobs")
        .header("traceparent", trace)
        .header("x-tenant", "t7");
    assert_eq!(entries(&ask.json(&body.to_string()).send().await).len(), 2);
    let (one, two) = (
        server.claim("thumbs").await.unwrap(),
        server.claim("thumbs").await.unwrap(),
    );
    assert_eq!(one.job.options.traceparent.as_deref(), Some(trace));
    assert_eq!(two.job.options.traceparent.as_deref(), Some(trace));
    assert_eq!(one.input.headers, [("x-tenant".to_owned(), "t7".to_owned())]);
    assert!(two.input.headers.is_empty());
}
