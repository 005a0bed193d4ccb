//! The pulling worker from its first claim to its end.
//!
//! Invariant: leaving takes a bounded time, whatever hangs; what is left undone then is said, and the exit code tells.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raincheck::core::queue::BODY_MAX_LIMIT;
use raincheck::core::time::format_duration;
use raincheck::random::Randomness;
use raincheck::room::{Room, Shares};
use raincheck::tasks::{Group, TaskKind};
use raincheck::workers::process::{Environment, Program, Within};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Places};
use super::leases::Held;
use super::report::Contact;
use super::{Settings, Work, claim};
use crate::exit::{Exit, Failed};
use crate::output::visible;
use crate::session::Session;
use crate::signals::Signals;

/// How much of a drain is kept for stopping what still runs, and for giving it back.
const WIND_DOWN_MAX: Duration = Duration::from_secs(2);
/// How long after a drain the last settlements may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Works until told to stop, or until there is nothing more to do.
pub(super) async fn run(
    work: Work,
    within: Within,
    session: &Session,
    settings: Settings,
) -> Result<(), Failed> {
    // From here on signals are ours, so that none can end the process between two steps.
    let mut signals = Signals::new()?;
    let drain = work.drain;
    let bench = Arc::new(bench(work, within, session, settings));
    hello(&bench);
    let services = Group::new("services");
    let renewing = bench
        .held
        .clone()
        .renew(bench.contact.clone(), bench.random.clone());
    services.spawn(TaskKind::Upkeep, renewing);
    let claims = Group::new("claims");
    claims.spawn(TaskKind::Service, claim::run(bench.clone()));
    let finished = async {
        claims.idle().await;
        bench.attempts.idle().await;
    };
    tokio::pin!(finished);
    tokio::select! {
        () = &mut finished => {}
        signal = signals.next() => {
            bench.stopping.cancel();
            let running = bench.attempts.running();
            bench.output().note(&format!(
                "{signal}: claiming nothing more; {running} running, which get {}",
                format_duration(drain)
            ));
            tokio::select! {
                () = leave(&bench, drain, finished.as_mut()) => {}
                _ = signals.next() => {
                    bench.attempts.abort();
                    return Err(Failed::silent(Exit::Interrupted));
                }
            }
        }
    }
    services.abort();
    end(&bench)
}

fn bench(work: Work, within: Within, session: &Session, settings: Settings) -> Bench {
    let worker = work.name();
    let more = vec![
        ("RAINCHECK_URL", session.client.address.to_string()),
        ("RAINCHECK_WORKER", worker.to_string()),
    ];
    Bench {
        contact: Contact::new(session.clone()),
        session: session.clone(),
        worker,
        lease_for: work.lease,
        result_type: work.result_type.clone().or(settings.result_type),
        result_max: settings.result_max.unwrap_or(BODY_MAX_LIMIT),
        room: Room::new(Shares::default().results),
        exit_when_empty: work.exit_when_empty,
        random: Randomness::default(),
        held: Held::default(),
        attempts: Group::new("attempts"),
        places: Places::new(work.concurrency(), work.max_jobs),
        place_freed: Arc::new(Notify::new()),
        stopping: CancellationToken::new(),
        closing: watch::Sender::new(None),
        giving_up: CancellationToken::new(),
        failed: Mutex::default(),
        lost: AtomicUsize::new(0),
        queue: work.queue,
        program: Program::new(work.argv, Environment::AllAnd(more)).within(within),
    }
}

fn hello(bench: &Bench) {
    let many = bench.places.all();
    bench.output().note(&format!(
        "working {} at {} as {}, {many} at once; Ctrl-C stops",
        bench.queue,
        bench.session.client.address,
        visible(bench.worker.as_str())
    ));
}

/// Lets attempts finish within the drain, gives back the rest. Returns within the drain and a few seconds.
async fn leave(bench: &Bench, drain: Duration, mut finished: std::pin::Pin<&mut impl Future<Output = ()>>) {
    let wind_down = (drain / 5).min(WIND_DOWN_MAX);
    let stop_at = Instant::now() + drain.saturating_sub(wind_down);
    if timeout_at(stop_at, finished.as_mut()).await.is_ok() {
        return;
    }
    // What is left of the time is for giving back what has to stop.
    bench
        .closing
        .send_replace(Some(stop_at + wind_down.mul_f32(0.75)));
    let end = stop_at + wind_down + LAST_WORDS;
    if timeout_at(end, finished.as_mut()).await.is_ok() {
        return;
    }
    bench.giving_up.cancel();
    if timeout_at(end + LAST_WORDS, finished).await.is_err() {
        bench.attempts.abort();
    }
}

/// How the worker ends.
fn end(bench: &Bench) -> Result<(), Failed> {
    let failed = bench
        .failed
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    if let Some(failed) = failed {
        return Err(failed);
    }
    match bench.lost.load(Ordering::SeqCst) {
        0 => Ok(()),
        lost => Err(Failed::new(
            Exit::Unreachable,
            format!("what came of {lost} attempt(s) could not be brought to the server"),
        )),
    }
}
