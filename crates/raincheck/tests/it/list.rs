//! Listing: which jobs a page holds, how pages follow one another, and what a query may ask.

use std::collections::HashSet;

use raincheck::NodeOptions;
use raincheck::core::clock::Clock as _;
use raincheck::core::queue::QueueSpec;

use crate::client::Answer;
use crate::harness::{Server, Setup, failure, ns, queue, success};

fn ids(page: &Answer) -> Vec<String> {
    assert_eq!(
        (page.status, page.header("cache-control")),
        (200, Some("no-store")),
        "{page:?}"
    );
    let page = page.json();
    let jobs = page["jobs"].as_array().unwrap();
    jobs.iter()
        .map(|job| job["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn list(server: &Server, query: &str) -> Vec<String> {
    ids(&server.get(&format!("/v1/jobs?{query}")).send().await)
}

/// Follows the cursors to the end; `between` runs after each page.
async fn follow(server: &Server, query: &str, mut between: impl AsyncFnMut()) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/v1/jobs?{query}{cursor}")).send().await;
        found.extend(ids(&page));
        let page = page.json();
        if page["cursor"].is_null() {
            return found;
        }
        cursor = format!("&cursor={}", page["cursor"].as_str().unwrap());
        between().await;
    }
}

#[tokio::test]
async fn jobs_are_listed_newest_first_as_their_documents() {
    let server = Server::start().await;
    assert_eq!(
        server.get("/v1/jobs").send().await.json(),
        serde_json::json!({"jobs": [], "cursor": null})
    );
    let first = server.submit("x").await;
    let second = server.submit("x").await;
    let page = server.get("/v1/jobs").send().await;
    assert_eq!(ids(&page), [&*second, &*first]);
    let mut alone = server.get(&format!("/v1/jobs/{first}")).send().await.json();
    let alone = alone.as_object_mut().unwrap();
    assert!(alone.remove("waiting_for").is_some() && alone.remove("position").is_some());
    assert_eq!(page.json()["jobs"][1].as_object().unwrap(), alone);
    let head = server.ask("HEAD", "/v1/jobs").send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), page.header("content-length"));
}

#[tokio::test]
async fn tags_are_shown_and_searched_by() {
    let server = Server::start().await;
    let by_header = server
        .post("/v1/queues/thumbs/jobs")
        .header("raincheck-tag", "eu, big one, eu")
        .send()
        .await
        .job();
    let json = r#"{"queue":"thumbs","tags":["eu","us"]}"#;
    let by_field = server.post("/v1/jobs").json(json).send().await.job();
    server.submit("x").await;
    let shown = server.get(&format!("/v1/jobs/{by_header}")).send().await.json();
    assert_eq!(shown["tags"], serde_json::json!(["eu", "big one"]));
    assert_eq!(list(&server, "tag=eu").await, [&*by_field, &*by_header]);
    assert_eq!(list(&server, "tag=big%20one").await, [&*by_header]);
    assert_eq!(list(&server, "tag=big+one").await, [&*by_header]);
    assert_eq!(list(&server, "tag=us&queue=thumbs").await, [&*by_field]);
    assert!(list(&server, "tag=e").await.is_empty());
    let again = server.work(success("y")).await;
    assert_eq!(again.id.to_string(), by_header);
    let path = format!("/v1/jobs/{by_header}/retry");
    let retried = server.post(&path).send().await.json();
    assert_eq!(retried["tags"], shown["tags"], "a retry keeps the tags");
}

#[tokio::test]
async fn tags_that_cannot_be_are_refused() {
    let server = Server::start().await;
    let many = vec!["t1"; 17].join(",");
    let seventeen: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
    let submit = async |tags: &str| {
        let ask = server
            .post("/v1/queues/thumbs/jobs")
            .header("raincheck-tag", tags);
        ask.send().await.status
    };
    assert_eq!(submit(&many).await, 202, "repetitions count once");
    assert_eq!(submit(&seventeen[..16].join(",")).await, 202);
    assert_eq!(submit(&seventeen.join(",")).await, 400);
    assert_eq!(submit(&"x".repeat(256)).await, 400);
    let json = format!(r#"{{"queue":"thumbs","tags":{}}}"#, serde_json::json!(seventeen));
    let refused = server.post("/v1/jobs").json(&json).send().await;
    assert_eq!((refused.status, &*refused.code()), (400, "bad-request"));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/tags");
}

#[tokio::test]
async fn filters_are_taken_together() {
    let server = Server::with(Setup {
        node: NodeOptions {
            dev: true,
            ..NodeOptions::default()
        },
        ..Setup::default()
    })
    .await;
    let submit = async |name: &str, group: &str, delay: &str| {
        let ask = server.post(&format!("/v1/queues/{name}/jobs"));
        let ask = ask
            .header("raincheck-group", group)
            .header("raincheck-delay", delay);
        ask.send().await.job()
    };
    let failed = server.finished(failure("handler-failed", "no", None)).await;
    let succeeded = server.finished(success("y")).await;
    let a = submit("thumbs", "a", "0s").await;
    let b = submit("thumbs", "München 1", "1h").await;
    let other = submit("other", "a", "0s").await;
    assert_eq!(list(&server, "state=failed").await, [&*failed]);
    assert_eq!(list(&server, "state=succeeded").await, [&*succeeded]);
    assert_eq!(list(&server, "state=queued").await, [&*other, &*a]);
    assert_eq!(list(&server, "state=queued&queue=other").await, [&*other]);
    assert_eq!(list(&server, "state=scheduled").await, [&*b]);
    assert_eq!(list(&server, "group=a").await, [&*other, &*a]);
    assert_eq!(list(&server, "group=M%C3%BCnchen%201").await, [&*b]);
    assert_eq!(list(&server, "group=a&state=scheduled").await, [""; 0]);
    assert_eq!(list(&server, "queue=nowhere").await, [""; 0]);
    server.claim("other").await.unwrap();
    assert_eq!(list(&server, "state=running").await, [&*other]);
}

#[tokio::test]
async fn jobs_are_found_by_when_they_were_submitted() {
    let clock = std::sync::Arc::new(raincheck::core::clock::ManualClock::new(
        "2026-11-21T06:00:00Z".parse().unwrap(),
    ));
    let server = Server::with(Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    })
    .await;
    let early = server.submit("x").await;
    clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(clock.now().to_string(), "2026-11-21T07:00:00.000Z");
    let late = server.submit("x").await;
    for (query, expected) in [
        ("submitted_after=2026-11-21T06:30:00Z", vec![&late]),
        ("submitted_after=2026-11-21T07:30:00%2B01:00", vec![&late]),
        ("submitted_after=2026-11-21T07:30:00+01:00", vec![&late]),
        ("submitted_before=2026-11-21T06:30:00Z", vec![&early]),
        ("submitted_before=@1795242600", vec![&early]),
        (
            "submitted_after=2026-11-21T05:00:00Z&submitted_before=2026-11-21T08:00:00Z",
            vec![&late, &early],
        ),
        ("submitted_after=2026-11-21T07:00:00Z", vec![]),
        ("submitted_before=2026-11-21T06:00:00Z", vec![]),
    ] {
        assert_eq!(
            list(&server, query).await.iter().collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap_or_a_repetition_while_others_submit() {
    let server = Server::start().await;
    let entry = r#"{"queue":"thumbs","tags":["mine"]}"#;
    let mut mine = HashSet::new();
    for _ in 0..450 {
        mine.insert(server.post("/v1/jobs").json(entry).send().await.job());
    }
    for query in ["limit=200&tag=mine", "limit=7&queue=thumbs", "limit=50"] {
        let found = follow(&server, query, async || {
            server.submit("other").await;
        })
        .await;
        assert!(found.is_sorted_by(|a, b| a > b), "newest first, none twice");
        let of_mine: HashSet<_> = found.into_iter().filter(|id| mine.contains(id)).collect();
        assert_eq!(of_mine.len(), 450, "{query}");
    }
    let default = server.get("/v1/jobs").send().await;
    assert_eq!(ids(&default).len(), 50);
}

#[tokio::test]
async fn a_page_goes_on_where_the_one_before_ended_though_its_last_job_is_gone() {
    let server = Server::start().await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(server.finished(success("y")).await);
    }
    let page = server.get("/v1/jobs?limit=2").send().await;
    let cursor = page.json()["cursor"].as_str().unwrap().to_owned();
    let gone = server.ask("DELETE", &format!("/v1/jobs/{}", all[2])).send().await;
    assert_eq!(gone.status, 204);
    let rest = list(&server, &format!("cursor={cursor}")).await;
    assert_eq!(rest, [&*all[1], &*all[0]]);
}

#[tokio::test]
async fn a_query_that_cannot_be_is_refused_and_its_parameter_named() {
    let server = Server::start().await;
    for (query, name) in [
        ("batch=batch_1", "?batch="),
        ("colour=blue", "?colour="),
        ("limit=0", "?limit="),
        ("limit=201", "?limit="),
        ("limit=ten", "?limit="),
        ("state=done", "?state="),
        ("queue=a%2Fb", "?queue="),
        ("tag=", "?tag="),
        ("cursor=garbage", "?cursor="),
        ("cursor=cffffffffffffffff", "?cursor="),
        ("submitted_after=soon", "?submitted_after="),
        ("limit=1&limit=1", "?limit="),
    ] {
        let answer = server.get(&format!("/v1/jobs?{query}")).send().await;
        assert_eq!((answer.status, &*answer.code()), (400, "bad-request"), "{query}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(name), "{query}: {detail}");
    }
}

#[tokio::test]
async fn a_job_of_a_queue_that_is_gone_is_still_listed() {
    let server = Server::start().await;
    let spec = QueueSpec::default();
    let put = server.node.put_queue(&ns(), &queue("brief"), spec, false).await;
    put.unwrap().unwrap();
    let id = server.post("/v1/queues/brief/jobs").send().await.job();
    server.post(&format!("/v1/jobs/{id}/cancel")).send().await;
    assert_eq!(server.ask("DELETE", "/v1/queues/brief").send().await.status, 204);
    assert_eq!(list(&server, "state=cancelled").await, [&*id]);
}
