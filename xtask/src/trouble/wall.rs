//! A real server on a wall that is turned by hand.
//!
//! Invariant: the wall is turned by a file that the server's process reads at every look at it, and nothing else is: what
//! runs by the monotonic clock goes on as on a real machine whose time is set.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ask::Asker;
use crate::soak::server::{Server, Start};

/// Where Debian puts the library that tells programs another time.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A server whose wall is turned by hand.
pub(super) struct Turned {
    pub(super) server: Server,
    pub(super) asker: Asker,
    wall: PathBuf,
}

impl Turned {
    /// Starts a server whose wall is off by so many seconds.
    pub(super) async fn start(binary: &str, store: &Path, off: i64) -> Result<Self> {
        ensure!(
            Path::new(LIBRARY).exists(),
            "libfaketime is missing, so nothing is proven; install it: cargo xtask setup"
        );
        let wall = store.with_extension("wall");
        turn(&wall, off)?;
        let words = [
            "env".to_owned(),
            format!("LD_PRELOAD={LIBRARY}"),
            format!("FAKETIME_TIMESTAMP_FILE={}", wall.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            // Else files that SQLite looks at would have other times than they have.
            "NO_FAKE_STAT=1".to_owned(),
            binary.to_owned(),
        ];
        let mut server = Server::start(&Start {
            words: words.to_vec(),
            store: store.to_owned(),
            queues: vec!["q".to_owned(), "idle".to_owned()],
        })?;
        let asker = Asker::to(server.ready().await?);
        Ok(Self { server, asker, wall })
    }

    /// Sets the wall.
    pub(super) fn turn(&self, off: i64) -> Result<()> {
        turn(&self.wall, off)
    }

    /// Submits a job; its id, and whether the key stood for it already.
    pub(super) async fn submit(&mut self, key: &str, headers: &[(&str, &str)]) -> Result<(String, bool)> {
        self.submit_to("q", key, headers).await
    }

    /// The same to another queue.
    pub(super) async fn submit_to(
        &mut self,
        queue: &str,
        key: &str,
        headers: &[(&str, &str)],
    ) -> Result<(String, bool)> {
        let mut all = vec![
            ("Content-Type", "text/plain".to_owned()),
            ("Idempotency-Key", key.to_owned()),
        ];
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let taken = self
            .asker
            .with("POST", &format!("/v1/queues/{queue}/jobs"), &all, key.to_owned())
            .await?;
        ensure!(
            [200, 202].contains(&taken.status),
            "a submit of {key} was answered with {}",
            taken.status
        );
        let replayed = taken.header("idempotency-replayed") == "true";
        Ok((taken.header("raincheck-job").to_owned(), replayed))
    }

    /// Claims all that is to be had now.
    pub(super) async fn claim(&mut self) -> Result<Vec<(String, String)>> {
        let claim = json!({"worker": "w", "max": 100, "lease_for": "30s"}).to_string();
        let claimed = self.asker.ask("POST", "/v1/queues/q/claim", claim).await?;
        if claimed.status == 204 {
            return Ok(Vec::new());
        }
        ensure!(
            claimed.status == 200,
            "a claim was answered with {}",
            claimed.status
        );
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let leases = claimed.json()?["leases"].as_array().cloned().unwrap_or_default();
        Ok(leases
            .iter()
            .map(|lease| (text(&lease["job"]["id"]), text(&lease["lease"])))
            .collect())
    }

    /// Where a job stands.
    pub(super) async fn state(&mut self, id: &str) -> Result<String> {
        let job = self
            .asker
            .expect(200, "GET", &format!("/v1/jobs/{id}"), "")
            .await?
            .json()?;
        Ok(job["state"].as_str().unwrap_or_default().to_owned())
    }
}

fn turn(file: &Path, off: i64) -> Result<()> {
    // Whole at any moment, since the server may be reading it.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{off:+}\n"))?;
    Ok(std::fs::rename(new, file)?)
}
