//! API keys: making, listing and revoking them.
//!
//! Invariant: a secret is in the body of the answer that made its key and nowhere else; no cache keeps it.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use raincheck_core::key::{KEYS_MAX, KeyId, KeyRefused};

use crate::api::Api;
use crate::api::answer::{draining, json, no_content, render};
use crate::api::caller::Caller;
use crate::api::code::Code;
use crate::api::extract::{JsonRequest, SETTINGS_BYTES_MAX, body, named};
use crate::api::problem::Problem;
use crate::api::query::{NoQuery, no_query};
use crate::api::wire::key::{CreatedKeyDocument, KeyAsked, KeyDocument, KeysDocument, NewKeySchema};

/// List the API keys of the namespace, also those that have expired; without their secrets.
#[utoipa::path(
    get, path = "/v1/keys", operation_id = "listKeys", tag = "keys",
    responses((status = 200, description = "The keys.", body = KeysDocument<'_>, content_type = "application/json"))
)]
pub(crate) async fn list_keys(
    State(api): State<Api>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Problem> {
    let keys = api.node.store().keys(&caller.namespace).await?;
    let document = KeysDocument {
        keys: keys.iter().map(KeyDocument::of).collect(),
    };
    Ok(json(StatusCode::OK, render(&document)))
}

/// Make an API key. The answer shows its secret, once.
///
/// From the first key on the server asks everybody for one, which is why the first must be an `admin` key of the namespace
/// `default` for all queues.
#[utoipa::path(
    post, path = "/v1/keys", operation_id = "createKey", tag = "keys",
    request_body(content = inline(NewKeySchema), content_type = "application/json"),
    responses((status = 201, description = "The key, with its secret.", body = CreatedKeyDocument<'_>,
               content_type = "application/json"))
)]
pub(crate) async fn create_key(
    State(api): State<Api>,
    caller: Caller,
    JsonRequest { content, .. }: JsonRequest,
) -> Result<Response, Problem> {
    let content = body(&api, content, SETTINGS_BYTES_MAX, "a key").await?;
    let asked = KeyAsked::read(&content)?;
    if api.node.draining() {
        return Err(draining());
    }
    let namespace = asked.namespace.unwrap_or_else(|| caller.namespace.clone());
    if namespace != caller.namespace && !caller.is_operator() {
        let detail = "an API key makes keys of its own namespace; only an admin key of default that is for all queues \
                      makes those of others";
        return Err(Problem::new(Code::Forbidden, detail).at("/namespace"));
    }
    let made = caller.node(&api).create_key(&namespace, asked.wish).await?;
    let (key, token) = made.map_err(refused)?;
    Ok(json(
        StatusCode::CREATED,
        render(&CreatedKeyDocument::of(&key, &token)),
    ))
}

/// Revoke an API key: from the answer on it opens nothing.
#[utoipa::path(
    delete, path = "/v1/keys/{key}", operation_id = "revokeKey", tag = "keys",
    params(("key" = String, Path, description = "The key's id.", example = "Zk3v9QxT")),
    responses((status = 204, description = "It is revoked."))
)]
pub(crate) async fn revoke_key(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    no_query(&parts)?;
    let id: KeyId = named(&parts).parse().map_err(|_| refused(KeyRefused::Unknown))?;
    let revoked = caller.node(&api).revoke_key(&caller.namespace, id).await?;
    revoked.map_err(refused)?;
    Ok(no_content())
}

fn refused(why: KeyRefused) -> Problem {
    match why {
        KeyRefused::Unknown => Problem::new(
            Code::UnknownKey,
            "the namespace has no key with this id; GET /v1/keys lists those that it has",
        ),
        KeyRefused::FirstNotAdmin => Problem::new(
            Code::LastAdminKey,
            "from the first key on nothing works without one, so the first must be able to make others: an admin key of \
             the namespace default, for all queues",
        ),
        KeyRefused::LastAdmin => Problem::new(
            Code::LastAdminKey,
            "no other key that is good now may administer the server; make another admin key of the namespace default \
             for all queues first",
        ),
        KeyRefused::TooMany => {
            let detail =
                format!("the namespace has {KEYS_MAX} keys, the limit; revoke those that nobody uses");
            Problem::new(Code::TooManyKeys, detail)
        }
        KeyRefused::Taken => Problem::new(
            Code::Internal,
            "no free id was drawn; try again, and look at the server's source of randomness",
        ),
    }
}
