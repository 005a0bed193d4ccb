//! One schedule from its seed to its end.
//!
//! ```text
//! open ─► node, workers, clients, faults ─(crash or drain, open again)─► … ─► the faults stop ─► all is final ─► look at all
//! ```
//!
//! Invariant: nothing here waits for real time, and everything is decided by the seed.

use std::sync::Arc;
use std::time::Duration;

use raincheck::tasks::TaskKind;
use raincheck_core::store::Store;
use tokio::time::{Instant, sleep};

use crate::broken::Bug;
use crate::client::{Client, queue_name, set_paused};
use crate::engine;
use crate::log::{Cover, Log};
use crate::plan::{Ending, Faults, Plan};
use crate::rng::Rng;
use crate::worker::Worker;
use crate::world::World;

/// How long after the faults stopped every job must be final: the longest wait of a job (4 s and its backoffs of 3 s), a
/// lease (5 s), an attempt's time (12 s), and the engine's own pauses (5 s to 10 s), with room to spare.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// How often the schedule itself looks how it goes.
const LOOK: Duration = Duration::from_millis(300);

/// So many of a hundred schedules go on for some days, until nothing of them is left.
const LATER_PERCENT: u64 = 8;
/// More than a job is kept when it has not failed, and than its tombstone lasts.
const LATER: Duration = Duration::from_secs(25 * 3600);
/// More than upkeep takes to see what is over.
const SEEN_WITHIN: Duration = Duration::from_secs(12);

/// What came of a schedule.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) log: Log,
    pub(crate) cover: Cover,
    /// The rule that was broken, where one was.
    pub(crate) broken: Option<String>,
}

/// Runs one schedule.
pub(crate) fn schedule(seed: u64, bug: Option<Bug>) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs a few file descriptors");
    runtime.block_on(async {
        let world = World::new(Plan::new(seed), bug);
        live(&world).await;
        world.end("over");
        world.tasks.abort();
        let mut state = world.state();
        Ended {
            log: std::mem::take(&mut state.log),
            cover: std::mem::take(&mut state.checker.cover),
            broken: state.checker.broken.take(),
        }
    })
}

async fn live(world: &Arc<World>) {
    let plan = &world.plan;
    let mut rng = plan.rng.clone();
    // The world took the first stream.
    rng.fork();
    let door = world.open();
    for (name, spec) in &plan.queues {
        let put = door
            .put_queue(&world.ns, &queue_name(name), spec.clone(), false)
            .await;
        put.expect("nothing goes wrong yet")
            .expect("the queue is nobody's");
    }
    engine::start(world, &mut rng).await;
    world.state().faults = plan.faults;
    for name in 0..plan.workers {
        let worker = Worker::new(world.clone(), rng.fork(), name);
        world.tasks.spawn(TaskKind::Upkeep, worker.run());
    }
    if !plan.node {
        world
            .tasks
            .spawn(TaskKind::Upkeep, upkeep(world.clone(), rng.fork()));
    }
    let clients = raincheck::tasks::Group::new("clients");
    for name in 0..plan.clients {
        let client = Client::new(world.clone(), rng.fork(), name);
        clients.spawn(TaskKind::Errand, client.run());
    }
    let began = Instant::now();
    let mut endings = plan.endings.iter();
    let mut next = endings.next();
    while clients.running() > 0 || next.is_some() {
        sleep(LOOK).await;
        if world.broken() {
            return;
        }
        let due = next.filter(|(after, _)| began.elapsed() >= *after);
        let failed = world.state().poisoned;
        if let Some((_, ending)) = due {
            next = endings.next();
            end(world, *ending, &mut rng).await;
        } else if failed {
            end(world, Ending::Crash, &mut rng).await;
        }
    }
    world.event("calm", None, "the faults stop");
    settle_down(world, &mut rng).await;
    if rng.chance(LATER_PERCENT) {
        days_later(world).await;
    }
    let panics = world.tasks.panics() + clients.panics();
    let mut state = world.state();
    state
        .checker
        .rule(panics == 0, "the simulation itself does not panic", || {
            panics.to_string()
        });
}

/// Ends the present run and opens the next.
async fn end(world: &Arc<World>, ending: Ending, rng: &mut Rng) {
    let node = world.state().node.clone();
    match (ending, node) {
        (Ending::Drain, Some(node)) => {
            world.hit("node drained");
            node.shutdown().await;
            world.end("drained");
        }
        (Ending::Drain, None) | (Ending::Crash, _) => {
            world.hit("crash");
            world.end("crashed");
        }
    }
    sleep(rng.ms(0, 1_500)).await;
    let faults = std::mem::take(&mut world.state().faults);
    world.open();
    engine::start(world, rng).await;
    world.state().faults = if world.quiet() { Faults::default() } else { faults };
}

/// What a node does for those who have none.
async fn upkeep(world: Arc<World>, mut rng: Rng) {
    loop {
        // It is tried again soon, whatever came of it.
        let _ = world.door().reclaim(500, rng.next()).await;
        if rng.chance(20) {
            let _ = world.door().prune(200).await;
        }
        let pause = if world.quiet() {
            1_000
        } else {
            rng.between(200, 1_500)
        };
        sleep(Duration::from_millis(pause)).await;
    }
}

/// The faults stop: within bounded time every job is final (G4), and everything is as it was told.
async fn settle_down(world: &Arc<World>, rng: &mut Rng) {
    world.calm_down();
    let failed = world.state().poisoned || (world.plan.node && world.state().node.is_none());
    if failed {
        end(world, Ending::Crash, rng).await;
    }
    for (name, _) in &world.plan.queues {
        let resumed = set_paused(world, &queue_name(name), false).await;
        world
            .state()
            .checker
            .rule(resumed, "a calm store is there", || (*name).to_owned());
    }
    let calm = Instant::now();
    while world.state().checker.unfinished() > 0 && calm.elapsed() < SETTLED_WITHIN && !world.broken() {
        sleep(LOOK).await;
    }
    world.look_at_all();
    let mut state = world.state();
    let left = state.checker.unfinished();
    let summary = if left > 0 {
        state.checker.summary()
    } else {
        String::new()
    };
    state.checker.rule(
        left == 0,
        "when the faults have stopped every job becomes final (G4)",
        || summary,
    );
    let failed = state.node.as_ref().and_then(raincheck::Node::failed);
    state
        .checker
        .rule(failed.is_none(), "a calm node does not fail", || {
            failed.clone().unwrap_or_default()
        });
}

/// What is finished is forgotten, then its tombstone and key; what is kept longer stays as it is.
async fn days_later(world: &Arc<World>) {
    for _ in 0..2 {
        tokio::time::advance(LATER).await;
        sleep(SEEN_WITHIN).await;
        world.look_at_all();
    }
}
