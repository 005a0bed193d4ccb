//! Health, problem pages and the OpenAPI document.

use crate::harness::Server;
use crate::keys::Locked;
use raincheck::api::code::Code;
use raincheck::api::openapi_json;
use serde_json::{Value, json};

#[tokio::test]
async fn health_tells_whether_the_process_lives_and_readiness_whether_it_takes_work() {
    let server = Server::start().await;
    insta::assert_snapshot!("healthz", server.get("/healthz").send().await.shown());
    insta::assert_snapshot!("ready", server.get("/readyz").send().await.shown());
    server.node.drain().await;
    insta::assert_snapshot!("draining", server.get("/readyz").send().await.shown());
    assert_eq!(server.get("/healthz").send().await.status, 200);
    server.store().close().await.unwrap();
    let closed = server.get("/readyz").send().await;
    assert_eq!(
        (closed.status, &closed.json()["checks"]["store"]),
        (503, &"failed".into())
    );
}

#[tokio::test]
async fn readiness_counts_damaged_jobs_and_names_them_to_who_may_see_all() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    assert!(server.get("/readyz").send().await.json()["damaged"].is_null());
    let vitals = server.store().vitals().expect("this store counts");
    vitals.set_aside(id.parse().unwrap());
    let (counted, named) = (json!({"count": 1}), json!({"count": 1, "jobs": [id]}));
    let open = server.get("/readyz").send().await;
    assert_eq!(
        (open.status, &open.json()["damaged"]),
        (200, &named),
        "the others go on"
    );
    let locked = Locked::lock(server).await;
    let reader = locked.with_scopes(&["read"]).await;
    for (ask, expected) in [
        (locked.server.get("/readyz"), &counted),
        (locked.by(&reader, "GET", "/readyz"), &counted),
        (locked.root("GET", "/readyz"), &named),
    ] {
        assert_eq!(&ask.send().await.json()["damaged"], expected);
    }
    let metrics = locked.root("GET", "/metrics").send().await;
    let metrics = metrics.text();
    assert!(
        metrics.contains("\nraincheck_store_damaged_jobs 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_closed_store_is_a_503_and_nothing_is_stored() {
    let server = Server::start().await;
    let id = server.submit("x").await;
    server.store().close().await.unwrap();
    for answer in [
        server.post("/v1/queues/thumbs/jobs").body("x").send().await,
        server.get(&format!("/v1/jobs/{id}")).send().await,
        server.get("/v1/queues").send().await,
        server.post(&format!("/v1/jobs/{id}/cancel")).send().await,
    ] {
        assert_eq!((answer.status, answer.outcome()), (503, None), "{answer:?}");
        assert!(answer.header("retry-after").is_some());
        answer.code();
    }
}

#[tokio::test]
async fn every_code_has_a_page_for_programs_and_for_browsers() {
    let server = Server::start().await;
    for code in Code::ALL {
        let path = format!("/problems/{}", code.as_str());
        let text = server.get(&path).send().await;
        assert_eq!(
            (text.status, text.header("content-type")),
            (200, Some("text/markdown; charset=utf-8")),
            "{path}"
        );
        assert!(text.text().starts_with(&format!("# {}\n", code.as_str())));
        let accept = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
        let html = server.get(&path).header("accept", accept).send().await;
        assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(html.text().contains("<h1>"));
    }
    let list = server.get("/problems").send().await;
    assert_eq!(
        list.text().lines().filter(|line| line.starts_with("- [")).count(),
        Code::ALL.len()
    );
    insta::assert_snapshot!("no_such_page", server.get("/problems/nope").send().await.shown());
}

#[tokio::test]
async fn the_reference_is_there_for_programs_and_for_browsers() {
    let server = Server::start().await;
    let text = server.get("/docs").send().await;
    let kind = text.header("content-type");
    assert_eq!((text.status, kind), (200, Some("text/markdown; charset=utf-8")));
    assert!(text.text().contains("\n### POST /v1/queues/{queue}/jobs\n"));
    let html = server.get("/docs").header("accept", "text/html").send().await;
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    let shown = html.text();
    assert!(shown.contains("<h3 id=\"post-v1-queues-queue-jobs\">POST /v1/queues/{queue}/jobs</h3>"));
    assert!(shown.contains("<a href=\"#post-v1-queues-queue-jobs\">"));
    // Nothing that the page would have to load, and nothing that could run.
    let policy = html.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src"), "{policy}");
    assert!(!shown.contains("<script") && !shown.contains("src="));
}

#[tokio::test]
async fn the_openapi_document_is_served_as_it_is_committed() {
    let server = Server::start().await;
    let served = server.get("/openapi.json").send().await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    let committed = include_str!("../../../../openapi.json");
    assert!(
        committed == openapi_json(),
        "openapi.json is not what the code says: run cargo xtask openapi and read the difference"
    );
    assert_eq!(served.text(), committed);
}

#[test]
fn every_reference_in_the_openapi_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.push(target.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 30);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

/// Every path of the document with something in its braces that is there, and its methods.
pub(crate) async fn every_path(server: &Server) -> Vec<(String, Vec<String>)> {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let id = server.submit("x").await;
    // One more, so that the queue cannot be deleted.
    server.submit("y").await;
    let lease = server
        .claim("thumbs")
        .await
        .unwrap()
        .job
        .lease_id()
        .unwrap()
        .to_string();
    let callback = "\"http://127.0.0.1:1/\"";
    let told = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-callback", callback);
    let told = told.body("x").send().await.job();
    server.post(&format!("/v1/jobs/{told}/cancel")).send().await;
    let delivery = format!("msg_{}j", told.strip_prefix("job_").unwrap());
    // Nothing may change between two looks: the one try that is made has ended.
    while server.get("/v1/deliveries").send().await.json()["deliveries"][0]["last"].is_null() {
        tokio::task::yield_now().await;
    }
    let batch = crate::batches::batch(server, 1).await;
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, item)| {
            let concrete = path
                .replace("{delivery}", &delivery)
                .replace("{queue}", "thumbs")
                .replace("{id}", if path.contains("/batches/") { &batch } else { &id })
                .replace("{lease}", &lease)
                // A server that had one would ask for it.
                .replace("{key}", "Zk3v9QxT")
                .replace("{code}", "draining");
            let methods = item.as_object().unwrap().keys();
            (concrete, methods.map(|method| method.to_uppercase()).collect())
        })
        .collect()
}

#[tokio::test]
async fn every_path_of_the_openapi_document_is_there() {
    let server = Server::start().await;
    for (path, methods) in every_path(&server).await {
        for method in methods {
            // A stream does not end.
            let method = if crate::sweep::streams(&path) {
                "HEAD"
            } else {
                &method
            };
            let answer = server.ask(method, &path).send().await;
            if path.starts_with("/v1/keys/") {
                assert_eq!(answer.code(), "unknown-key");
                continue;
            }
            assert!(
                answer.status != 404 && answer.status != 405,
                "{method} {path}: {answer:?}"
            );
            assert!(
                answer.status < 500 || path == "/readyz",
                "{method} {path}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_example_of_the_reference_works_when_it_is_typed() {
    let server = Server::start().await;
    let paths = every_path(&server).await;
    let real = |prefix: &str| {
        let segments = paths.iter().flat_map(|(path, _)| path.split('/'));
        let mut found = segments.filter(|segment| segment.starts_with(prefix));
        found.next().expect("every path is there").to_owned()
    };
    let page = server.get("/docs").send().await.text().to_owned();
    let examples = page.lines().filter(|line| line.starts_with("curl "));
    let mut typed = 0;
    // Those that forget a job or a queue leave nothing for those after them.
    let (last, first): (Vec<_>, Vec<_>) = examples.partition(|line| line.contains("-X DELETE"));
    for example in first.into_iter().chain(last) {
        let mut line = example.replace("localhost:7246", &server.addr.to_string());
        for prefix in ["job_", "batch_", "l_", "msg_"] {
            line = line.replace(&format!("{prefix}…"), &real(prefix));
        }
        // A stream does not end, and nobody finishes the jobs that are waited for.
        let line = line.replace("wait=30", "wait=0").replace("wait=5", "wait=0");
        let mut words = shlex::split(&line).expect("a shell could read it");
        let line = line.replacen("curl ", "", 1);
        words.remove(0);
        let limit = if words.contains(&"-N".to_owned()) {
            "1"
        } else {
            "20"
        };
        let asked = tokio::process::Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", limit])
            .args(words)
            .output();
        let status = asked.await.expect("curl is there").stdout;
        let status = String::from_utf8(status).unwrap();
        let no_key = status == "404" && line.contains("/v1/keys/");
        let fits = status.starts_with('2')
            || no_key
            || status == "409"
            || (status == "503" && line.contains("readyz"));
        assert!(fits, "{status}: {line}");
        typed += 1;
    }
    assert_eq!(
        typed,
        paths.iter().map(|(_, methods)| methods.len()).sum::<usize>()
    );
}
