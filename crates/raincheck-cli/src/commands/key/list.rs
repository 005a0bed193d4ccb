//! `raincheck key list`.

use clap::Args;
use raincheck::core::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Request;
use crate::document::instant;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};
use crate::table::{Table, Value};

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
struct Listing<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

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
        let output = session.output;
        let answer = session.call(Request::get("/v1/keys"), About::Server).await?;
        let listing: Listing<'_> =
            serde_json::from_slice(&answer.body).map_err(|error| Failed::unreadable(&error))?;
        if output.shape == Shape::Json {
            let keys: Vec<_> = listing.keys.iter().map(|key| key.get()).collect();
            return output.line(&format!("[{}]", keys.join(",")));
        }
        let now = answer.date().filter(|_| output.shape == Shape::Terminal);
        let mut table = Table::new(&[
            "ID",
            "NAME",
            "NAMESPACE",
            "SCOPES",
            "QUEUES",
            "CREATED",
            "EXPIRES",
            "USED",
        ]);
        for key in &listing.keys {
            let key: KeyDocument =
                serde_json::from_str(key.get()).map_err(|error| Failed::unreadable(&error))?;
            if output.shape == Shape::Quiet {
                output.line(&key.id)?;
                continue;
            }
            let at = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| instant(at, now));
            let queues = if key.queues.is_empty() {
                "*".to_owned()
            } else {
                key.queues.join(" ")
            };
            table.row(vec![
                Value::text(&key.id),
                Value::text(&key.name),
                Value::text(&key.namespace),
                Value::text(&key.scopes.join(" ")),
                Value::text(&queues),
                Value::text(&at(Some(key.created_at))),
                Value::text(&at(key.expires_at)),
                Value::text(&at(key.last_used_at)),
            ]);
        }
        if listing.keys.is_empty() {
            output.note(&format!(
                "There is no key: everybody on the server's machine is let in. Make one: {}",
                session.command("key create ops --scope admin")
            ));
        }
        table.write(output)
    }
}
