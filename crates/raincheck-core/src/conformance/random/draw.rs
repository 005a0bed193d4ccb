//! Draws the next command: mostly what could succeed, sometimes what is stale, foreign, repeated or nonsense.
//!
//! Invariant: names are few, so that commands meet each other.

use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::emits::emits;
use super::rng::Rng;
use super::values::{
    body, filter, group, group_spec, idempotency, options, patch, priority, queue, quiet_queue, result, some,
    span, spec,
};
use crate::conformance::model::Model;
use crate::conformance::promises::kit::settle;
use crate::content::Input;
use crate::decide::{Claimer, NewJob, Settlement};
use crate::id::{JobId, LeaseId};
use crate::job::{Failure, Job, JobOptions, Phase};
use crate::lease::{Progress, WorkerKind};
use crate::name::{Namespace, WorkerName};
use crate::store::{Claim, Renew, Retry, Settle, Store, Submission};

/// What commands can name: what the run has made so far.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) jobs: Vec<(Namespace, JobId)>,
    /// Ids of submissions that were refused.
    pub(super) refused: Vec<JobId>,
    pub(super) leases: Vec<(Namespace, LeaseId)>,
}

/// How far back commands look most of the time.
const RECENT: usize = 12;

fn recent<T>(of: &[T]) -> &[T] {
    &of[of.len().saturating_sub(RECENT)..]
}

pub(super) fn namespaces() -> [Namespace; 2] {
    [
        Namespace::default(),
        Namespace::new("stranger").expect("the name is plain"),
    ]
}

fn namespace(rng: &mut Rng) -> Namespace {
    let [usual, stranger] = namespaces();
    if rng.one_in(6) { stranger } else { usual }
}

/// What the next command is drawn from.
pub(super) struct World<'a> {
    pub(super) pool: &'a Pool,
    pub(super) model: &'a Model,
    pub(super) store: &'a dyn Store,
    /// Whether the store can be opened again.
    pub(super) durable: bool,
}

/// A job that was made before: a finished, a running, a recent or any one; mostly in its own namespace. Or one that
/// nobody made.
fn job(rng: &mut Rng, world: &World<'_>) -> (Namespace, JobId) {
    let pool = &world.pool.jobs;
    let of_model = |pick: fn(&Job) -> bool| -> Vec<(Namespace, JobId)> {
        let jobs = world.model.jobs().filter(|job| pick(job));
        jobs.map(|job| (job.namespace.clone(), job.id)).collect()
    };
    let found = match rng.below(10) {
        0..3 => rng.pick(&of_model(Job::done)).cloned(),
        3..6 => rng.pick(&of_model(|job| job.lease().is_some())).cloned(),
        6 => rng
            .pick(&of_model(|job| matches!(job.phase, Phase::Waiting)))
            .cloned(),
        7 => rng.pick(recent(pool)).cloned(),
        _ => rng.pick(pool).cloned(),
    };
    let (ns, id) = found.unwrap_or_else(|| (Namespace::default(), world.store.mint()));
    match rng.below(20) {
        0 => (
            ns,
            rng.pick(&world.pool.refused)
                .copied()
                .unwrap_or_else(|| world.store.mint()),
        ),
        1 => (namespace(rng), id),
        _ => (ns, id),
    }
}

fn jobs(rng: &mut Rng, world: &World<'_>) -> (Namespace, Vec<JobId>) {
    let (ns, first) = job(rng, world);
    let more = (0..rng.below(3)).map(|_| job(rng, world).1);
    (ns, std::iter::once(first).chain(more).collect())
}

pub(super) fn lease(rng: &mut Rng, pool: &Pool) -> Option<(Namespace, LeaseId)> {
    let known = if rng.one_in(4) {
        &pool.leases
    } else {
        recent(&pool.leases)
    };
    let (ns, lease) = rng.pick(known).cloned()?;
    match rng.below(25) {
        0 => Some((
            ns,
            LeaseId {
                nonce: rng.nonce(),
                ..lease
            },
        )),
        1 => Some((namespace(rng), lease)),
        _ => Some((ns, lease)),
    }
}

fn submission(rng: &mut Rng, ns: &Namespace, store: &dyn Store) -> Submission {
    let plain = rng.one_in(2);
    let job = NewJob {
        id: store.mint(),
        namespace: ns.clone(),
        queue: queue(rng),
        group: some(rng, 2, group),
        priority: priority(rng),
        run_at: some(rng, 10, |rng| store.now().plus(rng.seconds(0, 60))),
        delay: some(rng, 6, |rng| rng.seconds(0, 60)),
        options: if plain {
            JobOptions::default()
        } else {
            options(rng).into()
        },
        retry_of: None,
        member: None,
    };
    Submission {
        job,
        input: Input {
            content_type: some(rng, 2, |_| "text/plain".to_owned()),
            headers: Vec::new(),
            body: body(rng),
        },
        idempotency: some(rng, 3, idempotency),
        create_queue: rng.one_in(4),
    }
}

fn claim(rng: &mut Rng) -> Claim {
    let kinds = [
        WorkerKind::Pull,
        WorkerKind::Pull,
        WorkerKind::Push,
        WorkerKind::Process,
        WorkerKind::Function,
    ];
    let worker = if rng.one_in(10) { "v" } else { "w" };
    let claimer = Claimer {
        worker: WorkerName::new(worker).expect("the name is plain"),
        kind: rng.pick(&kinds).copied().unwrap_or(WorkerKind::Pull),
        term: rng.millis(500, 60_000),
        claim_id: some(rng, 2, |rng| format!("c{}", rng.below(3))),
    };
    let count = rng.between(0, 4);
    Claim {
        queue: queue(rng),
        claimer,
        nonces: (0..count).map(|_| rng.nonce()).collect(),
        running_max: some(rng, 6, |rng| u32::try_from(rng.between(1, 4)).unwrap_or(1)),
        // Whose turn it is may differ from store to store after that; a promise covers it.
        passing_over: Vec::new(),
    }
}

fn settlement(rng: &mut Rng) -> Settlement {
    match rng.below(10) {
        0..4 => Settlement::succeed(result(rng)),
        4..8 => Settlement::Fail {
            failure: Failure::new("handler-failed", "so it goes"),
            retry: (!rng.one_in(4)).then(|| {
                if rng.one_in(3) {
                    rng.seconds(0, 60)
                } else {
                    Duration::ZERO
                }
            }),
            result: some(rng, 2, result).map(Arc::new),
            timed_out: rng.one_in(4),
        },
        8 => Settlement::Release {
            delay: rng.seconds(0, 9),
            interrupted: rng.one_in(2),
            why: some(rng, 3, |_| Failure::new("handler-unreachable", "nobody is there")),
        },
        _ => Settlement::Cancel,
    }
}

fn settles(rng: &mut Rng, pool: &Pool) -> Option<(Namespace, Vec<Settle>)> {
    let (ns, first) = lease(rng, pool)?;
    let mut batch = vec![first];
    for _ in 0..rng.below(3) {
        batch.extend(lease(rng, pool).map(|(_, lease)| lease));
    }
    let mut batch: Vec<_> = batch
        .into_iter()
        .map(|lease| Settle {
            seed: rng.next(),
            ..settle(lease, settlement(rng))
        })
        .collect();
    if rng.one_in(4) {
        // Nothing is repeated more often than what was just said.
        batch.extend(batch.first().cloned());
    }
    Some((ns, batch))
}

/// The next command.
pub(super) fn draw(rng: &mut Rng, world: &World<'_>) -> Command {
    let World {
        pool, store, durable, ..
    } = *world;
    let slice = u32::try_from(rng.between(1, 6)).unwrap_or(1);
    let ns = namespace(rng);
    match rng.below(110) {
        0..22 => {
            let count = rng.between(1, 4);
            let batch = (0..count).map(|_| submission(rng, &ns, store)).collect();
            Command::Submit(ns, batch)
        }
        22..42 => Command::Claim(ns, claim(rng)),
        42..58 => match settles(rng, pool) {
            Some((ns, batch)) => Command::Settle(ns, batch),
            None => Command::Queues(ns),
        },
        58..62 => match lease(rng, pool) {
            Some((ns, lease)) => {
                let more = (0..rng.below(2))
                    .filter_map(|_| self::lease(rng, pool))
                    .map(|(_, lease)| lease);
                let leases: Vec<_> = std::iter::once(lease).chain(more.collect::<Vec<_>>()).collect();
                let renew = |lease| Renew {
                    lease,
                    term: rng.seconds(0, 60),
                    progress: some(rng, 3, |rng| Progress {
                        fraction: some(rng, 2, |_| 0.5),
                        message: some(rng, 2, |rng| format!("page {}", rng.below(9))),
                    }),
                    defer: rng.one_in(4),
                };
                Command::Renew(ns, leases.into_iter().map(renew).collect())
            }
            None => Command::Queues(ns),
        },
        62..67 => {
            let (ns, ids) = jobs(rng, world);
            Command::Cancel(ns, ids)
        }
        67..71 => {
            let (ns, ids) = jobs(rng, world);
            let retry = |id| Retry {
                id,
                new_id: store.mint(),
            };
            Command::Retry(ns, ids.into_iter().map(retry).collect())
        }
        71..74 => {
            let (ns, ids) = jobs(rng, world);
            Command::Delete(ns, ids)
        }
        74..78 => Command::Reclaim(slice, rng.next()),
        78..80 => Command::Prune(slice),
        80..82 => {
            let (ns, id) = job(rng, world);
            Command::Read(ns, id)
        }
        82 => Command::List(ns, filter(rng, store), slice),
        83 => {
            let (ns, ids) = jobs(rng, world);
            Command::Patch(ns, ids.into_iter().map(|id| (id, patch(rng, store))).collect())
        }
        84 => Command::Replay(ns, queue(rng), idempotency(rng)),
        86 if rng.one_in(4) => Command::ReleaseQueue(ns, queue(rng)),
        85 | 86 => Command::PutQueue(ns, queue(rng), Box::new(spec(rng)), rng.one_in(25)),
        88 => Command::Pause(ns, queue(rng), rng.one_in(2)),
        89 => Command::Pause(ns, queue(rng), false),
        108..110 => {
            let spec = some(rng, 2, group_spec);
            Command::PutGroup(ns, queue(rng), group(rng), spec)
        }
        90 => Command::Purge(ns, quiet_queue(rng), slice),
        87 | 91 => Command::DeleteQueue(rng.pick(&namespaces()).cloned().unwrap_or(ns), quiet_queue(rng)),
        92 if durable => Command::Reopen,
        92..94 => Command::Queues(ns),
        100..108 => match emits(rng, world) {
            Some((ns, batch)) => Command::Emit(ns, batch),
            None => Command::Queues(ns),
        },
        _ => Command::Advance(span(rng)),
    }
}
