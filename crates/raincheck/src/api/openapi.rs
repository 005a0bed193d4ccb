//! The OpenAPI document: made of the routes, completed with what all of them share.
//!
//! Invariant: an option is described where it is parsed, a code where it is listed; here they are only laid out. The
//! document is committed as `openapi.json` and compared in a test.

use serde_json::{Value, json};
use utoipa::PartialSchema as _;
use utoipa::openapi::OpenApi;

use super::code::Code;
use super::needs;
use super::options::{Kind, TABLE};
use super::problem::{Flaw, ProblemDocument};
use super::routes;
use super::wire::many::ENTRIES_MAX;

/// The OpenAPI 3.1 document of the API, as it is committed: indented, with a newline at its end.
#[must_use]
pub fn openapi_json() -> String {
    let (_, document): (axum::Router<super::Api>, OpenApi) = routes::all().split_for_parts();
    let mut document = serde_json::to_value(document).expect("an OpenAPI document is JSON");
    complete(&mut document);
    let mut text = serde_json::to_string_pretty(&document).expect("JSON can be written");
    text.push('\n');
    text
}

/// Method, path and name of each operation.
pub(super) fn declared(document: &OpenApi) -> impl Iterator<Item = (&'static str, &str, &str)> {
    document.paths.paths.iter().flat_map(|(path, item)| {
        let methods = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        methods.into_iter().filter_map(move |(method, operation)| {
            let name = operation.as_ref()?.operation_id.as_deref()?;
            Some((method, path.as_str(), name))
        })
    })
}

/// Operations that take a body and do without: each field of it may be left out.
const EMPTY_BODIES: [&str; 4] = ["claim", "renewLease", "failLease", "releaseLease"];

fn complete(document: &mut Value) {
    document["info"] = json!({
        "title": "Raincheck",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Durable background jobs: submit work, be answered at once, redeem the result. Answers about a \
                        stored job carry `Raincheck-Job` and `Raincheck-Outcome` (pending, succeeded, failed, \
                        cancelled, expired; unknown where a commit is in doubt): branch on those first, on the status \
                        second. Ignore fields that you do not know.",
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
    });
    document["components"]["schemas"]["Problem"] = problem_schema();
    document["components"]["schemas"]["Flaw"] =
        serde_json::to_value(Flaw::schema()).expect("a schema is JSON");
    document["components"]["parameters"] = shared_parameters();
    let problem = json!({
        "description": "Refused: a problem (RFC 9457) with a stable `code`, see /problems.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    document["components"]["securitySchemes"] = json!({"key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "rck_…",
        "description": "An API key. A server without keys takes requests of this machine only, and asks for none.",
    }});
    let paths = document["paths"].as_object_mut().expect("paths are an object");
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().expect("a path is an object") {
            secure(operation, method, path);
            operation["responses"]["default"] = problem.clone();
            add_parameters(operation);
            if EMPTY_BODIES.contains(&operation["operationId"].as_str().unwrap_or_default()) {
                operation["requestBody"]["required"] = json!(false);
            }
        }
    }
    let raw = &mut document["paths"]["/v1/queues/{queue}/jobs"]["post"];
    extend(
        &mut raw["parameters"],
        TABLE.iter().map(|rule| parameter_ref(&header_name(rule.header))),
    );
    let fields = "/paths/~1v1~1jobs/post/requestBody/content/application~1json/schema";
    let schema = document.pointer_mut(fields).expect("the JSON form has a schema");
    for rule in &TABLE {
        schema["properties"][rule.field] = with_doc(option_schema(rule.kind, rule.example, true), rule.doc);
    }
    schema["additionalProperties"] = json!(false);
    many(document);
    let patch = "/paths/~1v1~1jobs~1{id}/patch/requestBody/content/application~1json/schema";
    let patch = document.pointer_mut(patch).expect("changes have a schema");
    patch["additionalProperties"] = json!(false);
    // What is to stay is left out: null might as well mean that it shall be nothing.
    for property in patch["properties"].as_object_mut().into_iter().flatten() {
        never_null(property.1);
    }
    let settings = "/paths/~1v1~1queues~1{queue}/put/requestBody/content/application~1json/schema";
    let settings = document.pointer_mut(settings).expect("settings have a schema");
    settings["additionalProperties"] = json!(false);
    for size in ["body_max", "result_max"] {
        settings["properties"][size]["type"] = json!(["string", "integer", "null"]);
    }
    raw_bytes(document);
}

/// Says which scope a key needs for an operation.
fn secure(operation: &mut Value, method: &str, path: &str) {
    let Some(need) = needs::row(&method.to_uppercase(), path) else {
        return;
    };
    operation["security"] = json!([{"key": []}, {}]);
    operation["x-raincheck-scope"] = json!(need.scope.as_str());
}

/// Takes `null` from the types that a value may have.
fn never_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array_mut() {
        types.retain(|name| name != "null");
    }
}

/// The forms that submit many jobs, beside the one that submits one.
fn many(document: &mut Value) {
    let post = &mut document["paths"]["/v1/jobs"]["post"];
    let one = json!({"$ref": "#/components/schemas/Submission"});
    let content = &mut post["requestBody"]["content"];
    let fields = content["application/json"]["schema"].take();
    let list = json!({"type": "array", "items": one, "maxItems": ENTRIES_MAX});
    content["application/json"]["schema"] = json!({"oneOf": [one, list]});
    for lines in ["application/x-ndjson", "application/jsonl"] {
        content[lines] = json!({"schema": {
            "type": "string", "description": "One submission per line, at most 10,000; blank lines count for nothing.",
        }});
    }
    let entry = json!({"$ref": "#/components/schemas/EntryProblem"});
    let job = json!({"$ref": "#/components/schemas/Job"});
    post["responses"]["200"] = json!({
        "description": "To a list: what became of each entry, in its order; a job that an earlier request under the same \
                        key made has `\"idempotency_replayed\": true`. To one submission under `Prefer: wait`, done in \
                        time: its result, with the result's own status.",
        "content": {"application/json": {"schema": {"type": "array", "items": {"oneOf": [job, entry]}}}},
    });
    let schemas = &mut document["components"]["schemas"];
    schemas["Submission"] = fields;
    let mut entry = problem_schema();
    entry["description"] = json!(
        "Why one entry of a list was refused; the others were not harmed. Pointers begin at \
                                  the entry."
    );
    entry["properties"]["index"] =
        json!({"type": "integer", "minimum": 0, "description": "Which entry, from 0."});
    entry["properties"]["outcome"] = json!({
        "const": "unknown",
        "description": "There where the commit is in doubt: repeat the entry under the same `idempotency_key`.",
    });
    let properties = entry["properties"]
        .as_object_mut()
        .expect("properties are an object");
    properties.remove("request_id");
    let required = entry["required"].as_array_mut().expect("required is a list");
    required.retain(|name| name != "request_id");
    required.push(json!("index"));
    schemas["EntryProblem"] = entry;
}

/// Bytes of any type have no schema, nor have streams of events: OpenAPI 3.1 has no word for one of their events.
fn raw_bytes(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "*/*" || name == "text/event-stream" {
                    *value = json!({});
                } else {
                    raw_bytes(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(raw_bytes),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn problem_schema() -> Value {
    let mut schema = serde_json::to_value(ProblemDocument::schema()).expect("a schema is JSON");
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    schema["properties"]["code"]["examples"] = json!(codes);
    schema
}

/// `Raincheck-Max-Attempts`.
fn header_name(header: &str) -> String {
    super::options::title(header)
}

fn parameter_ref(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

fn extend(list: &mut Value, more: impl Iterator<Item = Value>) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("parameters are a list").extend(more);
}

/// What an operation takes beside its own parameters.
fn add_parameters(operation: &mut Value) {
    let shared: &[&str] = match operation["operationId"].as_str().unwrap_or_default() {
        "submit" | "submitJson" => &["Idempotency-Key", "Prefer", "wait", "traceparent", "tracestate"],
        "claim" => &["Prefer", "wait"],
        "getJob" => &["Prefer", "wait", "If-None-Match"],
        "patchJob" => &["If-Match"],
        "getResult" => &["Prefer", "wait", "If-None-Match", "Range", "If-Range"],
        _ => return,
    };
    extend(
        &mut operation["parameters"],
        shared.iter().map(|name| parameter_ref(name)),
    );
}

fn option_schema(kind: Kind, example: &str, json_form: bool) -> Value {
    match kind {
        Kind::Integer(least, most) => {
            let example: u32 = example.parse().unwrap_or(least);
            json!({"type": "integer", "minimum": least, "maximum": most, "examples": [example]})
        }
        Kind::Names if json_form => {
            let names: Vec<&str> = example.split(", ").collect();
            json!({"type": "array", "items": {"type": "string"}, "examples": [names]})
        }
        Kind::Callback if json_form => json!({
            "type": "object",
            "required": ["url"],
            "additionalProperties": false,
            "properties": {
                "url": {"type": "string", "format": "uri"},
                "events": {
                    "type": "array",
                    "items": {"type": "string", "enum": ["succeeded", "failed", "cancelled", "expired"]},
                },
            },
        }),
        Kind::Unique if json_form => json!({
            "type": "object", "required": ["value"], "additionalProperties": false,
            "properties": {
                "value": {"type": "string", "minLength": 1, "maxLength": 255},
                "while": {"enum": ["queued", "active", "kept", null], "default": "active"},
                "on_conflict": {"enum": ["reject", "attach", "replace", null], "default": "reject"},
            },
            "examples": [{"value": "report-2026-11", "while": "active", "on_conflict": "reject"}],
        }),
        Kind::Text | Kind::Names | Kind::Unique | Kind::Callback => {
            json!({"type": "string", "examples": [example]})
        }
    }
}

fn with_doc(mut schema: Value, doc: &str) -> Value {
    schema["description"] = json!(doc);
    schema
}

fn shared_parameters() -> Value {
    let header = |name: &str, doc: &str, example: &str| {
        let schema = json!({"type": "string", "examples": [example]});
        json!({"name": name, "in": "header", "description": doc, "schema": schema})
    };
    let key = "Same key and same request within 24 h, and while the job is kept: the same job, with \
               `Idempotency-Replayed: true`. Same key, other request: 422. A quoted string, or 1 to 255 visible ASCII \
               characters. Scope: the queue.";
    let mut parameters = json!({
        "Idempotency-Key": header("Idempotency-Key", key, "\"8e03978e-40d5-43e8-bc93-6894a57f9324\""),
        "Prefer": header(
            "Prefer",
            "`wait=N`: hold the answer up to N seconds (at most 60), counted from receipt; `respond-async`: do not. \
             `Preference-Applied` tells what was granted.",
            "wait=30",
        ),
        "wait": {
            "name": "wait", "in": "query", "schema": {"type": "integer", "minimum": 0},
            "description": "The same as `Prefer: wait=N`, where headers cannot be set; more than 60 is 60.",
        },
        "If-Match": header("If-Match", "Change the job only where its version is still this one, else 412.", "W/\"3\""),
        "If-None-Match": header("If-None-Match", "Answer 304 where the version or result is still this one.", "W/\"3\""),
        "If-Range": header("If-Range", "Obey `Range` only where the result is still this one.", "\"5f2c\""),
        "Range": header("Range", "Answer with a part of a stored 200 only; one range.", "bytes=0-1023"),
        "traceparent": header(
            "traceparent",
            "The caller's trace (W3C Trace Context), handed to the handler.",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        "tracestate": header("tracestate", "The rest of the trace context.", "vendor=1"),
    });
    for rule in &TABLE {
        let name = header_name(rule.header);
        let schema = option_schema(rule.kind, rule.example, false);
        parameters[&name] = json!({"name": name, "in": "header", "description": rule.doc, "schema": schema});
    }
    parameters
}
