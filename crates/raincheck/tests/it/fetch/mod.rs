//! Fetching over real sockets: bounds, redirects, retries, refusals, and what is told of each answer.

mod pages;

use std::time::Duration;

use raincheck::NodeOptions;
use raincheck::outward::target::Targets;
use serde_json::{Value, json};

use self::pages::{Pages, torn};
use crate::client::Answer;
use crate::events::stream::Stream;
use crate::harness::{Server, Setup};

async fn fetch(server: &Server, body: &Value) -> Answer {
    server.post("/v1/fetch").json(&body.to_string()).send().await
}

/// Fetches these to the end; their results by index.
async fn fetched(server: &Server, body: &Value) -> Vec<Value> {
    let answer = fetch(server, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = answer.header("location").unwrap().to_owned();
    results(server, &path).await
}

async fn results(server: &Server, path: &str) -> Vec<Value> {
    let mut stream = Stream::open(server.addr, &format!("{path}/results")).await;
    let mut results: Vec<Value> = Vec::new();
    while let Some(line) = stream.next_line().await {
        results.push(serde_json::from_str(&line).unwrap());
    }
    results.sort_by_key(|result| result["index"].as_u64());
    results
}

fn urls(pages: &Pages, path: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| pages.url(&format!("/{path}/{n}"))).collect()
}

#[tokio::test]
async fn pages_are_fetched_and_told_of() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let body = json!({"urls": [pages.url("/a#part"), pages.url("/json"), pages.url("/gone"), pages.url("/large?100000"),
                               {"url": pages.url("/a"), "method": "HEAD"}]});
    let answer = fetch(&server, &body).await;
    let batch = answer.json();
    assert_eq!(
        (answer.status, &batch["total"], &batch["sealed"]),
        (202, &json!(5), &json!(true))
    );
    let results = results(&server, answer.header("location").unwrap()).await;
    assert_eq!(results.len(), 5);
    let told = &results[0]["fetched"];
    assert_eq!(
        (
            &results[0]["text"],
            &results[0]["status"],
            &told["url"],
            &told["bytes"],
            &told["attempts"]
        ),
        (
            &json!("/a"),
            &json!(200),
            &json!(pages.url("/a")),
            &json!(2),
            &json!(1)
        )
    );
    assert_eq!(results[1]["json"], json!({"a": 1}));
    assert_eq!(
        (&results[2]["outcome"], &results[2]["status"], &results[2]["text"]),
        (&json!("succeeded"), &json!(404), &json!("no such page")),
        "an answer is an answer"
    );
    assert_eq!(pages.asked("/gone"), 1);
    assert!(results[3]["url"].as_str().unwrap().ends_with("/result"));
    assert_eq!(results[4]["text"], "");
    let queue = server.get("/v1/queues/fetch").send().await.json();
    assert_eq!(
        (&queue["worker"], &queue["group_defaults"]["concurrency"]),
        (&json!("fetch"), &json!(4))
    );
}

#[tokio::test]
async fn lines_of_text_or_json_are_fetched_as_they_come() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let text = format!("# a list\n\n{}\n  {} \n", pages.url("/1"), pages.url("/2"));
    let lines = format!(
        "{:?}\n{{\"url\":{:?}}}\nnonsense\n",
        pages.url("/1"),
        pages.url("/2")
    );
    for (kind, body, rejected) in [("text/plain", text, 0), ("application/x-ndjson", lines, 1)] {
        let ask = server
            .post("/v1/fetch?max_attempts=2&per_host=2")
            .header("content-type", kind);
        let answer = ask.body(body).send().await;
        let batch = answer.json();
        assert_eq!(
            (answer.status, &batch["rejected"]),
            (202, &json!(rejected)),
            "{batch}"
        );
        let results = results(&server, answer.header("location").unwrap()).await;
        let texts: Vec<_> = results.iter().map(|result| &result["text"]).collect();
        assert_eq!(texts, ["/1", "/2"]);
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_stored() {
    let server = Server::start().await;
    server.post("/v1/queues/thumbs/jobs").body("x").send().await;
    for (body, says) in [
        (json!({"urls": ["http://127.0.0.1:1/", "ftp://a/"]}), "/urls/1"),
        (json!({"urls": ["http://10.0.0.1/"]}), "not a public address"),
        (json!({"urls": ["http://a/"], "group": "x"}), "no such term"),
        (json!({"urls": ["http://a/"], "concurrency": 0}), "concurrency"),
        (
            json!({"urls": [{"url": "http://a/", "headers": {"host": "b"}}]}),
            "belongs to the connection",
        ),
        (
            json!({"urls": ["http://a/"], "queue": "thumbs"}),
            "its worker is pull",
        ),
        (
            json!({"urls": ["http://a/"], "queue": "x", "rate": "1/s"}),
            "the limits are the queue's",
        ),
        (json!({"per_host": 3}), "urls"),
    ] {
        let answer = fetch(&server, &body).await;
        assert_eq!(
            (answer.status, answer.text().contains(says)),
            (400, true),
            "{body} {answer:?}"
        );
    }
    let unknown = fetch(&server, &json!({"urls": ["http://a/"], "queue": "x"})).await;
    assert_eq!(unknown.status, 404);
    let batch = "batch_01jd8zq3k5e7rv2m4n6p8s0t1w";
    let unknown = fetch(&server, &json!({"urls": ["http://a/"], "since": batch})).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn no_more_go_to_a_host_at_once_than_may_also_by_redirects() {
    let (server, pages, other) = (Server::start().await, Pages::start().await, Pages::start().await);
    pages.gate.add_permits(1_000);
    other.gate.add_permits(1_000);
    let mut all = urls(&pages, "held", 60);
    // These are asked elsewhere first.
    all.extend((0..60).map(|n| other.url(&format!("/to/{n}?{}", pages.url(&format!("/held/x{n}"))))));
    let results = fetched(&server, &json!({"urls": all, "per_host": 3, "concurrency": 40})).await;
    assert_eq!(results.len(), 120);
    assert!(
        results.iter().all(|result| result["outcome"] == "succeeded"),
        "{results:?}"
    );
    assert!(pages.most() <= 3, "{} at once", pages.most());
    assert!(other.most() <= 3, "{} at once", other.most());
    assert_eq!(results[60]["fetched"]["final_url"], pages.url("/held/x0"));
}

#[tokio::test]
async fn more_go_to_a_host_as_soon_as_more_may() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let per_host = async |most: u32| {
        let settings = json!({"worker": "fetch", "group_defaults": {"concurrency": most}});
        let put = server.ask("PUT", "/v1/queues/pages").json(&settings.to_string());
        let answer = put.send().await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    };
    let asked_at_once = async |count| {
        let asked = async {
            while pages.now() < count {
                tokio::task::yield_now().await;
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
        assert!(asked.is_ok(), "{} of {count}", pages.now());
    };
    let submit = async |count| {
        for url in urls(&pages, "held", count) {
            let submitted = server.post("/v1/queues/pages/jobs").body(url).send().await;
            assert_eq!(submitted.status, 202, "{submitted:?}");
        }
    };
    // They stand in no group: that they lead to one host only the attempts see.
    per_host(1).await;
    submit(1).await;
    asked_at_once(1).await;
    per_host(3).await;
    submit(2).await;
    asked_at_once(3).await;
    pages.gate.add_permits(3);
}

#[tokio::test]
async fn no_more_are_fetched_at_once_in_all_than_may() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let body = json!({"urls": urls(&pages, "held", 20), "per_host": 100, "concurrency": 5});
    let answer = fetch(&server, &body).await;
    while pages.now() < 5 {
        tokio::task::yield_now().await;
    }
    pages.gate.add_permits(20);
    assert_eq!(
        results(&server, answer.header("location").unwrap()).await.len(),
        20
    );
    assert_eq!(pages.most(), 5);
}

#[tokio::test]
async fn urls_begin_no_faster_than_the_rate() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let body = json!({"urls": urls(&pages, "page", 40), "per_host": 100, "rate": "20/s"});
    assert_eq!(fetched(&server, &body).await.len(), 40);
    // A second's worth at once, and twenty more in a second; the first request may have been that late at the pages' door.
    assert!(pages.took() >= Duration::from_millis(500), "{:?}", pages.took());
}

#[tokio::test]
async fn retry_after_holds_back_all_that_goes_to_the_host() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let mut all = vec![pages.url("/busy")];
    all.extend(urls(&pages, "page", 10));
    let body = json!({"urls": all, "per_host": 1, "backoff": "constant;base=1ms"});
    let results = fetched(&server, &body).await;
    assert!(
        results.iter().all(|result| result["status"] == 200),
        "{results:?}"
    );
    assert_eq!(results[0]["fetched"]["attempts"], 2);
    assert_eq!(results[5]["fetched"]["attempts"], 1, "waiting is no attempt");
    assert!(pages.took() >= Duration::from_secs(1), "{:?}", pages.took());
    assert_eq!(pages.all(), 12);
}

#[tokio::test]
async fn a_host_that_asks_for_patience_is_passed_over_and_its_jobs_say_so() {
    let (server, pages, other) = (Server::start().await, Pages::start().await, Pages::start().await);
    let mut all = vec![pages.url("/patience")];
    all.extend(urls(&pages, "page", 20));
    let answer = fetch(&server, &json!({"urls": all, "per_host": 1})).await;
    let path = format!("/v1/jobs?batch={}", answer.json()["id"].as_str().unwrap());
    let jobs = async |state: &str| {
        let listed = server.get(&format!("{path}&state={state}")).send().await.json();
        listed["jobs"].as_array().unwrap().clone()
    };
    while jobs("scheduled").await.is_empty() {
        tokio::task::yield_now().await;
    }
    let elsewhere = fetched(&server, &json!({"urls": [other.url("/a")], "per_host": 1})).await;
    assert_eq!(elsewhere[0]["text"], "/a");
    let waiting = jobs("queued").await;
    assert_eq!(waiting.len(), 20);
    for job in &waiting {
        let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        let job = server.get(&path).send().await.json();
        assert_eq!(
            (&job["waiting_for"], &job["version"]),
            (&json!("host_pause"), &json!(1)),
            "none of them is claimed for nothing"
        );
    }
    assert_eq!(pages.all(), 1);
}

#[tokio::test]
async fn redirects_are_followed_within_bounds() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let body = json!({"urls": [pages.url("/permanent/x"), pages.url("/far?3"), pages.url("/far?11"), pages.url("/loop"),
                               pages.url("/to?http://10.1.2.3/"), pages.url("/to?ftp://a/"),
                               {"url": pages.url("/far?1"), "follow": 0}]});
    let results = fetched(&server, &body).await;
    assert_eq!(
        (&results[0]["text"], &results[0]["fetched"]["final_url"]),
        (&json!("/permanent/page"), &json!(pages.url("/permanent/page")))
    );
    assert_eq!(results[1]["text"], "there");
    for (index, says) in [
        (2, "more than 10 redirects"),
        (3, "in a circle"),
        (4, "10.1.2.3 is not a public address"),
        (5, "cannot be asked"),
        (6, "more than 0 redirects"),
    ] {
        let error = results[index]["error"]["detail"].as_str().unwrap();
        assert!(error.contains(says), "{error}");
        assert_eq!(results[index]["outcome"], "failed");
    }
    assert_eq!(pages.asked("/loop"), 1, "a circle is no reason to try again");
}

#[tokio::test]
async fn what_fails_for_now_is_tried_again_and_its_last_answer_kept() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let (once, _tasks) = torn(1).await;
    let body = json!({"urls": [pages.url("/once"), pages.url("/broken"), format!("http://{once}/")],
                      "max_attempts": 2, "backoff": "constant;base=1ms"});
    let results = fetched(&server, &body).await;
    assert_eq!(
        (&results[0]["outcome"], &results[0]["text"]),
        (&json!("succeeded"), &json!("/once"))
    );
    assert_eq!(
        (
            &results[1]["outcome"],
            &results[1]["status"],
            &results[1]["text"],
            &results[1]["error"]["code"]
        ),
        (
            &json!("failed"),
            &json!(500),
            &json!("sorry"),
            &json!("handler-failed")
        )
    );
    assert_eq!((pages.asked("/broken"), pages.asked("/once")), (2, 2));
    assert_eq!(
        (
            &results[2]["outcome"],
            &results[2]["fetched"]["attempts"],
            &results[2]["fetched"]["bytes"]
        ),
        (&json!("succeeded"), &json!(2), &json!(10)),
        "an answer that broke off is none"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_fails_for_good() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let body = json!({"urls": [pages.url("/large?1024"), pages.url("/large/x?1025")], "max_body": "1KiB"});
    let results = fetched(&server, &body).await;
    assert_eq!(results[0]["outcome"], "succeeded");
    assert_eq!(results[1]["error"]["code"], "result-too-large");
    assert_eq!(pages.asked("/large/x"), 1);
}

#[tokio::test]
async fn what_has_not_changed_is_taken_over_from_an_earlier_batch() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let all = json!([pages.url("/tagged"), pages.url("/page")]);
    let first = fetch(&server, &json!({"urls": all})).await;
    let path = first.header("location").unwrap().to_owned();
    let before = results(&server, &path).await;
    let since = first.json()["id"].clone();
    let mut again = since;
    for _ in 0..2 {
        let answer = fetch(&server, &json!({"urls": all, "since": again})).await;
        let now = results(&server, answer.header("location").unwrap()).await;
        assert_eq!(
            (
                &now[0]["text"],
                &now[0]["status"],
                &now[0]["fetched"]["revalidated"]
            ),
            (&before[0]["text"], &json!(200), &json!(true))
        );
        assert_eq!(
            now[1]["fetched"]["revalidated"],
            Value::Null,
            "it cannot be asked so"
        );
        again = answer.json()["id"].clone();
    }
    assert_eq!(before[0]["text"], "version 1");
    assert_eq!((pages.asked("/tagged"), pages.asked("/page")), (3, 3));
}

#[tokio::test]
async fn what_is_sent_is_plain_and_credentials_stay_with_their_host() {
    let (server, pages, other) = (Server::start().await, Pages::start().await, Pages::start().await);
    let headers = json!({"authorization": "Bearer x", "x-a": "1"});
    let body = json!({"urls": [{"url": pages.url("/echo"), "headers": headers},
                               {"url": other.url(&format!("/to?{}", pages.url("/echo/2"))), "headers": headers}]});
    let results = fetched(&server, &body).await;
    let agent = concat!("user-agent: raincheck/", env!("CARGO_PKG_VERSION"));
    let said = |auth: &str| format!("authorization: {auth}\naccept-encoding: identity\nx-a: 1\n{agent}\n");
    assert_eq!(results[0]["text"], said("Bearer x"));
    assert_eq!(results[1]["text"], said(""));
}

#[tokio::test]
async fn an_upload_is_repeated_under_its_key() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let body = json!({"urls": urls(&pages, "page", 3)}).to_string();
    let send = || {
        server
            .post("/v1/fetch")
            .header("idempotency-key", "\"k\"")
            .json(&body)
            .send()
    };
    let (first, second) = (send().await, send().await);
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(results(&server, first.header("location").unwrap()).await.len(), 3);
    assert_eq!(pages.all(), 3);
    let others = json!({"urls": urls(&pages, "other", 3)}).to_string();
    let reused = server
        .post("/v1/fetch")
        .header("idempotency-key", "\"k\"")
        .json(&others);
    let reused = reused.send().await;
    assert_eq!((reused.status, pages.all()), (422, 3), "{reused:?}");
}

#[tokio::test]
async fn a_server_that_others_reach_fetches_nothing_from_its_own_machine() {
    let node = NodeOptions {
        targets: Targets {
            loopback: false,
            allowed: Vec::new(),
        }
        .into(),
        ..NodeOptions::default()
    };
    let server = Server::with(Setup {
        node,
        ..Setup::default()
    })
    .await;
    let pages = Pages::start().await;
    let answer = fetch(&server, &json!({"urls": [pages.url("/")]})).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    // A name says nothing before it is resolved.
    let url = format!("http://localhost:{}/", pages.addr.port());
    let results = fetched(&server, &json!({"urls": [url]})).await;
    let detail = results[0]["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("not a public address"), "{detail}");
    assert_eq!(pages.all(), 0);
}

#[tokio::test]
async fn a_queue_may_be_made_for_fetching_and_its_jobs_submitted_one_by_one() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let put = server
        .ask("PUT", "/v1/queues/pages")
        .json(r#"{"worker":"fetch","concurrency":2}"#)
        .send()
        .await;
    assert_eq!((put.status, &put.json()["worker"]), (200, &json!("fetch")));
    let answer = server
        .post("/v1/queues/pages/jobs?wait=20")
        .body(pages.url("/a"))
        .send()
        .await;
    assert_eq!((answer.status, answer.text()), (200, "/a"), "{answer:?}");
    let results = fetched(&server, &json!({"urls": [pages.url("/b")], "queue": "pages"})).await;
    assert_eq!(results[0]["text"], "/b");
}

#[tokio::test]
async fn the_callback_of_a_fetch_is_written_as_that_of_a_job() {
    let (server, pages) = (Server::start().await, Pages::start().await);
    let body = |callback: Value| json!({"urls": [pages.url("/a")], "callback": callback});
    for callback in [json!(pages.url("/told")), json!({"url": pages.url("/told")})] {
        let answer = fetch(&server, &body(callback)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    for (callback, part) in [
        (
            json!({"url": pages.url("/told"), "events": ["failed"]}),
            "leave events out",
        ),
        (json!({"to": "x"}), "takes a URL, as a text or as an object"),
        (json!(["x"]), "takes a text or a whole number"),
    ] {
        let refused = fetch(&server, &body(callback)).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "bad-request"));
        let problem = refused.json();
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/callback");
    }
}

#[tokio::test]
async fn what_is_no_list_of_urls_is_told_what_would_be() {
    let server = Server::start().await;
    let ask = || server.post("/v1/fetch").body("https://a.example/");
    let coded = ask()
        .header("content-type", "text/plain")
        .header("content-encoding", "gzip");
    for ask in [ask().header("content-type", "text/html"), coded] {
        let refused = ask.send().await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (415, "unsupported-media-type")
        );
        for kind in [
            "application/json",
            "application/x-ndjson",
            "text/plain",
            "Content-Encoding",
        ] {
            assert!(refused.text().contains(kind), "{}", refused.text());
        }
    }
}
