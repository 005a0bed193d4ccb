//! The real server on a clock that jumps by hours, forwards and back.
//!
//! Invariant: the wall is turned by a file that the server's process reads at every look at it, and nothing else is: what
//! runs by the monotonic clock goes on as on a real machine whose time is set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ask::Asker;
use crate::soak::server::{Server, Start};

/// Where Debian puts the library that tells programs another time.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// How soon a job that is due may be handed out: far less than any jump.
const SOON: Duration = Duration::from_secs(5);

/// A job that is held all along: its attempt may take long, and a wall that is hours off counts as time that it took.
const HELD: &[(&str, &str)] = &[("Raincheck-Timeout", "12h")];
/// A job that is done at once.
const DONE: &[(&str, &str)] = &[("Raincheck-Keep", "2h")];

/// A server whose wall is turned by hand.
struct Turned {
    server: Server,
    asker: Asker,
    wall: PathBuf,
}

impl Turned {
    /// Starts a server whose wall is off by so many seconds.
    async fn start(binary: &str, store: &Path, off: i64) -> Result<Self> {
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
            queues: vec!["q".to_owned()],
        })?;
        let asker = Asker::to(server.ready().await?);
        Ok(Self { server, asker, wall })
    }

    /// Sets the wall.
    fn turn(&self, off: i64) -> Result<()> {
        turn(&self.wall, off)
    }

    async fn submit(&mut self, key: &str, headers: &[(&str, &str)]) -> Result<(String, bool)> {
        let mut all = vec![
            ("Content-Type", "text/plain".to_owned()),
            ("Idempotency-Key", key.to_owned()),
        ];
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let taken = self
            .asker
            .with("POST", "/v1/queues/q/jobs", &all, key.to_owned())
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
    async fn claim(&mut self) -> Result<Vec<(String, String)>> {
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

    /// What the server's own account of the day is, in seconds since 1970.
    async fn date(&mut self) -> Result<String> {
        Ok(self
            .asker
            .expect(200, "GET", "/healthz", "")
            .await?
            .header("date")
            .to_owned())
    }

    async fn state(&mut self, id: &str) -> Result<String> {
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

/// Everything that has a time, before, across and after jumps.
pub(super) async fn prove(binary: &str, dir: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let store = dir.join("clock");
    let hour = 3_600_i64;
    let mut turned = Turned::start(binary, &store, 0).await?;
    let before = turned.date().await?;

    let (held, _) = turned.submit("held", HELD).await?;
    let (_, lease) = turned.claim().await?.pop().context("the job is claimed")?;
    let (done, _) = turned.submit("done", DONE).await?;
    let (_, ended) = turned.claim().await?.pop().context("the job is claimed")?;
    turned
        .asker
        .expect(200, "POST", &format!("/v1/leases/{ended}/succeed"), "\"kept\"")
        .await?;
    let (expiring, _) = turned
        .submit(
            "expiring",
            &[("Raincheck-Delay", "1h"), ("Raincheck-Start-Before", "30m")],
        )
        .await?;

    let jumps = [
        3 * hour,
        -5 * hour,
        10 * 365 * 24 * hour,
        -20 * 365 * 24 * hour,
        0,
    ];
    for (n, jump) in jumps.into_iter().enumerate() {
        turned.turn(jump)?;
        if n == 0 {
            ensure!(
                turned.date().await? != before,
                "the wall was not turned, so nothing is proven"
            );
        }
        let what = format!("after the wall was set {jump:+} s off");
        across(&mut turned, &held, &lease, &done, &expiring, n)
            .await
            .with_context(|| what)?;
    }
    restarts(turned, binary, &store, &held, &lease, &done, &expiring).await?;
    say(
        "clock: 5 jumps of hours and years under a running server, 3 restarts hours off: leases lived and were renewed, no job ran \
         twice, due jobs came when due, results and idempotency keys stayed",
    );
    Ok(())
}

/// What must be as if nothing had happened.
async fn across(
    turned: &mut Turned,
    held: &str,
    lease: &str,
    done: &str,
    expiring: &str,
    n: usize,
) -> Result<()> {
    ensure!(
        turned.claim().await?.is_empty(),
        "a job was handed out that is held, done or not due"
    );
    ensure!(turned.state(held).await? == "running", "the job that is held");
    ensure!(turned.state(done).await? == "succeeded", "the job that is done");
    ensure!(
        turned.state(expiring).await? == "scheduled",
        "the job that is due in an hour"
    );
    turned
        .asker
        .expect(
            200,
            "POST",
            &format!("/v1/leases/{lease}/renew"),
            r#"{"lease_for":"30s"}"#,
        )
        .await?;
    let kept = turned
        .asker
        .expect(200, "GET", &format!("/v1/jobs/{done}/result"), "")
        .await?;
    ensure!(&*kept.body == b"\"kept\"", "the result");
    for (key, id) in [("held", held), ("done", done)] {
        let headers = if key == "done" { DONE } else { HELD };
        ensure!(
            turned.submit(key, headers).await? == (id.to_owned(), true),
            "the key of the job {key}"
        );
    }
    // What is due shortly comes shortly, and once.
    let (due, _) = turned
        .submit(&format!("due-{n}"), &[("Raincheck-Delay", "300ms")])
        .await?;
    let asked = Instant::now();
    ensure!(
        turned.claim().await?.is_empty(),
        "a job was handed out before it was due"
    );
    let claimed = loop {
        let claimed = turned.claim().await?;
        if !claimed.is_empty() {
            break claimed;
        }
        ensure!(
            asked.elapsed() < SOON,
            "a job was not handed out {SOON:?} after it was submitted"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    ensure!(
        claimed.len() == 1 && claimed[0].0 == due,
        "the job that was due: {claimed:?}"
    );
    turned
        .asker
        .expect(200, "POST", &format!("/v1/leases/{}/succeed", claimed[0].1), "1")
        .await?;
    Ok(())
}

/// Opened again with the wall hours off, a store gives each lease its whole term, and keeps what it may keep.
async fn restarts(
    mut turned: Turned,
    binary: &str,
    store: &Path,
    held: &str,
    lease: &str,
    done: &str,
    expiring: &str,
) -> Result<()> {
    for (n, off) in [-4 * 3_600_i64, 1_800, -7 * 24 * 3_600].into_iter().enumerate() {
        turned.server.kill().await?;
        turned = Turned::start(binary, store, off).await?;
        let what = format!("started again with the wall {off:+} s off");
        across(&mut turned, held, lease, done, expiring, 10 + n)
            .await
            .with_context(|| what)?;
    }
    turned
        .asker
        .expect(200, "POST", &format!("/v1/leases/{lease}/succeed"), "\"late\"")
        .await?;
    ensure!(
        turned.state(held).await? == "succeeded",
        "the job that was held all along"
    );
    turned.server.kill().await?;
    // Hours later by the wall, what was to be kept for two is gone, and what was to start within 30 minutes expired.
    turned = Turned::start(binary, store, 9 * 3_600).await?;
    let gone = Instant::now();
    loop {
        let status = turned
            .asker
            .ask("GET", &format!("/v1/jobs/{done}/result"), "")
            .await?
            .status;
        if status == 410 && turned.state(expiring).await? == "expired" {
            break;
        }
        ensure!(
            gone.elapsed() < SOON,
            "nine hours later: the result {status}, {}",
            turned.state(expiring).await?
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    turned.server.kill().await?;
    Ok(())
}
