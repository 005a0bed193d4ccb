//! `raincheck key revoke`.

use clap::Args;
use http::Method;
use raincheck::core::key::KeyId;

use crate::client::Request;
use crate::confirm::Confirm;
use crate::exit::Failed;
use crate::output::Shape;
use crate::session::{About, Session};

const EXAMPLES: &str = "\
The id is the part between rck_ and the next underscore. It takes effect at once and cannot be undone.

Example:
  raincheck key revoke Zk3v9QxT --yes";

/// Revokes a key.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Revoke {
    /// The key's id
    id: KeyId,
    #[command(flatten)]
    confirm: Confirm,
}

impl Revoke {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let id = self.id;
        let question = format!("Revoke key {id}? Whoever uses it is shut out at once.");
        self.confirm
            .ask(&question, &session.command(&format!("key revoke {id}")))?;
        let request = Request::new(Method::DELETE, format!("/v1/keys/{id}"));
        session.call(request, About::Server).await?;
        let output = session.output;
        match output.shape {
            Shape::Json => output.line(&serde_json::json!({ "id": id, "revoked": true }).to_string()),
            Shape::Quiet => output.line(id.as_str()),
            Shape::Terminal => output.line(&format!("{id}  revoked")),
            Shape::Plain => output.fields(&[id.as_str(), "revoked"]),
        }
    }
}
