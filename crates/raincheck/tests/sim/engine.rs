//! The node in a schedule: the real engine over the door, with functions in the place of processes.
//!
//! Invariant: what a function does is decided by the seed, the job and the fence, so that it does not matter who asks first.

use std::sync::Arc;
use std::time::Duration;

use raincheck::random::Randomness;
use raincheck::workers::function::{Call, Ended, Function, Functions, StopReason};
use raincheck::{Node, NodeOptions};
use raincheck_core::content::JobResult;
use raincheck_core::job::Failure;
use raincheck_core::retry::mix;
use raincheck_core::store::Store;

use crate::client::queue_name;
use crate::log::number;
use crate::plan::OWN;
use crate::rng::Rng;
use crate::world::World;

/// Starts the node of the present run, where the plan has one. It may come to nothing where the store fails already.
pub(crate) async fn start(world: &Arc<World>, rng: &mut Rng) {
    let random = Randomness::seeded(rng.next());
    if !world.plan.node {
        return;
    }
    let weak = Arc::downgrade(world);
    let work = move |call: Call| {
        let world = weak.upgrade();
        async move {
            match world {
                Some(world) => work(&world, call).await,
                None => Ended::Stopped,
            }
        }
    };
    let options = NodeOptions {
        drain: Duration::from_secs(3),
        cores: 2,
        random,
        functions: Functions([(queue_name(OWN), Function::new(work))].into()),
        ..NodeOptions::default()
    };
    let store: Arc<dyn Store> = world.door();
    match Node::start(store, options).await {
        Ok(node) => {
            world.hit("node started");
            world.state().node = Some(node);
        }
        Err(_) => world.hit("node could not start"),
    }
}

/// Works one job as the seed says.
async fn work(world: &Arc<World>, mut call: Call) -> Ended {
    let id = call.job.id;
    let mut rng = Rng::new(world.plan.seed ^ mix(id.tail() << 8 | u64::from(call.job.fence.0)));
    world.event("attempt", Some(id), "begins");
    world.hit("attempt of the node");
    if world.quiet() {
        return success(&call);
    }
    match rng.below(100) {
        0..35 => {
            tokio::time::sleep(rng.ms(0, 400)).await;
            success(&call)
        }
        // Past several renewals, and maybe past its time.
        35..50 => {
            let work = tokio::time::sleep(rng.ms(500, 9_000));
            tokio::select! {
                biased;
                () = work => success(&call),
                reason = call.stopped() => {
                    world.hit(stopped(reason));
                    Ended::Stopped
                }
            }
        }
        // Told to stop, it succeeds nevertheless.
        50..56 => {
            let work = tokio::time::sleep(rng.ms(500, 6_000));
            tokio::select! {
                biased;
                () = work => {}
                _ = call.stopped() => {}
            }
            success(&call)
        }
        56..72 => Ended::Failed {
            failure: Failure::new("handler-failed", "simulated"),
            retry: rng.chance(75).then(|| rng.ms(0, 600)),
            result: None,
        },
        72..80 => {
            world.hit("function panicked");
            // Without the hook, which would print.
            std::panic::resume_unwind(Box::new("simulated"))
        }
        // Does not listen.
        80..86 => std::future::pending().await,
        _ => {
            let reason = call.stopped().await;
            world.hit(stopped(reason));
            Ended::Stopped
        }
    }
}

const fn stopped(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Cancelled => "function told to cancel",
        StopReason::TimedOut => "function told that its time is over",
        StopReason::Draining => "function told that the node leaves",
        StopReason::LeaseOver => "function told that its lease is over",
        StopReason::Settled => "function told that its job was settled",
    }
}

fn success(call: &Call) -> Ended {
    let text = format!("{} by the node under {}", number(call.job.id), call.job.fence);
    Ended::Succeeded(JobResult::new(200, None, Vec::new(), text.into()))
}
