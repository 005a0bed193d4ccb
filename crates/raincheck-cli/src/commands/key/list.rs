//! `raincheck key list`.

use clap::Args;
use raincheck::core::time::Timestamp;
use serde::Deserialize;

use crate::document::instant;
use crate::exit::Failed;
use crate::pages::Listing;
use crate::session::Session;
use crate::table::Value;

const EXAMPLES: &str = "\
In a pipe: id, name, namespace, scopes, queues, and when it was made, ends and was used last.

Examples:
  raincheck key list
  raincheck key list --json | jq -r '.[] | select(.last_used_at == null) | .id'";

/// Lists the keys.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {}

#[derive(Deserialize)]
struct KeyDocument {
    id: String,
    name: String,
    namespace: String,
    scopes: Vec<String>,
    queues: Vec<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl List {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let listing: Listing<'_, KeyDocument> = Listing {
            path: "/v1/keys",
            field: "keys",
            filter: &[],
            columns: &[
                "ID",
                "NAME",
                "NAMESPACE",
                "SCOPES",
                "QUEUES",
                "CREATED",
                "EXPIRES",
                "USED",
            ],
            row,
            id: |key| &key.id,
            none: &format!(
                "There is no key: everybody on the server's machine is let in. Make one: {}",
                session.command("key create ops --scope admin")
            ),
        };
        listing.show_whole(session).await
    }
}

fn row(key: &KeyDocument, now: Option<Timestamp>) -> Vec<Value> {
    let at = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| instant(at, now));
    let queues = if key.queues.is_empty() {
        "*".to_owned()
    } else {
        key.queues.join(" ")
    };
    vec![
        Value::text(&key.id),
        Value::text(&key.name),
        Value::text(&key.namespace),
        Value::text(&key.scopes.join(" ")),
        Value::text(&queues),
        Value::text(&at(Some(key.created_at))),
        Value::text(&at(key.expires_at)),
        Value::text(&at(key.last_used_at)),
    ]
}
