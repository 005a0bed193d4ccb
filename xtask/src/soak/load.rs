//! The clients: each does at random what people do to a job server, one request after the other.
//!
//! Invariant: what a client does next is drawn from the run's seed; only the server's timing is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::desk::Desk;
use super::http::Client;
use super::plan::Spec;
use crate::ledger::{JobId, Request, Submit};
use crate::rng::Rng;

/// One client, until the desk is closed.
pub(super) async fn client(desk: Arc<Desk>, mut rng: Rng, pause_ms_max: u64) {
    let mut address = desk.address.subscribe();
    let mut client = Client::default();
    loop {
        let to = match address.wait_for(Option::is_some).await {
            Ok(found) => *found,
            Err(_) => return,
        };
        if desk.closing() {
            return;
        }
        let Some(to) = to else {
            continue;
        };
        step(&desk, &mut rng, &mut client, to).await;
        tokio::time::sleep(Duration::from_millis(rng.below(pause_ms_max + 1))).await;
    }
}

async fn step(desk: &Desk, rng: &mut Rng, client: &mut Client, to: SocketAddr) {
    let request: fn(JobId) -> Request = match rng.below(100) {
        0..=36 => return submit(desk, rng, client, to).await,
        37..=44 => return repeat(desk, rng, client, to).await,
        45..=49 => return offend(desk, rng, client, to).await,
        50..=62 => Request::Read,
        63..=80 => Request::Redeem,
        81..=88 => Request::Cancel,
        89..=93 => Request::Retry,
        _ => Request::Delete,
    };
    if let Some(id) = any(desk, rng) {
        let wait = if rng.chance(1, 4) { 1 } else { 0 };
        desk.ask(client, to, request(id), wait).await;
    }
}

/// A job known to somebody, mostly a young one: there the races are.
fn any(desk: &Desk, rng: &mut Rng) -> Option<JobId> {
    let young = rng.chance(3, 4);
    desk.job(|count| place(rng, count, if young { 100 } else { count }))
}

/// A place among the last `window` of `count`.
fn place(rng: &mut Rng, count: usize, window: usize) -> usize {
    let window = window.min(count);
    let within = usize::try_from(rng.below(window as u64)).unwrap_or(0);
    count - window + within
}

async fn submit(desk: &Desk, rng: &mut Rng, client: &mut Client, to: SocketAddr) {
    let spec = Spec::new(desk.seed, desk.token());
    let spec = if rng.chance(1, 8) { spec.waiting() } else { spec };
    let again = spec.submit.key.is_some() && rng.chance(1, 10);
    let repeated = again.then(|| spec.clone());
    desk.submit(client, to, spec).await;
    if let Some(spec) = repeated {
        desk.submit(client, to, spec).await;
    }
}

/// The same submission again: one in doubt if there is one, else one that was acknowledged.
async fn repeat(desk: &Desk, rng: &mut Rng, client: &mut Client, to: SocketAddr) {
    let doubtful: Option<Submit> = {
        let ledger = desk.ledger();
        let open: Vec<&Submit> = ledger.in_doubt().take(20).collect();
        rng.pick(&open).map(|submit| (*submit).clone())
    };
    let submit = doubtful.or_else(|| desk.keyed(|count| place(rng, count, 300)));
    if let Some(submit) = submit {
        desk.submit(client, to, Spec::new(desk.seed, submit.token)).await;
    }
}

/// A submission that must be refused.
async fn offend(desk: &Desk, rng: &mut Rng, client: &mut Client, to: SocketAddr) {
    let taken = desk.keyed(|count| place(rng, count, count));
    let spec = Spec::invalid(desk.seed, desk.token(), taken.as_ref());
    desk.submit(client, to, spec).await;
}
