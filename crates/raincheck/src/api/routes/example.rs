//! Each operation of the API as one types it.
//!
//! Invariant: an example is a command that works as it stands, once its `job_…`, `batch_…`, `l_…` and `msg_…` are real; a test
//! types all.

/// What is asked beyond the path, by operation: a query, or a body and headers.
const MORE: [(&str, &str, &str); 21] = [
    (
        "submit",
        "?wait=5",
        r#" --json '{"month":"2026-11"}' -H 'Idempotency-Key: "monday"'"#,
    ),
    (
        "submitJson",
        "",
        r#" --json '{"queue":"thumbs","input":{"month":"2026-11"},"delay":"10m"}'"#,
    ),
    ("listJobs", "?queue=thumbs&state=failed&limit=20", ""),
    (
        "bulk",
        "",
        r#" --json '{"action":"retry","filter":{"queue":"thumbs","state":"failed"}}'"#,
    ),
    ("getResult", "?wait=30", ""),
    ("patchJob", "", r#" --json '{"priority":0,"tags":["eu"]}'"#),
    (
        "claim",
        "?wait=5",
        r#" --json '{"worker":"gpu-1","max":4,"lease_for":"30s"}'"#,
    ),
    (
        "renewLease",
        "",
        r#" --json '{"lease_for":"30s","progress":{"fraction":0.4,"message":"page 4"}}'"#,
    ),
    ("emit", "", r#" --json '{"seq":0,"output":"so far so good"}'"#),
    (
        "succeedLease",
        "",
        " -H 'Content-Type: text/plain' -d 'the result'",
    ),
    (
        "failLease",
        "",
        r#" --json '{"error":{"code":"no-paper","detail":"the tray is empty"},"retry":true}'"#,
    ),
    ("releaseLease", "", r#" --json '{"delay":"10s"}'"#),
    (
        "actOnLeases",
        "",
        r#" --json '[{"lease":"l_…","action":"renew","lease_for":"30s"}]'"#,
    ),
    (
        "putQueue",
        "",
        r#" --json '{"worker":"pull","timeout":"10m","concurrency":4}'"#,
    ),
    ("putGroup", "", r#" --json '{"concurrency":2,"rate":"10/s"}'"#),
    ("listDeliveries", "?state=abandoned", ""),
    ("listActs", "?action=createKey&limit=20", ""),
    (
        "createKey",
        "",
        r#" --json '{"name":"ci","scopes":["submit","read"],"queues":["thumbs*"],"expires_in":"90d"}'"#,
    ),
    (
        "submitBatch",
        "?queue=thumbs",
        r#" -H 'Content-Type: application/x-ndjson' -d '{"input":{"month":"2026-11"}}'"#,
    ),
    (
        "fetch",
        "",
        r#" --json '{"urls":["https://example.org/"],"per_host":4}'"#,
    ),
    ("getBatch", "?wait=30", ""),
];

/// The command for an operation.
pub(super) fn curl(operation: &str, method: &str, path: &str) -> String {
    let id = if path.contains("/batches/") {
        "batch_…"
    } else {
        "job_…"
    };
    let path = path
        .replace("{id}", id)
        .replace("{lease}", "l_…")
        .replace("{delivery}", "msg_…")
        .replace("{queue}", "thumbs")
        .replace("{key}", "Zk3v9QxT")
        .replace("{group}", "tenant-7")
        .replace("{code}", "queue-full");
    let more = MORE.iter().find(|(known, _, _)| *known == operation);
    let (query, rest) = more.map_or(("", ""), |(_, query, rest)| (*query, *rest));
    // A body makes a POST of it by itself.
    let verb = match method {
        "GET" if path.ends_with("/events") || path.ends_with("/results") => " -N".to_owned(),
        "GET" => String::new(),
        "POST" if !rest.is_empty() => String::new(),
        method => format!(" -X {method}"),
    };
    let url = format!("localhost:7246{path}{query}");
    let url = if url.contains(['?', '&']) {
        format!("'{url}'")
    } else {
        url
    };
    format!("curl{verb} {url}{rest}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::openapi_json;

    #[test]
    fn an_example_is_what_one_types() {
        for (operation, method, path, expected) in [
            (
                "getJob",
                "GET",
                "/v1/jobs/{id}",
                "curl localhost:7246/v1/jobs/job_…",
            ),
            (
                "cancelJob",
                "POST",
                "/v1/jobs/{id}/cancel",
                "curl -X POST localhost:7246/v1/jobs/job_…/cancel",
            ),
            (
                "releaseLease",
                "POST",
                "/v1/leases/{lease}/release",
                r#"curl localhost:7246/v1/leases/l_…/release --json '{"delay":"10s"}'"#,
            ),
            (
                "followAll",
                "GET",
                "/v1/events",
                "curl -N localhost:7246/v1/events",
            ),
            (
                "listDeliveries",
                "GET",
                "/v1/deliveries",
                "curl 'localhost:7246/v1/deliveries?state=abandoned'",
            ),
        ] {
            assert_eq!(curl(operation, method, path), expected);
        }
    }

    #[test]
    fn every_operation_that_is_told_of_is_there() {
        let document: Value = serde_json::from_str(&openapi_json()).unwrap();
        let items = document["paths"].as_object().unwrap().values();
        let said = items.flat_map(|item| item.as_object().unwrap().values());
        let there: Vec<_> = said.filter_map(|said| said["operationId"].as_str()).collect();
        for (operation, _, _) in MORE {
            assert!(there.contains(&operation), "{operation}");
        }
    }
}
