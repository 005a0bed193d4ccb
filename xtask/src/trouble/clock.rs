//! The real server on a clock that jumps by hours, forwards and back.
//!
//! Invariant: each jump is compared with what the time that passed alone would have done.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::limits;
use super::wall::Turned;

/// How soon a job that is due may be handed out: far less than any jump.
pub(super) const SOON: Duration = Duration::from_secs(5);

/// A job that is held all along: its attempt may take long, and a wall that is hours off counts as time that it took.
const HELD: &[(&str, &str)] = &[("Raincheck-Timeout", "12h")];
/// A job that is done at once.
const DONE: &[(&str, &str)] = &[("Raincheck-Keep", "2h")];

/// Everything that has a time, before, across and after jumps.
pub(super) async fn prove(binary: &str, dir: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let mut turned = Turned::start(binary, &dir.join("set"), 0).await?;
    jumps(&mut turned).await?;
    turned.server.kill().await?;
    limits::prove(binary, &dir.join("limits")).await?;

    // A store of its own: ids of the one above were made years ahead, which tells a start that time was set back since.
    let store = dir.join("clock");
    let mut turned = Turned::start(binary, &store, 0).await?;
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
    restarts(turned, binary, &store, &held, &lease, &done, &expiring).await?;
    say(
        "clock: 7 jumps of hours and years under a running server, which followed each within seconds, 3 restarts hours off: leases \
         lived and were renewed, no job ran twice, due jobs came when due, results and idempotency keys stayed; \
         nothing that had half an hour left ended by a jump of three",
    );
    Ok(())
}

/// The wall is set under a running server: what is due by it comes, what was due stays due, and a lease is as long as it was.
async fn jumps(turned: &mut Turned) -> Result<()> {
    let hour = 3_600_i64;
    let year = 365 * 24 * hour;
    let (held, _) = turned.submit("across", HELD).await?;
    let (_, lease) = turned.claim().await?.pop().context("the job is claimed")?;
    let mut scheduled: Vec<(i64, String)> = Vec::new();
    let all = [
        3 * hour,
        -5 * hour,
        10 * year,
        -10 * year,
        0,
        10 * year + 2 * hour,
        0,
    ];
    let mut before = 0;
    for (n, off) in all.into_iter().enumerate() {
        let (id, _) = turned
            .submit(&format!("ahead-{n}"), &[("Raincheck-Delay", "1h")])
            .await?;
        scheduled.push((before + hour, id));
        let (waiting, _) = turned.submit(&format!("waiting-{n}"), &[]).await?;
        turned.turn(off)?;
        before = off;
        let what = format!("after the wall was set {off:+} s off");
        followed(turned, &lease, off)
            .await
            .with_context(|| what.clone())?;
        let due: Vec<_> = scheduled
            .extract_if(.., |(due, _)| *due <= off)
            .map(|(_, id)| id)
            .collect();
        let expected = due.into_iter().chain([waiting]).collect();
        taken(turned, expected).await.with_context(|| what.clone())?;
        ensure!(
            turned.state(&held).await? == "running",
            "{what}: the job that is held"
        );
    }
    turned
        .asker
        .expect(200, "POST", &format!("/v1/leases/{lease}/succeed"), "1")
        .await?;
    Ok(())
}

/// Waits until the server's time is the wall's: told by when a lease of 30 s ends.
pub(super) async fn followed(turned: &mut Turned, lease: &str, off: i64) -> Result<()> {
    let began = Instant::now();
    loop {
        let renewed = turned
            .asker
            .expect(
                200,
                "POST",
                &format!("/v1/leases/{lease}/renew"),
                r#"{"lease_for":"30s"}"#,
            )
            .await?
            .json()?;
        let text = renewed["expires_at"].as_str().unwrap_or_default().to_owned();
        let ends = unix(&text).with_context(|| format!("when the lease ends: {renewed}"))?;
        let wall = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let expected = i64::try_from(wall)? + off + 30;
        if (ends - expected).abs() < 10 {
            return Ok(());
        }
        ensure!(
            began.elapsed() < SOON,
            "the lease ends at {text}, {} s off",
            ends - expected
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes these jobs, each once, and no other.
async fn taken(turned: &mut Turned, mut expected: Vec<String>) -> Result<()> {
    let began = Instant::now();
    while !expected.is_empty() {
        for (id, lease) in turned.claim().await? {
            let place = expected.iter().position(|job| *job == id);
            expected.remove(place.with_context(|| format!("{id} was handed out, which is not due"))?);
            turned
                .asker
                .expect(200, "POST", &format!("/v1/leases/{lease}/succeed"), "1")
                .await?;
        }
        ensure!(began.elapsed() < SOON, "these were not handed out: {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(
        turned.claim().await?.is_empty(),
        "a job was handed out that is not due"
    );
    Ok(())
}

/// The seconds since 1970 of an instant as it is shown, `2026-11-21T02:11:04.123Z`.
fn unix(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Years that begin in March have their odd day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1;
    let seconds = number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    Some((days - 719_468) * 86_400 + seconds)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read() {
        assert_eq!(unix("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(unix("2026-11-21T02:11:04.123Z"), Some(1_795_227_064));
        assert_eq!(unix("2000-02-29T23:59:59.999Z"), Some(951_868_799));
        assert_eq!(unix("soon"), None);
    }
}
