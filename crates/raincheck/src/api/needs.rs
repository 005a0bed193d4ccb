//! What each operation asks of a key: one table.
//!
//! Invariant: every operation of the OpenAPI document is in it, once (a test compares), and one that is not is closed.

use http::Method;
use raincheck_core::key::Scope;

/// How far an operation reaches, seen from a key that is for some queues only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The queue in its path: another one is 403.
    Queue,
    /// The job in its path: one of another queue is 404.
    Job,
    /// Leases: one of another queue is 409, as if it were over.
    Lease,
    /// The queues named in its body or query: another one is 403.
    Named,
    /// What it lists: that of other queues is left out.
    Listed,
    /// The whole namespace: closed to a key for some queues.
    Whole,
    /// All namespaces: closed to any key of another one than `default`, and to one for some queues.
    Server,
    /// The batch in its path, whose numbers are no queue's.
    Batch,
}

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) scope: Scope,
    pub(crate) reach: Reach,
}

/// Operations that need no key: they tell nothing of any job.
#[cfg(test)]
pub(crate) const PUBLIC: [&str; 6] = [
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/problems",
    "/problems/{code}",
];

const GET: &str = "GET";
const PUT: &str = "PUT";
const POST: &str = "POST";
const PATCH: &str = "PATCH";
const DELETE: &str = "DELETE";

/// Method and path of each operation with what it asks for.
pub(crate) const TABLE: &[(&str, &str, Scope, Reach)] = &[
    (POST, "/v1/queues/{queue}/jobs", Scope::Submit, Reach::Queue),
    (POST, "/v1/jobs", Scope::Submit, Reach::Named),
    (GET, "/v1/jobs", Scope::Read, Reach::Listed),
    (POST, "/v1/jobs/bulk", Scope::Admin, Reach::Whole),
    (GET, "/v1/jobs/{id}", Scope::Read, Reach::Job),
    (DELETE, "/v1/jobs/{id}", Scope::Cancel, Reach::Job),
    (PATCH, "/v1/jobs/{id}", Scope::Submit, Reach::Job),
    (GET, "/v1/jobs/{id}/result", Scope::Read, Reach::Job),
    (GET, "/v1/jobs/{id}/input", Scope::Read, Reach::Job),
    (GET, "/v1/jobs/{id}/events", Scope::Read, Reach::Job),
    (POST, "/v1/jobs/{id}/cancel", Scope::Cancel, Reach::Job),
    (POST, "/v1/jobs/{id}/retry", Scope::Submit, Reach::Job),
    (GET, "/v1/events", Scope::Read, Reach::Listed),
    (POST, "/v1/batches", Scope::Submit, Reach::Named),
    (POST, "/v1/fetch", Scope::Submit, Reach::Named),
    (GET, "/v1/batches/{id}", Scope::Read, Reach::Batch),
    (GET, "/v1/batches/{id}/results", Scope::Read, Reach::Listed),
    (POST, "/v1/batches/{id}/cancel", Scope::Cancel, Reach::Whole),
    (GET, "/v1/queues", Scope::Read, Reach::Listed),
    (GET, "/v1/queues/{queue}", Scope::Read, Reach::Queue),
    (PUT, "/v1/queues/{queue}", Scope::Admin, Reach::Queue),
    (DELETE, "/v1/queues/{queue}", Scope::Admin, Reach::Queue),
    (
        GET,
        "/v1/queues/{queue}/groups/{group}",
        Scope::Read,
        Reach::Queue,
    ),
    (
        PUT,
        "/v1/queues/{queue}/groups/{group}",
        Scope::Admin,
        Reach::Queue,
    ),
    (
        DELETE,
        "/v1/queues/{queue}/groups/{group}",
        Scope::Admin,
        Reach::Queue,
    ),
    (POST, "/v1/queues/{queue}/pause", Scope::Admin, Reach::Queue),
    (POST, "/v1/queues/{queue}/resume", Scope::Admin, Reach::Queue),
    (POST, "/v1/queues/{queue}/purge", Scope::Admin, Reach::Queue),
    (POST, "/v1/queues/{queue}/claim", Scope::Work, Reach::Queue),
    (POST, "/v1/leases/{lease}/renew", Scope::Work, Reach::Lease),
    (POST, "/v1/leases/{lease}/succeed", Scope::Work, Reach::Lease),
    (POST, "/v1/leases/{lease}/fail", Scope::Work, Reach::Lease),
    (POST, "/v1/leases/{lease}/release", Scope::Work, Reach::Lease),
    (POST, "/v1/leases/{lease}/emit", Scope::Work, Reach::Lease),
    (POST, "/v1/leases", Scope::Work, Reach::Lease),
    // How receivers answer is shown to those only who may choose the receivers.
    (GET, "/v1/deliveries", Scope::Admin, Reach::Whole),
    (
        POST,
        "/v1/deliveries/{delivery}/redeliver",
        Scope::Admin,
        Reach::Whole,
    ),
    (GET, "/v1/webhook-secret", Scope::Admin, Reach::Whole),
    (POST, "/v1/webhook-secret/rotate", Scope::Admin, Reach::Whole),
    (GET, "/v1/workers", Scope::Read, Reach::Listed),
    (GET, "/v1/keys", Scope::Admin, Reach::Whole),
    (POST, "/v1/keys", Scope::Admin, Reach::Whole),
    (DELETE, "/v1/keys/{key}", Scope::Admin, Reach::Whole),
    (GET, "/v1/audit", Scope::Admin, Reach::Whole),
    (GET, "/metrics", Scope::Read, Reach::Server),
];

/// What the operation at this path, as the router knows it, asks for; `None` where nothing is said, which is closed.
pub(crate) fn need(method: &Method, path: &str) -> Option<Need> {
    let method = if *method == Method::HEAD {
        GET
    } else {
        method.as_str()
    };
    row(method, path)
}

/// The same by the method's name.
pub(crate) fn row(method: &str, path: &str) -> Option<Need> {
    let row = TABLE.iter().find(|row| row.1 == path && row.0 == method)?;
    Some(Need {
        scope: row.2,
        reach: row.3,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::openapi_json;

    #[test]
    fn every_operation_of_the_document_is_in_the_table_once() {
        let document: Value = serde_json::from_str(&openapi_json()).unwrap();
        let mut there = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                there.push((method.to_uppercase(), path.clone()));
            }
        }
        for (method, path) in &there {
            let rows = TABLE.iter().filter(|row| row.0 == method && row.1 == path);
            let public = usize::from(PUBLIC.contains(&path.as_str()));
            assert_eq!(rows.count() + public, 1, "{method} {path}");
        }
        for (method, path, ..) in TABLE {
            assert!(
                there.contains(&((*method).to_owned(), (*path).to_owned())),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn head_asks_for_what_get_asks_for_and_what_is_not_there_is_closed() {
        assert_eq!(need(&Method::HEAD, "/v1/jobs"), need(&Method::GET, "/v1/jobs"));
        assert_eq!(need(&Method::PUT, "/v1/jobs"), None);
        assert_eq!(need(&Method::GET, "/v1/nothing"), None);
    }
}
