//! What holds on every path that the OpenAPI document lists, so that no route can forget it.

use serde_json::Value;

use crate::documents::every_path;
use crate::harness::{Server, success};
use raincheck::api::openapi_json;

/// Whether the path answers with a stream.
pub(crate) fn streams(path: &str) -> bool {
    path.ends_with("/events") || path.ends_with("/results")
}

#[tokio::test]
async fn wherever_there_is_get_there_is_head_and_it_says_the_same() {
    let server = Server::start().await;
    for (path, methods) in every_path(&server).await {
        if !methods.iter().any(|method| method == "GET") {
            continue;
        }
        let head = server.ask("HEAD", &path).send().await;
        assert_eq!(
            (head.status, head.text()),
            (200 + u16::from(path.ends_with("/result")) * 2, ""),
            "{path}"
        );
        if streams(&path) {
            // What a stream sends is held by the tests of events.
            assert_eq!(
                head.header("content-length"),
                None,
                "nobody knows how long a stream is"
            );
            let kind = if path.ends_with("/events") {
                "text/event-stream"
            } else {
                "application/x-ndjson"
            };
            assert_eq!(head.header("content-type"), Some(kind));
            continue;
        }
        let get = server.get(&path).send().await;
        let told = |headers: &[(String, String)]| {
            let mut told = headers.to_vec();
            // These differ from answer to answer.
            told.retain(|(name, _)| !["date", "x-request-id"].contains(&&**name));
            // Every look at the numbers changes them.
            told.retain(|(name, _)| path != "/metrics" || name != "content-length");
            told.sort();
            told
        };
        assert_eq!(
            (head.status, told(&head.headers)),
            (get.status, told(&get.headers)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_refused_and_those_it_takes_are_listed() {
    let server = Server::start().await;
    for (path, methods) in every_path(&server).await {
        let mut there: Vec<&str> = methods.iter().map(String::as_str).collect();
        if there.contains(&"GET") {
            there.push("HEAD");
        }
        there.sort_unstable();
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
        ] {
            if there.contains(&method) {
                continue;
            }
            let answer = server.ask(method, &path).send().await;
            let allow = answer
                .header("allow")
                .unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
            let mut allow: Vec<&str> = allow.split(',').collect();
            allow.sort_unstable();
            assert_eq!((answer.status, allow), (405, there.clone()), "{method} {path}");
            if method != "HEAD" {
                assert_eq!(answer.code(), "method-not-allowed");
            }
        }
    }
}

#[tokio::test]
async fn nothing_below_v1_may_be_kept_by_anybody_but_results_by_their_reader() {
    let server = Server::start().await;
    let done = server.finished(success("r")).await;
    for (path, methods) in every_path(&server).await {
        for method in methods.iter().filter(|_| path.starts_with("/v1/")) {
            let method = if streams(&path) { "HEAD" } else { method };
            let answer = server.ask(method, &path).send().await;
            assert_eq!(
                answer.header("cache-control"),
                Some("no-store"),
                "{method} {path}: {answer:?}"
            );
        }
    }
    let result = server.get(&format!("/v1/jobs/{done}/result")).send().await;
    assert_eq!(result.header("cache-control"), Some("private, no-cache"));
    let none = server.get("/v1/nothing").send().await;
    assert_eq!(
        (none.status, none.header("cache-control")),
        (404, Some("no-store"))
    );
}

#[tokio::test]
async fn an_option_that_does_not_exist_is_refused_on_every_path_and_named() {
    let server = Server::start().await;
    for (path, methods) in every_path(&server).await {
        for method in methods.iter().filter(|_| path.starts_with("/v1/")) {
            let header = server.ask(method, &path).header("raincheck-nothing", "other");
            let query = server.ask(method, &format!("{path}?nope=1"));
            for (ask, name) in [(header, "Raincheck-Nothing"), (query, "nope")] {
                let answer = ask.send().await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (400, "bad-request"),
                    "{method} {path}"
                );
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(name), "{method} {path}: {detail}");
            }
        }
    }
    // Those that exist elsewhere do no harm: whoever sends one along with all requests is not refused.
    let answer = server.get("/v1/jobs").header("raincheck-group", "a").send().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn no_path_answers_a_foreign_host_or_another_sites_page() {
    let server = Server::start().await;
    let own = server.addr.to_string();
    for (path, methods) in every_path(&server).await {
        for method in &methods {
            let host = crate::client::Ask::to_host(server.addr, "rebound.example", method, &path);
            let origin = server
                .ask(method, &path)
                .header("origin", "https://rebound.example");
            let site = server.ask(method, &path).header("sec-fetch-site", "cross-site");
            for ask in [host, origin, site] {
                let answer = ask.send().await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (403, "forbidden"),
                    "{method} {path}"
                );
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
    }
    let page = server.get("/v1/jobs").header("origin", &format!("http://{own}"));
    assert_eq!(page.send().await.status, 200, "a page of this server may");
}

#[tokio::test]
async fn where_json_is_taken_other_types_and_codings_are_refused() {
    let server = Server::start().await;
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let mut tried = 0;
    let items = document["paths"].as_object().unwrap().values();
    for (item, (path, methods)) in items.zip(every_path(&server).await) {
        for method in methods {
            let taken = item[method.to_lowercase()]["requestBody"]["content"].as_object();
            if !taken
                .is_some_and(|taken| taken.contains_key("application/json") && !taken.contains_key("*/*"))
            {
                continue;
            }
            tried += 1;
            let ask = || server.ask(&method, &path);
            let coded = ask().header("content-encoding", "gzip").json("{}").send().await;
            let other = match taken.is_some_and(|taken| taken.contains_key("text/plain")) {
                true => "text/html",
                false => "text/plain",
            };
            let other = ask().header("content-type", other).body("{}").send().await;
            let form = ask()
                .header("content-type", "application/x-www-form-urlencoded")
                .body("{}");
            for answer in [coded, other, form.send().await] {
                let refused = (answer.status, answer.code());
                assert_eq!(
                    refused,
                    (415, "unsupported-media-type".to_owned()),
                    "{method} {path}"
                );
            }
        }
    }
    assert!(tried > 8, "{tried}");
}
