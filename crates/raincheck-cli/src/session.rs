//! One command's dealings with one server: requests that either succeed or end as a [`Failed`].
//!
//! Invariant: a command that the user is told to type next works as printed, on the same server.

use raincheck::core::name::QueueName;

use crate::api_key::ApiKey;
use crate::client::{Address, Answer, Client, NoAnswer, Request, URL_DEFAULT};
use crate::exit::{Exit, Failed};
use crate::named::Named;
use crate::output::Output;
use crate::refused::refused;
use crate::trust::Trust;

/// What a request is about, so that its refusal can say what to type next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    /// A queue.
    Queue(&'a QueueName),
    /// A job.
    Job(&'a Named),
    /// The server as a whole.
    Server,
}

/// A client, and where its findings go.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Speaks to the server.
    pub(crate) client: Client,
    /// Where output goes.
    pub(crate) output: Output,
    /// Whether the address was given by flag, so that the next command needs it too.
    named: bool,
}

impl Session {
    /// A session with the server at `address`.
    pub(crate) fn new(address: Address, output: Output) -> Self {
        Self::trusting(Trust::default(), address, output)
    }

    /// The same, trusting others than the usual.
    pub(crate) fn trusting(trust: Trust, address: Address, output: Output) -> Self {
        let text = address.to_string();
        let ambient = std::env::var("RAINCHECK_URL").is_ok_and(|url| url.trim_end_matches('/') == text);
        Self {
            named: text != URL_DEFAULT && !ambient,
            client: Client::new(address, trust),
            output,
        }
    }

    /// The same with an API key.
    #[must_use]
    pub(crate) fn with_key(mut self, key: Option<ApiKey>) -> Self {
        self.client.key = key;
        self
    }

    /// The same with the server at this address, where none was named.
    pub(crate) fn or_at(&self, own: Option<Address>) -> Self {
        let named =
            std::env::var_os("RAINCHECK_URL").is_some() || self.client.address.to_string() != URL_DEFAULT;
        match own.filter(|_| !named) {
            Some(own) => {
                let same = Self::trusting(self.client.trust.clone(), own, self.output);
                same.with_key(self.client.key.clone())
            }
            None => self.clone(),
        }
    }

    /// A session with the server of a link. The key goes along only where that is the server it is meant for.
    pub(crate) fn with(&self, server: Address) -> Self {
        let key = self.client.key.clone();
        let key = key.filter(|_| server == self.client.address);
        Self::trusting(self.client.trust.clone(), server, self.output).with_key(key)
    }

    /// The command line that runs `arguments` against the same server. A link in them names it already.
    pub(crate) fn command(&self, arguments: &str) -> String {
        if self.named && !arguments.contains("://") {
            format!("raincheck {arguments} --url {}", self.client.address)
        } else {
            format!("raincheck {arguments}")
        }
    }

    /// Sends a request; an answer of 400 or more is a failure.
    pub(crate) async fn call(&self, request: Request, about: About<'_>) -> Result<Answer, Failed> {
        let answer = self
            .client
            .send(request)
            .await
            .map_err(|error| self.unanswered(&error))?;
        if answer.status.as_u16() < 400 {
            Ok(answer)
        } else {
            Err(refused(self, &answer, about))
        }
    }

    /// Why there was no answer, for people.
    pub(crate) fn unanswered(&self, error: &NoAnswer) -> Failed {
        let address = &self.client.address;
        match error {
            NoAnswer::Unreachable(reason) if reason.contains("CaUsedAsEndEntity") => Failed::new(
                Exit::Unreachable,
                format!("the certificate of {address} is an authority's, and none for a server ({reason})"),
            )
            .next("Sign one for the server with it, and give the authority's by --ca-file FILE"),
            NoAnswer::Unreachable(reason) if reason.contains("UnknownIssuer") => Failed::new(
                Exit::Unreachable,
                format!("nobody who is trusted here signed the certificate of {address} ({reason})"),
            )
            .next("Name who did: --ca-file FILE, RAINCHECK_CA_FILE"),
            NoAnswer::Unreachable(reason) => Failed::new(
                Exit::Unreachable,
                format!("no Raincheck server answers at {address} ({reason})"),
            )
            .next("Start one: raincheck serve; or name another: --url URL, RAINCHECK_URL"),
            NoAnswer::Lost(reason) => Failed::new(
                Exit::Unreachable,
                format!("the server at {address} gave no complete answer ({reason})"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_names_the_server_where_the_first_one_did() {
        let session = |url: &str| Session::new(url.parse().unwrap(), Output::new(false, false, true));
        assert_eq!(
            session(URL_DEFAULT).command("job get job_1"),
            "raincheck job get job_1"
        );
        assert_eq!(
            session("http://127.0.0.1:1").command("job get job_1"),
            "raincheck job get job_1 --url http://127.0.0.1:1"
        );
    }
}
