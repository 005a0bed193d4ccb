//! The pull workers: claim, work, renew, settle, give back, or vanish with the jobs in their hands.
//!
//! Invariant: an answer that was lost is asked for again in the same words, until the server has said what became of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::desk::{Desk, How};
use super::http::{Client, Sent};
use super::plan::WORKED;
use crate::ledger::{Deed, Event, Handed, JobId, Request, Settle, Token};
use crate::rng::Rng;

/// How long a worker that means to finish holds a job: far longer than a restart takes.
const TERM: Duration = Duration::from_secs(30);
/// The shortest term there is, for workers that vanish or come too late.
const SHORT_TERM: Duration = Duration::from_secs(1);

/// A job in this worker's hands.
#[derive(Debug)]
struct Held {
    job: JobId,
    token: Token,
    lease: String,
    /// Until when the lease cannot be over.
    fresh_until: Instant,
}

/// One worker, until the desk sends it home.
pub(super) async fn worker(desk: Arc<Desk>, mut rng: Rng, name: u64) {
    let mut address = desk.address.subscribe();
    let mut client = Client::default();
    let mut claims = 0;
    while !desk.workers_home() {
        claims += 1;
        let short = rng.chance(1, 8);
        let claim = json!({
            "worker": format!("worker-{name}"),
            "max": 1 + rng.below(4),
            "lease_for": format!("{}s", if short { SHORT_TERM } else { TERM }.as_secs()),
            "claim_id": format!("claim-{name}-{claims}"),
        });
        for held in take(&desk, &mut client, &mut address, &claim, short).await {
            attempt(&desk, &mut rng, &mut client, &mut address, held, short).await;
        }
    }
}

type Address = tokio::sync::watch::Receiver<Option<SocketAddr>>;

/// Where the server is, as soon as there is one; `None` now and then, so that a worker can be sent home.
async fn server(address: &mut Address) -> Option<SocketAddr> {
    let patience = Duration::from_millis(100);
    let found = tokio::time::timeout(patience, address.wait_for(Option::is_some)).await;
    *found.ok()?.ok()?
}

/// Claims, and writes down what was handed out. A claim whose answer was lost is repeated under its `claim_id`.
async fn take(
    desk: &Desk,
    client: &mut Client,
    address: &mut Address,
    claim: &Value,
    short: bool,
) -> Vec<Held> {
    let path = format!("/v1/queues/{WORKED}/claim");
    let headers = [
        ("Content-Type", "application/json".to_owned()),
        ("Prefer", "wait=1".to_owned()),
    ];
    // From before the claim was first sent, so that the lease's term is certainly longer than this.
    let fresh_until = Instant::now() + if short { Duration::ZERO } else { TERM / 2 };
    let (server, body) = loop {
        if desk.workers_home() {
            return Vec::new();
        }
        let Some(to) = server(address).await else {
            continue;
        };
        let number = desk.ledger().server();
        let sent = client
            .send(to, "POST", &path, &headers, Bytes::from(claim.to_string()))
            .await;
        match sent {
            Sent::Answered {
                status: 200,
                body: Some(body),
                ..
            } => break (number, body),
            Sent::Answered {
                status: 200,
                body: None,
                ..
            }
            | Sent::Lost
            | Sent::Unsent
            | Sent::Silent => {}
            Sent::Answered { .. } => return Vec::new(),
        }
    };
    let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
        return Vec::new();
    };
    let leases = answer["leases"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let mut held = Vec::new();
    for lease in leases {
        let token = lease["input"]["text"].as_str().and_then(Token::find);
        let job = lease["job"]["id"].as_str().map(JobId::from);
        desk.record(Event::Handed(Handed {
            job: job.clone(),
            token,
            fence: lease["fence"].as_u64(),
            attempt: lease["job"]["attempt"].as_u64(),
            live: true,
            server,
        }));
        if let (Some(job), Some(token), Some(lease)) = (job, token, lease["lease"].as_str()) {
            held.push(Held {
                job,
                token,
                lease: lease.to_owned(),
                fresh_until,
            });
        }
    }
    held
}

/// Works on one job and settles, or does something worse.
async fn attempt(
    desk: &Desk,
    rng: &mut Rng,
    client: &mut Client,
    address: &mut Address,
    held: Held,
    short: bool,
) {
    if short {
        if rng.chance(1, 2) {
            // It vanishes: the lease lapses.
            return;
        }
        // It comes too late, or nearly so.
        tokio::time::sleep(Duration::from_millis(800 + rng.below(1_500))).await;
    } else {
        tokio::time::sleep(Duration::from_millis(rng.below(40))).await;
    }
    if rng.chance(1, 6) {
        settle(desk, client, address, &held, Deed::Renew).await;
    }
    let deed = match rng.below(10) {
        0..=6 => Deed::Succeed(desk.marker()),
        7..=8 => Deed::Fail,
        _ => Deed::Release,
    };
    settle(desk, client, address, &held, deed).await;
    if rng.chance(1, 6) && matches!(deed, Deed::Succeed(_)) {
        // The same again is harmless.
        settle(desk, client, address, &held, deed).await;
    }
}

/// Does this with the lease, again and again until the server answers.
async fn settle(desk: &Desk, client: &mut Client, address: &mut Address, held: &Held, deed: Deed) {
    let json = "application/json".to_owned();
    let (verb, content_type, body) = match deed {
        Deed::Renew => ("renew", json, format!(r#"{{"lease_for":"{}s"}}"#, TERM.as_secs())),
        Deed::Succeed(marker) => (
            "succeed",
            "text/plain".to_owned(),
            format!("done {} {marker}\n", held.token),
        ),
        Deed::Fail => (
            "fail",
            json,
            format!(r#"{{"error":{{"code":"tired","detail":"{}"}}}}"#, held.token),
        ),
        Deed::Release => ("release", json, r#"{"delay":"20ms"}"#.to_owned()),
    };
    let path = format!("/v1/leases/{}/{verb}", held.lease);
    let headers = [("Content-Type", content_type)];
    let mut first = true;
    while !desk.workers_home() {
        let Some(to) = server(address).await else {
            continue;
        };
        let request = Request::Settle(Settle {
            job: held.job.clone(),
            deed,
            // Only a success stays settled: what failed or was given back may be in other hands when it is repeated.
            fresh: Instant::now() < held.fresh_until
                && (first || matches!(deed, Deed::Succeed(_) | Deed::Renew)),
        });
        let how = How {
            method: "POST",
            path: &path,
            headers: &headers,
            body: Bytes::from(body.clone()),
        };
        if desk.call(client, to, &request, how).await.is_some() {
            return;
        }
        first = false;
    }
}
