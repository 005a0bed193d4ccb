//! What the server tells Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use raincheck::core::clock::ManualClock;
use serde_json::json;

use crate::harness::{Server, Setup, failure, success};
use crate::push::Endpoint;

/// The samples of a look, by name and labels as they are written.
async fn look(server: &Server) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Until this sample is so much.
async fn until(server: &Server, name: &str, value: f64) -> BTreeMap<String, f64> {
    loop {
        let samples = look(server).await;
        if samples.get(name) == Some(&value) {
            return samples;
        }
        tokio::task::yield_now().await;
    }
}

/// What each of these samples is.
fn shown(samples: &BTreeMap<String, f64>, names: &[(&str, f64)]) {
    for (name, value) in names {
        assert_eq!(samples.get(*name), Some(value), "{name} in {samples:#?}");
    }
}

#[tokio::test]
async fn each_transition_is_counted_once() {
    let server = Server::start().await;
    server.finished(success("x")).await;
    let failed = server.finished(failure("handler-failed", "no", None)).await;
    let retried = server.post(&format!("/v1/jobs/{failed}/retry")).send().await;
    assert_eq!(retried.status, 202);
    server.work(success("x")).await;
    let cancelled = server.submit("x").await;
    server.post(&format!("/v1/jobs/{cancelled}/cancel")).send().await;
    let upload = server.post("/v1/batches?queue=thumbs");
    let upload = upload
        .header("content-type", "application/x-ndjson")
        .body("{\"input\":1}\n")
        .send()
        .await;
    assert_eq!(upload.status, 202, "{upload:?}");
    server.submit("waits").await;
    let samples = until(
        &server,
        "raincheck_jobs_submitted_total{queue=\"thumbs\",source=\"submit\"}",
        4.0,
    )
    .await;
    shown(
        &samples,
        &[
            (
                "raincheck_jobs_submitted_total{queue=\"thumbs\",source=\"retry\"}",
                1.0,
            ),
            (
                "raincheck_jobs_submitted_total{queue=\"thumbs\",source=\"batch\"}",
                1.0,
            ),
            (
                "raincheck_jobs_finished_total{queue=\"thumbs\",outcome=\"succeeded\"}",
                2.0,
            ),
            (
                "raincheck_jobs_finished_total{queue=\"thumbs\",outcome=\"failed\"}",
                1.0,
            ),
            (
                "raincheck_jobs_finished_total{queue=\"thumbs\",outcome=\"cancelled\"}",
                1.0,
            ),
            (
                "raincheck_job_attempts_total{queue=\"thumbs\",outcome=\"succeeded\"}",
                2.0,
            ),
            (
                "raincheck_job_attempts_total{queue=\"thumbs\",outcome=\"failed\"}",
                1.0,
            ),
            ("raincheck_job_wait_seconds_count{queue=\"thumbs\"}", 3.0),
            ("raincheck_job_run_seconds_count{queue=\"thumbs\"}", 3.0),
            ("raincheck_job_total_seconds_count{queue=\"thumbs\"}", 4.0),
            ("raincheck_jobs{queue=\"thumbs\",state=\"queued\"}", 2.0),
            ("raincheck_jobs{queue=\"thumbs\",state=\"succeeded\"}", 2.0),
            ("raincheck_jobs{queue=\"thumbs\",state=\"failed\"}", 1.0),
            ("raincheck_queue_paused{queue=\"thumbs\"}", 0.0),
            ("raincheck_store_errors_total{op=\"commit\"}", 0.0),
        ],
    );
    let commits = samples["raincheck_store_commit_seconds_count"];
    assert!((8.0..40.0).contains(&commits), "{commits} commits");
    assert_eq!(
        samples["raincheck_store_commit_seconds_bucket{le=\"+Inf\"}"],
        commits
    );
    assert!(samples["raincheck_store_size_bytes"] > 4096.0);
}

#[tokio::test]
async fn requests_are_counted_by_their_routes_and_not_by_what_is_in_them() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    server.get(&format!("/v1/jobs/{id}")).send().await;
    server.get(&format!("/v1/jobs/{id}")).send().await;
    server.get("/v1/jobs/job_00000000000000000000000000").send().await;
    server.get("/nowhere/secret").send().await;
    server.ask("BREW", "/v1/jobs").send().await;
    let samples = look(&server).await;
    shown(
        &samples,
        &[
            (
                "raincheck_http_requests_total{route=\"/v1/jobs/{id}\",method=\"GET\",code=\"200\"}",
                2.0,
            ),
            (
                "raincheck_http_requests_total{route=\"/v1/jobs/{id}\",method=\"GET\",code=\"404\"}",
                1.0,
            ),
            (
                "raincheck_http_requests_total{route=\"/v1/queues/{queue}/jobs\",method=\"POST\",code=\"202\"}",
                1.0,
            ),
            (
                "raincheck_http_requests_total{route=\"none\",method=\"GET\",code=\"404\"}",
                1.0,
            ),
            (
                "raincheck_http_requests_total{route=\"/v1/jobs\",method=\"other\",code=\"405\"}",
                1.0,
            ),
            (
                "raincheck_http_request_seconds_count{route=\"/v1/jobs/{id}\",method=\"GET\"}",
                3.0,
            ),
        ],
    );
    assert!(
        samples
            .keys()
            .all(|name| !name.contains("secret") && !name.contains(&id))
    );
}

#[tokio::test]
async fn whoever_waits_and_whoever_works_is_counted() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    let waits = server.get(&format!("/v1/jobs/{id}?wait=60"));
    let waiting = waits.send();
    tokio::pin!(waiting);
    let held = "raincheck_http_waiters{kind=\"long-poll\"}";
    tokio::select! {
        _ = &mut waiting => panic!("nobody has worked it"),
        samples = until(&server, held, 1.0) => {
            shown(&samples, &[("raincheck_http_waiters{kind=\"stream\"}", 0.0)]);
        }
    }
    let claim = server
        .post("/v1/queues/thumbs/claim")
        .json(&json!({"worker": "w1"}).to_string());
    assert_eq!(claim.send().await.status, 200);
    let samples = look(&server).await;
    shown(
        &samples,
        &[
            ("raincheck_workers{queue=\"thumbs\",kind=\"pull\"}", 1.0),
            ("raincheck_jobs{queue=\"thumbs\",state=\"running\"}", 1.0),
        ],
    );
}

#[tokio::test]
async fn pushes_and_webhooks_are_counted_by_what_came_of_them() {
    let mut endpoint = Endpoint::start().await;
    let server = Server::start().await;
    let spec = json!({"worker": {"push": [format!("http://{}/", endpoint.addr)]}, "concurrency": 3});
    let put = server
        .ask("PUT", "/v1/queues/pushed")
        .json(&spec.to_string())
        .send()
        .await;
    assert_eq!(put.status, 200, "{put:?}");
    let ask = server.post("/v1/queues/pushed/jobs");
    let hook = format!("\"http://{}/hook\"", endpoint.addr);
    ask.header("raincheck-callback", &hook).body("x").send().await;
    let push = endpoint.next().await;
    shown(
        &look(&server).await,
        &[
            (
                "raincheck_worker_slots{queue=\"pushed\",kind=\"push\",state=\"busy\"}",
                1.0,
            ),
            (
                "raincheck_worker_slots{queue=\"pushed\",kind=\"push\",state=\"free\"}",
                2.0,
            ),
        ],
    );
    push.answer(StatusCode::OK.into_response());
    endpoint.next().await.answer(StatusCode::GONE.into_response());
    let samples = until(
        &server,
        "raincheck_webhook_deliveries_total{result=\"gone\"}",
        1.0,
    )
    .await;
    shown(
        &samples,
        &[
            (
                "raincheck_push_requests_total{queue=\"pushed\",code=\"200\"}",
                1.0,
            ),
            ("raincheck_push_request_seconds_count{queue=\"pushed\"}", 1.0),
        ],
    );
}

#[tokio::test]
async fn what_is_held_back_is_told_by_what_and_how_long_the_oldest_waits() {
    let clock = Arc::new(ManualClock::default());
    let setup = Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    };
    let (server, mut endpoint) = (Server::with(setup).await, Endpoint::start().await);
    let limits = json!({"rate": "1/h", "group_defaults": {"concurrency": 1}}).to_string();
    server.ask("PUT", "/v1/queues/thumbs").json(&limits).send().await;
    let hook = format!("\"http://{}/hook\"", endpoint.addr);
    for callback in [Some(&hook), None] {
        let mut ask = server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-group", "a");
        if let Some(hook) = callback {
            ask = ask.header("raincheck-callback", hook);
        }
        assert_eq!(ask.body("x").send().await.status, 202);
    }
    server.submit("alone").await;
    let claimed = server.claim("thumbs").await.unwrap();
    assert!(server.claim("thumbs").await.is_none());
    clock.advance(Duration::from_secs(90));
    server.settle(&claimed, success("x")).await;
    let webhook = endpoint.next().await;
    endpoint.works(&server).await;
    for _ in 0..9 {
        let post = server.post("/v1/queues/pushed/jobs");
        assert_eq!(post.body("x").send().await.status, 202);
    }
    for _ in 0..8 {
        endpoint
            .next()
            .await
            .answer(StatusCode::BAD_GATEWAY.into_response());
    }
    let circuit = "raincheck_push_circuit_open{queue=\"pushed\"}";
    let waits =
        |queue, limit| format!("raincheck_queue_limit_waits_total{{queue=\"{queue}\",limit=\"{limit}\"}}");
    let samples = until(&server, circuit, 1.0).await;
    shown(
        &samples,
        &[
            ("raincheck_queue_oldest_job_age_seconds{queue=\"thumbs\"}", 90.0),
            ("raincheck_queue_oldest_job_age_seconds{queue=\"pushed\"}", 0.0),
            ("raincheck_webhook_pending", 1.0),
            (&waits("thumbs", "rate"), 1.0),
            (&waits("thumbs", "group_concurrency"), 1.0),
        ],
    );
    assert!(samples[&waits("pushed", "host_concurrency")] >= 1.0);
    webhook.answer(StatusCode::OK.into_response());
    until(&server, "raincheck_webhook_pending", 0.0).await;
}

#[tokio::test]
async fn names_kinds_and_help_are_those_that_dashboards_know() {
    let server = Server::start().await;
    server.finished(success("x")).await;
    let text = server.get("/metrics").send().await.text().to_owned();
    let described: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("# HELP") || line.starts_with("# TYPE"))
        .collect();
    insta::assert_snapshot!(described.join("\n"));
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word)
        .filter(|word| word.starts_with("raincheck_") || word.starts_with("process_"))
        .collect()
}

/// The names of a look's samples, after each thing that is counted has happened.
async fn all_names() -> BTreeSet<String> {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    endpoint.works(&server).await;
    let ask = server.post("/v1/queues/pushed/jobs");
    let hook = format!("\"http://{}/hook\"", endpoint.addr);
    ask.header("raincheck-callback", &hook).body("x").send().await;
    for _ in 0..2 {
        endpoint.next().await.answer(StatusCode::OK.into_response());
    }
    until(
        &server,
        "raincheck_webhook_deliveries_total{result=\"taken\"}",
        1.0,
    )
    .await;
    let fetch = format!("{{\"urls\":[\"http://{}/\"]}}", endpoint.addr);
    assert_eq!(server.post("/v1/fetch").json(&fetch).send().await.status, 202);
    endpoint.next().await.answer(StatusCode::OK.into_response());
    until(&server, "raincheck_fetch_requests_total{code=\"200\"}", 1.0).await;
    let limited = server.ask("PUT", "/v1/queues/thumbs").json(r#"{"rate": "1/h"}"#);
    assert_eq!(limited.send().await.status, 200);
    server.submit("x").await;
    server.submit("x").await;
    for status in [200, 204] {
        let claim = server.post("/v1/queues/thumbs/claim").json(r#"{"worker": "w1"}"#);
        assert_eq!(claim.send().await.status, status);
    }
    let samples = look(&server).await;
    let names = samples.keys().filter_map(|name| name.split('{').next());
    let mut names: BTreeSet<String> = names.map(str::to_owned).collect();
    // What only a proxy has.
    let proxy = crate::proxy::Proxied::start(server.addr, &["/**=UP;mode=never"]).await;
    assert_eq!(proxy.ask("GET", "/healthz").send().await.status, 200);
    let shown = proxy.ask("GET", "/_raincheck/metrics").send().await;
    let counted = r#"raincheck_proxy_requests_total{route="/**",mode="pass",code="200"} 1"#;
    assert!(shown.text().contains(counted), "{}", shown.text());
    names.insert("raincheck_proxy_requests_total".to_owned());
    // What only an application has: its own test counts it.
    names.insert("raincheck_respond_async_requests_total".to_owned());
    names
}

#[tokio::test]
async fn documentation_dashboard_and_rules_know_what_there_is() {
    let there = all_names().await;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |path| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    for path in ["deploy/grafana/raincheck.json", "deploy/prometheus/alerts.yml"] {
        let text = read(path);
        let wanted = named(&text);
        assert!(wanted.len() > 5, "{path} names {wanted:?}");
        for name in wanted {
            assert!(there.contains(name), "{path} asks for {name}: {there:#?}");
        }
    }
    let page = read("docs/metrics.md");
    let documented = named(&page);
    // A histogram is documented by what its three are called after.
    let stem = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter()
            .find_map(|end| name.strip_suffix(end).map(str::to_owned))
            .unwrap_or_else(|| name.to_owned())
    };
    let stems: BTreeSet<String> = there.iter().map(|name| stem(name)).collect();
    let documented: BTreeSet<String> = documented.into_iter().map(str::to_owned).collect();
    assert_eq!(stems, documented, "docs/metrics.md");
}

#[tokio::test]
async fn the_look_is_a_document_that_nobody_may_keep() {
    let server = Server::start().await;
    let answer = server.get("/metrics").send().await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(server.get("/metrics?x=1").send().await.code(), "bad-request");
}

#[tokio::test]
async fn a_store_that_has_closed_hides_only_its_own_numbers() {
    let server = Server::start().await;
    server.store().close().await.unwrap();
    let samples = tokio::time::timeout(Duration::from_secs(20), look(&server))
        .await
        .unwrap();
    assert!(samples.contains_key("process_resident_memory_bytes"));
    assert!(!samples.keys().any(|name| name.starts_with("raincheck_jobs{")));
}
