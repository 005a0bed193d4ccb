//! `raincheck key create`.
//!
//! Invariant: the secret goes to standard output and nowhere else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::HeaderValue;
use raincheck::clock::SystemClock;
use raincheck::core::key::{Grants, QueueGlob, Scope};
use raincheck::core::name::{KeyName, Namespace};
use raincheck::core::time::{format_duration, parse_duration};
use raincheck::keys::{KeyWish, create};
use raincheck::store::{MasterKeys, OpenError, Opening, open_with};
use serde::Deserialize;
use serde_json::json;

use crate::client::Request;
use crate::exit::{Exit, Failed};
use crate::master_key::{MasterKeyFile, not_opened};
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
From the first key on the server asks everybody for one, so the first must be able to make others: an
admin key for all queues. --store makes a key without a server, in the directory of one that is stopped.
In a pipe, the key and nothing else.

Examples:
  raincheck key create ops --scope admin --store ./raincheck-data
  raincheck key create ci --scope submit --scope read --queue 'thumbs*' --expires-in 90d
  raincheck key create gpu --scope work > gpu.key";

/// Makes a key.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    /// What it is for, in your words
    name: KeyName,
    /// What it may do: submit, read, cancel, work, or admin, which is everything; can be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
    /// The queues it is for: a name, or a pattern such as 'thumbs*'; can be given several times [default: all]
    #[arg(long = "queue", value_name = "PATTERN")]
    queues: Vec<QueueGlob>,
    /// How long it is good [default: for good]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    expires_in: Option<Duration>,
    /// The namespace it belongs to [default: that of the key you use, else default]
    #[arg(long, value_name = "NAME")]
    namespace: Option<Namespace>,
    /// Make it in this directory, whose server is stopped
    #[arg(long, value_name = "DIRECTORY")]
    store: Option<PathBuf>,
    #[command(flatten)]
    master_key: MasterKeyFile,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// A key that was made, as far as it is used here.
#[derive(Deserialize)]
struct Created {
    id: String,
    key: String,
}

impl Create {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        if let Some(directory) = self.store.clone() {
            return self.offline(directory, session).await;
        }
        let mut wish = json!({
            "name": self.name.as_str(),
            "scopes": self.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        });
        if !self.queues.is_empty() {
            wish["queues"] = json!(self.queues);
        }
        if let Some(span) = self.expires_in {
            wish["expires_in"] = json!(format_duration(span));
        }
        if let Some(namespace) = &self.namespace {
            wish["namespace"] = json!(namespace);
        }
        let json = HeaderValue::from_static("application/json");
        let request = Request::post("/v1/keys").body(Some(json), Bytes::from(wish.to_string()));
        let answer = session.call(request, About::Server).await?;
        let created: Created = answer.json()?;
        if session.output.shape == Shape::Json {
            return session.output.document(&answer.body);
        }
        show(session, &created.id, &created.key)
    }

    /// Makes it in the directory itself.
    async fn offline(self, directory: PathBuf, session: &Session) -> Result<(), Failed> {
        let keys = MasterKeys {
            current: self.master_key.key()?,
            former: None,
        };
        let opening = Opening {
            master_keys: keys,
            ..Opening::default()
        };
        let store = open_with(directory, Arc::new(SystemClock::new()), opening).map_err(|error| {
            if matches!(error, OpenError::MasterKey { .. }) {
                return not_opened(&error);
            }
            Failed::new(Exit::Failure, format!("the store cannot be opened: {error}"))
                .next("Stop its server, or leave --store out to ask the server for the key")
        })?;
        let wish = KeyWish {
            name: self.name,
            grants: Grants {
                scopes: self.scopes.into_iter().collect(),
                queues: self.queues,
            },
            valid_for: self.expires_in,
        };
        let namespace = self.namespace.unwrap_or_default();
        let made = create(&*store, &namespace, &wish).await;
        // Nothing is lost where closing fails: the key is on the disk, or was refused.
        let _ = store.close().await;
        let failed =
            |error: &dyn std::fmt::Display, exit| Failed::new(exit, format!("no key was made: {error}"));
        let made = made.map_err(|error| failed(&error, Exit::StoreFailed))?;
        let (key, token) = made.map_err(|why| failed(&why, Exit::Conflict))?;
        let secret = token.reveal();
        if session.output.shape == Shape::Json {
            let document = json!({
                "key": secret,
                "id": key.id,
                "name": key.name,
                "namespace": key.namespace,
                "scopes": key.grants.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
                "queues": key.grants.queues,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "last_used_at": null,
            });
            return session.output.line(&document.to_string());
        }
        show(session, key.id.as_str(), &secret)
    }
}

fn show(session: &Session, id: &str, key: &str) -> Result<(), Failed> {
    session.output.line(key)?;
    session.output.note(&format!(
        "Shown this once. Keep it secret; use it as RAINCHECK_API_KEY or --api-key. Revoke it: {}",
        session.command(&format!("key revoke {id}"))
    ));
    Ok(())
}
