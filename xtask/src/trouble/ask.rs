//! One client of the real server, and what it was answered.
//!
//! Invariant: a request that was not answered whole is an error, so that no proof goes on without the answer it needs.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::Value;

use crate::soak::http::{Client, Sent};

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A header's value; nothing where it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("the answer is JSON")
    }
}

/// A client.
#[derive(Debug)]
pub(super) struct Asker {
    to: SocketAddr,
    client: Client,
}

impl Default for Asker {
    fn default() -> Self {
        Self::to(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

impl Asker {
    pub(super) fn to(to: SocketAddr) -> Self {
        let client = Client::default();
        Self { to, client }
    }

    /// Asks, with JSON unless the body is an input.
    pub(super) async fn ask(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        let kind = if path.ends_with("/jobs") {
            "application/octet-stream"
        } else {
            "application/json"
        };
        self.with(method, path, &[("Content-Type", kind.to_owned())], body)
            .await
    }

    /// Asks with these headers.
    pub(super) async fn with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        match self
            .client
            .send(self.to, method, path, headers, body.into())
            .await
        {
            Sent::Answered {
                status,
                headers,
                body: Some(body),
            } => Ok(Answer {
                status,
                headers,
                body,
            }),
            other @ (Sent::Unsent | Sent::Lost | Sent::Silent | Sent::Answered { .. }) => {
                bail!("{method} {path} was not answered: {other:?}")
            }
        }
    }

    /// Asks, and takes only this status.
    pub(super) async fn expect(
        &mut self,
        status: u16,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let answer = self.ask(method, path, body).await?;
        ensure!(
            answer.status == status,
            "{method} {path}: {} instead of {status}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(answer)
    }
}
