//! `raincheck webhook secret` and `raincheck webhook rotate`.
//!
//! Invariant: the secret goes to standard output and nowhere else.

use clap::Args;
use raincheck::core::time::Timestamp;
use serde::Deserialize;

use crate::client::{Answer, Request};
use crate::confirm::Confirm;
use crate::document::instant;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};
use crate::table::{Record, Value};

const SHOW: &str = "\
It is what a library for Standard Webhooks takes. In a pipe, the secret and nothing else.

Example:
  export WEBHOOK_SECRET=$(raincheck webhook secret)";

const ROTATE: &str = "\
For 24 hours everything is signed with both, so that receivers can be changed one after the other.

Example:
  raincheck webhook rotate --yes";

/// Shows the secret.
#[derive(Args, Debug)]
#[command(after_help = SHOW)]
pub(crate) struct Show {}

/// Replaces the secret.
#[derive(Args, Debug)]
#[command(after_help = ROTATE)]
pub(crate) struct Rotate {
    #[command(flatten)]
    confirm: Confirm,
}

/// The secret, as far as it is used here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SecretDocument {
    secret: String,
    created_at: Option<Timestamp>,
    former_until: Option<Timestamp>,
}

/// Asks the server for its secret.
pub(super) async fn ask(session: &Session) -> Result<String, Failed> {
    let answer = session
        .call(Request::get("/v1/webhook-secret"), About::Server)
        .await?;
    Ok(answer.json::<SecretDocument>()?.secret)
}

impl Show {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let request = Request::get("/v1/webhook-secret");
        write(session, &session.call(request, About::Server).await?)
    }
}

impl Rotate {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        self.confirm.ask(
            "Replace the secret? Receivers have 24 hours to learn the new one.",
            &session.command("webhook rotate"),
        )?;
        let request = Request::post("/v1/webhook-secret/rotate");
        write(session, &session.call(request, About::Server).await?)
    }
}

fn write(session: &Session, answer: &Answer) -> Result<(), Failed> {
    let output = session.output;
    let document: SecretDocument = answer.json()?;
    match output.shape {
        Shape::Json => output.document(&answer.body),
        Shape::Plain | Shape::Quiet => output.line(&document.secret),
        Shape::Terminal => {
            let now = answer.date();
            let mut record = Record::default();
            record.field("secret", Value::text(&document.secret));
            for (name, time) in [
                ("created", document.created_at),
                ("former_until", document.former_until),
            ] {
                if let Some(time) = time {
                    record.field(name, Value::text(&instant(time, now)));
                }
            }
            record.write(output)
        }
    }
}
