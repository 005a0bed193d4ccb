//! Limits and retention across a wall that is set under a running server.
//!
//! Invariant: that nothing has ended is looked at only after upkeep has ended what was to end by then.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::clock::{SOON, followed};
use super::wall::Turned;

/// How far the wall is set ahead: more than all that is left to any of the jobs.
const AHEAD: i64 = 3 * 3_600;
/// What is left to them.
const LEFT: &str = "30m";

/// Sets the wall ahead under a server with jobs that have less than that left: to be started, to be done, to be kept. Started
/// again, it has ended none of them.
pub(super) async fn prove(binary: &str, store: &Path) -> Result<()> {
    let mut turned = Turned::start(binary, store, 0).await?;
    let kept = done(&mut turned, "kept", LEFT).await?;
    let gone = done(&mut turned, "gone", "1s").await?;
    let starting = [("Raincheck-Start-Before", LEFT)];
    let (starting, _) = turned.submit_to("idle", "starting", &starting).await?;
    let ending = [("Raincheck-Deadline", LEFT)];
    let (ending, _) = turned.submit_to("idle", "ending", &ending).await?;
    turned.submit("held", &[("Raincheck-Timeout", "12h")]).await?;
    let (_, lease) = turned.claim().await?.pop().context("the job is claimed")?;
    turned.turn(AHEAD)?;
    followed(&mut turned, &lease, AHEAD).await?;
    still(&mut turned, &starting, &ending).await?;
    turned.server.kill().await?;
    turned = Turned::start(binary, store, AHEAD).await?;
    let began = Instant::now();
    while result(&mut turned, &gone).await? != 410 {
        ensure!(
            began.elapsed() < SOON,
            "what was to be kept for a second is still there"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let status = result(&mut turned, &kept).await?;
    ensure!(
        status == 200,
        "a result that was to be kept for half an hour: {status}"
    );
    still(&mut turned, &starting, &ending).await?;
    turned.server.kill().await?;
    Ok(())
}

/// A job that is done, and kept for so long.
async fn done(turned: &mut Turned, key: &str, keep: &str) -> Result<String> {
    let (id, _) = turned.submit(key, &[("Raincheck-Keep", keep)]).await?;
    let (_, lease) = turned.claim().await?.pop().context("the job is claimed")?;
    turned
        .asker
        .expect(200, "POST", &format!("/v1/leases/{lease}/succeed"), "1")
        .await?;
    Ok(id)
}

async fn result(turned: &mut Turned, id: &str) -> Result<u16> {
    let path = format!("/v1/jobs/{id}/result");
    Ok(turned.asker.ask("GET", &path, "").await?.status)
}

async fn still(turned: &mut Turned, starting: &str, ending: &str) -> Result<()> {
    for id in [starting, ending] {
        let state = turned.state(id).await?;
        ensure!(state == "queued", "a job that had half an hour left is {state}");
    }
    Ok(())
}
