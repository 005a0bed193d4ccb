//! Looking at what is there: after each restart at what the last server was told, at the end at everything.
//!
//! Invariant: an audit only asks; the ledger judges.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::desk::Desk;
use super::http::{Client, Sent};
use super::plan::{PULL, QUEUES, Spec};
use crate::ledger::{Event, JobId, Request, Submit};

/// How many clients look at once.
const EYES: usize = 8;
/// How long jobs may take to reach their end once no server is killed any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// Asks each job this, several at once.
pub(crate) async fn ask(
    desk: &Arc<Desk>,
    to: SocketAddr,
    jobs: Vec<JobId>,
    what: fn(JobId) -> Request,
    wait: u64,
) {
    let jobs = Arc::new(jobs);
    let next = Arc::new(AtomicUsize::new(0));
    let mut eyes = JoinSet::new();
    for _ in 0..EYES {
        let (desk, jobs, next) = (desk.clone(), jobs.clone(), next.clone());
        eyes.spawn(async move {
            let mut client = Client::default();
            while let Some(id) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                desk.ask(&mut client, to, what(id.clone()), wait).await;
            }
        });
    }
    eyes.join_all().await;
}

/// Reads documents and results of these jobs.
pub(crate) async fn look(desk: &Arc<Desk>, to: SocketAddr, jobs: Vec<JobId>) {
    ask(desk, to, jobs.clone(), Request::Read, 0).await;
    ask(desk, to, jobs, Request::Redeem, 0).await;
}

/// Repeats every submission in doubt under its key.
pub(crate) async fn resolve(desk: &Desk, to: SocketAddr) {
    let mut client = Client::default();
    let doubtful: Vec<Submit> = desk.ledger().in_doubt().cloned().collect();
    for submit in doubtful {
        desk.submit(&mut client, to, Spec::new(desk.seed, submit.token))
            .await;
    }
}

/// Cancels what nobody will ever work.
pub(crate) async fn purge(to: SocketAddr) -> Result<()> {
    let mut client = Client::default();
    let path = format!("/v1/queues/{PULL}/purge");
    loop {
        let sent = client.send(to, "POST", &path, &[], Bytes::new()).await;
        let Sent::Answered {
            status: 200,
            body: Some(body),
            ..
        } = sent
        else {
            bail!("purging {PULL}: {sent:?}");
        };
        let said: Value = serde_json::from_slice(&body).context("a purge answers with JSON")?;
        match said["cancelled"].as_u64() {
            Some(0) => return Ok(()),
            Some(_) => {}
            None => bail!("a purge answered {said}"),
        }
    }
}

/// Waits until every known job is finished, or its time is up; the ledger then says which are not.
pub(crate) async fn settle(desk: &Arc<Desk>, to: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        // A delayed job may still surface in the pull queue: purge again.
        purge(to).await?;
        let open: Vec<JobId> = desk.ledger().unfinished().cloned().collect();
        if open.is_empty() || Instant::now() > deadline {
            desk.record(Event::Settled);
            return Ok(());
        }
        ask(desk, to, open, Request::Read, 2).await;
    }
}

/// Compares each queue's own count with the ledger's. Counts may be a moment old, so they get a moment.
pub(crate) async fn count(desk: &Desk, to: SocketAddr) -> Result<()> {
    for queue in QUEUES {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let jobs = counted(to, queue).await?;
            let fits = desk.ledger().expected(queue).contains(&jobs);
            if fits || Instant::now() > deadline {
                desk.record(Event::Counted {
                    queue: queue.into(),
                    jobs,
                });
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn counted(to: SocketAddr, queue: &str) -> Result<u64> {
    let mut client = Client::default();
    let sent = client
        .send(to, "GET", &format!("/v1/queues/{queue}"), &[], Bytes::new())
        .await;
    let Sent::Answered {
        status: 200,
        body: Some(body),
        ..
    } = sent
    else {
        bail!("asking for queue {queue}: {sent:?}");
    };
    let status: Value = serde_json::from_slice(&body).context("a queue is shown as JSON")?;
    let counts = status["counts"]
        .as_object()
        .with_context(|| format!("no counts in {status}"))?;
    Ok(counts.values().filter_map(Value::as_u64).sum())
}

/// Deletes old finished jobs, sees that they are gone, and forgets them, so that a run of thousands of cycles
/// stays as small as one of a hundred.
pub(crate) async fn retire(desk: &Arc<Desk>, to: SocketAddr, keep: usize) {
    let jobs = desk.jobs_from(0);
    let old = jobs.len().saturating_sub(keep);
    let old: Vec<JobId> = {
        let ledger = desk.ledger();
        let done = |id: &&JobId| ledger.is_finished(id) || ledger.is_gone(id);
        jobs[..old].iter().filter(done).cloned().collect()
    };
    ask(desk, to, old.clone(), Request::Delete, 0).await;
    ask(desk, to, old.clone(), Request::Read, 0).await;
    let retired: Vec<JobId> = {
        let mut ledger = desk.ledger();
        // A submission's jobs retire together: those of its later retries may already be gone from here.
        old.into_iter()
            .filter(|id| ledger.retire(id) || !ledger.is_known(id))
            .collect()
    };
    desk.forget(&retired);
}
