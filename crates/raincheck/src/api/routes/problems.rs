//! What explains the API: a page for each error code, the OpenAPI document, and the same for people.
//!
//! Invariant: a code's page is the file in `docs/errors`; the reference says what the OpenAPI document says.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};

use super::page::page;
use super::reference::reference;
use crate::api::Api;
use crate::api::code::Code;
use crate::api::openapi_json;
use crate::api::problem::Problem;
use crate::api::text;

static OPENAPI: LazyLock<String> = LazyLock::new(openapi_json);

static REFERENCE: LazyLock<String> = LazyLock::new(|| reference(&OPENAPI));

static LIST: LazyLock<String> = LazyLock::new(|| {
    let mut list = String::from(
        "# Problems\n\nEvery refusal names one of these in `code`; a code never changes its meaning.\n\n",
    );
    for code in Code::ALL {
        let (name, status, title) = (code.as_str(), code.status().as_u16(), code.title());
        // Writing to a string does not fail.
        let _ = writeln!(list, "- [{name}]({}): {status}, {title}", code.url());
    }
    list
});

/// List the problems that there are.
#[utoipa::path(
    get, path = "/problems", operation_id = "listProblems", tag = "server",
    responses((status = 200, description = "Their codes; HTML for browsers.", body = String,
               content_type = "text/markdown"))
)]
pub(crate) async fn list_problems(State(api): State<Api>, headers: HeaderMap) -> Response {
    page(api.node.links(), &headers, "Problems", &LIST)
}

/// Explain a problem: what it means, how to see it, what to do.
#[utoipa::path(
    get, path = "/problems/{code}", operation_id = "getProblem", tag = "server",
    params(("code" = String, Path, description = "The problem's `code`.", example = "queue-full")),
    responses((status = 200, description = "The page; HTML for browsers.", body = String,
               content_type = "text/markdown"))
)]
pub(crate) async fn get_problem(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    let Some(code) = Code::find(name) else {
        let detail = format!(
            "no problem has the code {:?}; /problems lists them",
            text::short(name)
        );
        return Err(Problem::new(Code::NotFound, detail));
    };
    Ok(page(
        api.node.links(),
        request.headers(),
        code.as_str(),
        code.page(),
    ))
}

/// Describe the API (OpenAPI 3.1).
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "server",
    responses((status = 200, description = "This document.", body = Object, content_type = "application/json"))
)]
pub(crate) async fn openapi(State(api): State<Api>) -> Response {
    let document = match api.node.links().base() {
        "" => Body::from(OPENAPI.as_str()),
        // Its paths are those below a server's URL.
        base => {
            Body::from(OPENAPI.replacen('{', &format!("{{\n  \"servers\": [{{\"url\": \"{base}\"}}],"), 1))
        }
    };
    let mut response = Response::new(document);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Read the API's reference: every path, option and field.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "server",
    responses((status = 200, description = "The reference; HTML for browsers.", body = String,
               content_type = "text/markdown"))
)]
pub(crate) async fn docs(State(api): State<Api>, headers: HeaderMap) -> Response {
    page(api.node.links(), &headers, "Raincheck: the API", &REFERENCE)
}
