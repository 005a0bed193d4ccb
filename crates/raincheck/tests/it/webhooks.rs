//! Webhooks out: what is told of a finished job, how it is tried again, and how it is looked at.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use raincheck::NodeOptions;
use raincheck::core::clock::{Clock as _, ManualClock};
use raincheck::outward::target::Targets;
use serde_json::{Value, json};

use crate::harness::{Server, Setup, failure, result, success};
use crate::push::signed::{secret, verified};
use crate::push::{Endpoint, Received};

/// Submits to `thumbs` with a callback to the endpoint.
async fn with_callback(server: &Server, endpoint: &Endpoint, events: &str) -> String {
    let callback = format!("\"http://{}/hook\"{events}", endpoint.addr);
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-callback", &callback);
    let answer = ask.body("x").send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.job()
}

fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

fn ok() -> axum::response::Response {
    StatusCode::NO_CONTENT.into_response()
}

async fn deliveries(server: &Server) -> Vec<Value> {
    let listed = server.get("/v1/deliveries").send().await.json();
    listed["deliveries"].as_array().unwrap().clone()
}

/// Until the only delivery is in this state.
async fn stands(server: &Server, state: &str) -> Value {
    loop {
        let delivery = deliveries(server).await.remove(0);
        if delivery["state"] == state && delivery["last"] != Value::Null {
            return delivery;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_finished_job_is_told_with_its_result_and_a_signature() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    let id = with_callback(&server, &endpoint, "").await;
    let answer = result(201, "application/json", &[], r#"{"a": 1e3}"#);
    server
        .work(raincheck::core::decide::Settlement::succeed(answer))
        .await;
    let told = endpoint.next().await;
    let webhook = body(&told);
    assert_eq!(
        (&webhook["type"], &webhook["data"]["job"]["id"]),
        (&json!("job.succeeded"), &json!(id))
    );
    let own = format!("http://{}/v1/jobs/{id}/result", server.addr);
    assert_eq!(webhook["data"]["job"]["urls"]["result"], own, "URLs are absolute");
    assert_eq!(webhook["data"]["result"]["status"], 201);
    let text = std::str::from_utf8(&told.body).unwrap();
    assert!(text.contains(r#"{"a": 1e3}"#), "JSON goes as it came: {text}");
    assert!(verified(&told, secret(&server).await["secret"].as_str().unwrap()));
    assert_eq!(told.header("content-type"), "application/json");
    let name = told.header("webhook-id").to_owned();
    told.answer(ok());
    let delivery = stands(&server, "delivered").await;
    assert_eq!(
        (&delivery["id"], &delivery["job"], &delivery["last"]["status"]),
        (&json!(name), &json!(id), &json!(204))
    );

    let again = server
        .post(&format!("/v1/deliveries/{name}/redeliver"))
        .send()
        .await;
    assert_eq!((again.status, &again.json()["state"]), (200, &json!("pending")));
    let told = endpoint.next().await;
    assert_eq!(told.header("webhook-id"), name, "the same message");
    told.answer(ok());
    server.ask("DELETE", &format!("/v1/jobs/{id}")).send().await;
    assert_eq!(deliveries(&server).await, Vec::<Value>::new());
    let gone = server
        .post(&format!("/v1/deliveries/{name}/redeliver"))
        .send()
        .await;
    assert_eq!(gone.code(), "unknown-delivery");
}

#[tokio::test]
async fn only_the_ends_that_were_asked_for_are_told() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    with_callback(&server, &endpoint, ";events=\"failed\"").await;
    server.work(success("not told")).await;
    let id = with_callback(&server, &endpoint, ";events=\"failed cancelled\"").await;
    server.work(failure("handler-failed", "so it goes", None)).await;
    let told = endpoint.next().await;
    let webhook = body(&told);
    assert_eq!(
        (&webhook["type"], &webhook["data"]["job"]["id"]),
        (&json!("job.failed"), &json!(id))
    );
    assert_eq!(webhook["data"]["result"], Value::Null);
    told.answer(ok());
    // The JSON form has it as a field.
    let callback = json!({"url": format!("http://{}/", endpoint.addr), "events": ["cancelled"]});
    let submission = json!({"queue": "thumbs", "callback": callback}).to_string();
    let id = server.post("/v1/jobs").json(&submission).send().await.job();
    server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    let told = endpoint.next().await;
    assert_eq!(body(&told)["type"], "job.cancelled");
    told.answer(ok());
}

#[tokio::test]
async fn a_large_or_other_result_is_left_to_its_url() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    for (kind, content) in [
        ("application/json", format!("\"{}\"", "x".repeat(20_000))),
        ("text/plain", "hi".to_owned()),
    ] {
        with_callback(&server, &endpoint, "").await;
        let answer = result(200, kind, &[], &content);
        server
            .work(raincheck::core::decide::Settlement::succeed(answer))
            .await;
        let told = endpoint.next().await;
        assert!(told.body.len() < 20_000);
        assert_eq!(body(&told)["data"]["result"], Value::Null, "{kind}");
        told.answer(ok());
    }
}

#[tokio::test]
async fn a_webhook_that_is_not_taken_is_tried_again_and_comes_through_a_restart() {
    let clock = Arc::new(ManualClock::default());
    let setup = Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    };
    let (server, mut endpoint) = (Server::with(setup).await, Endpoint::start().await);
    with_callback(&server, &endpoint, "").await;
    server.work(success("x")).await;
    let first = endpoint.next().await;
    let (name, sent) = (
        first.header("webhook-id").to_owned(),
        first.header("webhook-timestamp").to_owned(),
    );
    first.answer((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "90")]).into_response());
    let waiting = stands(&server, "pending").await;
    assert_eq!(
        (&waiting["tries"], &waiting["last"]["status"]),
        (&json!(1), &json!(503))
    );
    let next: raincheck::core::time::Timestamp = waiting["next_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        next,
        clock.now().plus(Duration::from_secs(90)),
        "Retry-After is the least delay"
    );
    // A clock of its own, for the server that is to end could otherwise begin the second try.
    let later = Arc::new(ManualClock::new(clock.now().plus(Duration::from_secs(91))));
    let server = server.restarted_at(later).await;
    let second = endpoint.next().await;
    assert_eq!(second.header("webhook-id"), name);
    assert_ne!(
        second.header("webhook-timestamp"),
        sent,
        "each try is signed anew"
    );
    second.answer(ok());
    stands(&server, "delivered").await;
}

#[tokio::test]
async fn a_queues_callback_tells_of_its_jobs_until_its_receiver_is_gone() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    let settings =
        json!({"callback": {"url": format!("http://{}/q", endpoint.addr), "events": ["succeeded"]}});
    let put = server
        .ask("PUT", "/v1/queues/thumbs")
        .json(&settings.to_string())
        .send()
        .await;
    assert_eq!(put.json()["callback"], settings["callback"]);
    server.finished(success("1")).await;
    endpoint.next().await.answer(StatusCode::GONE.into_response());
    let abandoned = stands(&server, "abandoned").await;
    assert_eq!(abandoned["last"]["status"], 410);
    let queue = server.get("/v1/queues/thumbs").send().await.json();
    assert!(queue["callback_gone"].is_string());
    server.finished(success("2")).await;
    assert_eq!(deliveries(&server).await.len(), 1, "nothing more is recorded");
    let put = server
        .ask("PUT", "/v1/queues/thumbs")
        .json(&settings.to_string())
        .send()
        .await;
    assert_eq!(put.json()["callback_gone"], Value::Null);
    server.finished(success("3")).await;
    endpoint.next().await.answer(ok());
}

/// A server that others reach: what is on its machine is nobody's who asks from elsewhere.
async fn public() -> Server {
    let targets = Targets {
        loopback: false,
        allowed: vec!["10.1.0.0/16".parse().unwrap()],
    };
    let node = NodeOptions {
        targets: Arc::new(targets),
        ..NodeOptions::default()
    };
    let setup = Setup {
        node,
        ..Setup::default()
    };
    Server::with(setup).await
}

#[tokio::test]
async fn a_callback_leads_to_no_private_address() {
    let (server, mut endpoint) = (public().await, Endpoint::start().await);
    // What a name stands for is known when it is asked for.
    let callback = format!("\"http://localhost:{}/hook\"", endpoint.addr.port());
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-callback", &callback);
    assert_eq!(ask.body("x").send().await.status, 202);
    server.work(success("x")).await;
    let waiting = stands(&server, "pending").await;
    let why = waiting["last"]["error"].as_str().unwrap();
    assert!(why.contains("is not a public address"), "{why}");
    assert!(!endpoint.more());
}

#[tokio::test]
async fn a_callback_to_an_address_that_is_never_asked_is_refused_when_it_is_named() {
    let server = public().await;
    for (url, part) in [
        ("http://127.0.0.1:80/", "127.0.0.1 is not a public address"),
        (
            "https://169.254.169.254/latest",
            "169.254.169.254 is not a public address",
        ),
        ("https://[::ffff:10.0.0.1]/", "10.0.0.1 is not a public address"),
        ("https://[fd00::1]/", "fd00::1 is not a public address"),
        ("http://8.8.8.8/", "only https://"),
        ("https://8.8.8.8:8443/", "port 8443"),
    ] {
        let head = |path: &str| {
            let callback = format!("\"{url}\"");
            server.post(path).header("raincheck-callback", &callback)
        };
        let urls = json!({"urls": ["https://example.org/"]}).to_string();
        let callback = json!({"url": url});
        let job = json!({"queue": "thumbs", "callback": callback}).to_string();
        let refused = [
            (
                "Raincheck-Callback: ",
                None,
                head("/v1/queues/thumbs/jobs").body("x"),
            ),
            (
                "Raincheck-Callback: ",
                None,
                head("/v1/batches?queue=thumbs")
                    .header("content-type", "application/x-ndjson")
                    .body("{}\n"),
            ),
            ("callback: ", None, head("/v1/fetch").json(&urls)),
            (
                "callback: ",
                Some("/callback"),
                server.post("/v1/jobs").json(&job),
            ),
            (
                "callback: ",
                Some("/callback"),
                server
                    .ask("PUT", "/v1/queues/q")
                    .json(&json!({ "callback": callback }).to_string()),
            ),
        ];
        for (begin, pointer, ask) in refused {
            let answer = ask.send().await;
            assert_eq!(answer.code(), "bad-request", "{url}: {answer:?}");
            let problem = answer.json();
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.starts_with(begin) && detail.contains(part),
                "{url}: {detail}"
            );
            assert_eq!(
                problem["errors"][0]["pointer"].as_str(),
                pointer,
                "{url}: {problem}"
            );
        }
        let listed = server
            .post("/v1/jobs")
            .json(&format!("[{job}]"))
            .send()
            .await
            .json();
        assert_eq!(listed[0]["code"], "bad-request", "{listed}");
        let line = format!("{job}\n");
        let batch = server
            .post("/v1/batches")
            .header("content-type", "application/x-ndjson")
            .body(line)
            .send()
            .await
            .json();
        assert_eq!(batch["rejected"], 1, "{batch}");
    }
    let jobs = server.get("/v1/jobs").send().await.json();
    assert_eq!(jobs["jobs"], json!([]), "nothing was stored");
    for url in ["https://8.8.8.8/", "http://10.1.2.3:9/", "http://a.example:9/"] {
        let ask = server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-callback", &format!("\"{url}\""));
        assert_eq!(ask.body("x").send().await.status, 202, "{url}");
    }
}

#[tokio::test]
async fn a_callback_that_cannot_be_is_refused() {
    let server = Server::start().await;
    for callback in [
        "https://a/",
        "\"ftp://a/\"",
        "\"https://a/\";events=\"done\"",
        "\"https://u:p@a/\"",
    ] {
        let ask = server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-callback", callback);
        assert_eq!(ask.body("x").send().await.code(), "bad-request", "{callback}");
    }
    for callback in [
        json!({"url": "/x"}),
        json!({"url": "https://a/", "events": []}),
        json!({"url": "https://a/", "x": 1}),
    ] {
        let settings = json!({ "callback": callback }).to_string();
        let put = server.ask("PUT", "/v1/queues/q").json(&settings).send().await;
        assert_eq!(put.code(), "bad-request", "{callback}");
    }
    for query in [
        "?limit=0",
        "?cursor=x",
        "?x=1",
        "?limit=1&limit=1",
        "?state=done",
        "?job=1",
    ] {
        let listed = server.get(&format!("/v1/deliveries{query}")).send().await;
        assert_eq!(listed.code(), "bad-request", "{query}");
    }
}

#[tokio::test]
async fn deliveries_are_found_by_job_and_by_state_page_by_page() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    let mut jobs = Vec::new();
    for answer in [StatusCode::OK, StatusCode::GONE, StatusCode::OK] {
        jobs.push(with_callback(&server, &endpoint, "").await);
        server.work(success("x")).await;
        endpoint.next().await.answer(answer.into_response());
    }
    while deliveries(&server)
        .await
        .iter()
        .any(|delivery| delivery["state"] == "pending")
    {
        tokio::task::yield_now().await;
    }
    let page = async |query: &str| {
        let listed = server.get(&format!("/v1/deliveries?{query}")).send().await.json();
        let ids = listed["deliveries"].as_array().unwrap().iter();
        let ids: Vec<_> = ids
            .map(|delivery| delivery["job"].as_str().unwrap().to_owned())
            .collect();
        (ids, listed["cursor"].as_str().map(str::to_owned))
    };
    for job in &jobs {
        assert_eq!(page(&format!("job={job}")).await, (vec![job.clone()], None));
    }
    let strange = "job_01jd8zq3k5e7rv2m4n6p8s0t1w";
    assert_eq!(page(&format!("job={strange}")).await, (vec![], None));
    assert_eq!(
        page(&format!("job={}&state=delivered", jobs[1])).await,
        (vec![], None)
    );
    assert_eq!(page("state=abandoned").await, (vec![jobs[1].clone()], None));
    let (first, cursor) = page("state=delivered&limit=1").await;
    assert_eq!(first, [jobs[2].clone()]);
    let (second, end) = page(&format!("state=delivered&limit=1&cursor={}", cursor.unwrap())).await;
    assert_eq!((second, end), (vec![jobs[0].clone()], None));
}
