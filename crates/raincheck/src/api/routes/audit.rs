//! Reading what administrators did.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use crate::api::Api;
use crate::api::answer::{json, render};
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::wire::audit::{ActDocument, ActsDocument, page};
use crate::api::wire::page::Cursor;

/// List what administrators did and were refused in the namespace, newest first.
///
/// Recorded are the operations that take the scope `admin` and change something, and those that show a secret; a refusal
/// is where its caller had a key, or needed none. Without bodies.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "listActs", tag = "keys",
    params(
        ("key" = Option<String>, Query, description = "Only those of this key: its id; or `local`, which is who needed no \
         key.", example = "Zk3v9QxT"),
        ("action" = Option<String>, Query, description = "Only this operation, by its name in this document.",
         example = "putQueue"),
        ("since" = Option<String>, Query, description = "Only those since this instant: RFC 3339 or `@unix`.",
         example = "2026-11-21T02:00:00Z"),
        ("limit" = Option<u32>, Query, description = "At most so many, 1 to 200. Unless given, 50. A page may be short, \
         or empty, although more follow.", minimum = 1, maximum = 200, example = 50),
        ("cursor" = Option<String>, Query, description = "The `cursor` of the page before, opaque."),
    ),
    responses((status = 200, description = "A page.", body = ActsDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn list_acts(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let page = page(request.uri().query())?;
    drop(request);
    let found = api.node.store().acts(&caller.namespace, page).await?;
    let document = ActsDocument {
        acts: found.acts.iter().map(ActDocument::of).collect(),
        cursor: found.cursor.map(Cursor),
    };
    Ok(json(StatusCode::OK, render(&document)))
}
