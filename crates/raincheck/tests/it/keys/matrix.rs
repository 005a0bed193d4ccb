//! Every operation of the OpenAPI document, asked without a key, with the wrong scope, for the wrong queue, and from
//! another namespace.

use serde_json::{Value, json};

use super::{Locked, unauthenticated};
use crate::client::{Answer, Ask};
use crate::documents::every_path;
use crate::harness::Server;
use raincheck::api::openapi_json;

/// An operation that needs a key, with something in its braces that is there.
struct Operation {
    method: String,
    template: String,
    path: String,
    scope: String,
}

impl Operation {
    /// How it is asked: with a body that the route would take.
    fn ask(&self, locked: &Locked, key: Option<&str>, path: &str) -> Ask {
        // A stream does not end.
        let method = if crate::sweep::streams(path) {
            "HEAD"
        } else {
            &self.method
        };
        let ask = match key {
            Some(key) => locked.by(key, method, path),
            None => locked.server.ask(method, path),
        };
        let body = match (self.method.as_str(), self.template.as_str()) {
            ("PATCH", _) => json!({"priority": 1}),
            ("PUT", "/v1/queues/{queue}") | ("POST", "/v1/leases/{lease}/renew") => json!({}),
            ("POST", "/v1/leases/{lease}/fail" | "/v1/leases/{lease}/release") => json!({}),
            ("POST", "/v1/leases/{lease}/emit") => json!({"seq": 0, "output": "x"}),
            ("POST", "/v1/queues/{queue}/claim") => json!({"worker": "w"}),
            _ => return ask,
        };
        ask.json(&body.to_string())
    }
}

async fn operations() -> (Locked, Vec<Operation>) {
    let server = Server::start().await;
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    let concrete = every_path(&server).await;
    let mut found = Vec::new();
    for ((template, item), (path, _)) in document["paths"].as_object().unwrap().iter().zip(concrete) {
        for (method, operation) in item.as_object().unwrap() {
            if let Some(scope) = operation["x-raincheck-scope"].as_str() {
                found.push(Operation {
                    method: method.to_uppercase(),
                    template: template.clone(),
                    path: path.clone(),
                    scope: scope.to_owned(),
                });
            }
        }
    }
    assert!(found.len() > 35, "the document lists them");
    (Locked::lock(server).await, found)
}

/// Status, and code where it is a problem.
fn told(answer: &Answer) -> (u16, String) {
    let problem = answer.header("content-type") == Some("application/problem+json");
    let code = if problem && !answer.body.is_empty() {
        answer.code()
    } else {
        String::new()
    };
    (answer.status, code)
}

#[tokio::test]
async fn without_a_key_every_operation_is_closed() {
    let (locked, operations) = operations().await;
    for operation in &operations {
        // A lease is a capability of its own; one that nobody was given opens nothing.
        let path = operation.path.replace("l_0", "l_1");
        let answer = operation.ask(&locked, None, &path).send().await;
        if answer.body.is_empty() {
            assert_eq!(answer.status, 401, "{} {path}", operation.method);
            continue;
        }
        unauthenticated(&answer);
    }
    for path in ["/v1", "/v1/", "/v1/nothing", "/v1/jobs/nothing/at/all"] {
        unauthenticated(&locked.server.get(path).send().await);
    }
    for path in ["/healthz", "/readyz", "/openapi.json", "/docs", "/problems"] {
        assert_eq!(locked.server.get(path).send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn each_operation_takes_its_scope_and_no_other() {
    let (locked, operations) = operations().await;
    let all = ["submit", "read", "cancel", "work", "admin"];
    for scope in all {
        let right = locked.with_scopes(&[scope]).await;
        let others: Vec<&str> = all
            .into_iter()
            .filter(|other| *other != scope && *other != "admin")
            .collect();
        let wrong = locked.with_scopes(&others).await;
        for operation in operations.iter().filter(|operation| operation.scope == scope) {
            let what = format!("{} {}", operation.method, operation.template);
            let answer = operation.ask(&locked, Some(&wrong), &operation.path).send().await;
            assert_eq!(answer.status, 403, "{what}: {answer:?}");
            let answer = operation.ask(&locked, Some(&right), &operation.path).send().await;
            assert!(![401, 403].contains(&answer.status), "{what}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_key_for_other_queues_reaches_nothing_of_this_one() {
    let (locked, operations) = operations().await;
    for operation in &operations {
        let wish = json!({"name": "k", "scopes": [operation.scope], "queues": ["other*"]});
        let key = locked.key(wish).await;
        let answer = operation.ask(&locked, Some(&key), &operation.path).send().await;
        let expected: &[u16] = match operation.template.as_str() {
            "/v1/batches/{id}" | "/v1/batches/{id}/results" => &[200],
            path if path.starts_with("/v1/queues/") => &[403],
            path if path.starts_with("/v1/jobs/{id}") => &[404],
            path if path.starts_with("/v1/leases/") => &[409],
            // What these do with queues is a test of its own.
            "/v1/jobs" | "/v1/queues" | "/v1/events" | "/v1/workers" | "/v1/batches" | "/v1/fetch"
            | "/v1/leases" => &[200, 202, 400, 415],
            _ => &[403],
        };
        assert!(
            expected.contains(&answer.status),
            "{} {}: {answer:?}",
            operation.method,
            operation.template
        );
    }
}

/// Ids that are well formed, and that nobody was given.
fn absent(locked: &Locked, path: &str) -> String {
    let job = locked.server.store().mint().to_string();
    let text = job.strip_prefix("job_").unwrap();
    let segments = path.split('/').map(|segment| match segment.split_at_checked(4) {
        Some(("job_", _)) => job.clone(),
        Some(("msg_", _)) => format!("msg_{text}j"),
        _ if segment.starts_with("batch_") => format!("batch_{text}"),
        _ if segment.starts_with("l_") => format!("l_{text}{}", &segment[28..]),
        _ if segment == "thumbs" => "absent".to_owned(),
        _ => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn what_another_namespace_has_is_as_if_it_were_not_there() {
    let (locked, operations) = operations().await;
    // A namespace in which there is nothing at all.
    let key = locked
        .key(json!({"name": "k", "scopes": ["admin"], "namespace": "stranger"}))
        .await;
    // What PUT makes is the namespace's own.
    let named = |operation: &&Operation| operation.template.contains('{') && operation.method != "PUT";
    for operation in operations.iter().filter(named) {
        let foreign = operation.ask(&locked, Some(&key), &operation.path).send().await;
        let path = absent(&locked, &operation.path);
        let nobodys = operation.ask(&locked, Some(&key), &path).send().await;
        let what = format!("{} {}", operation.method, operation.template);
        assert_eq!(told(&foreign), told(&nobodys), "{what}");
        if !foreign.body.is_empty() && foreign.status >= 400 {
            let detail = |answer: &Answer, path: &str| {
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                let named = path.split('/').nth(3).unwrap().to_owned();
                // A lease names its job.
                let job = named
                    .strip_prefix("l_")
                    .map(|text| format!("job_{}", &text[..26]));
                detail.replace(&job.unwrap_or(named), "…")
            };
            assert_eq!(
                detail(&foreign, &operation.path),
                detail(&nobodys, &path),
                "{what}"
            );
        }
        assert!([404, 409].contains(&foreign.status), "{what}: {foreign:?}");
    }
    for (path, list) in [
        ("/v1/jobs", "jobs"),
        ("/v1/deliveries", "deliveries"),
        ("/v1/workers", "workers"),
    ] {
        let seen = locked.by(&key, "GET", path).send().await.json();
        assert_eq!(seen[list], json!([]), "{path}");
    }
    let secret = async |key: &str| {
        let answer = locked.by(key, "GET", "/v1/webhook-secret").send().await;
        answer.json()["secret"].clone()
    };
    assert_ne!(secret(&key).await, secret(&locked.root).await);
    let jobs = locked.root("GET", "/v1/jobs").send().await.json();
    assert_eq!(
        jobs["jobs"].as_array().unwrap().len(),
        4,
        "and all of it is still there"
    );
}
