//! The queues of the configuration go into the store: when the server starts, and when it reads its configuration again.
//!
//! Invariant: all of them are sound before the first is written.

use raincheck::Node;
use raincheck::core::name::{Namespace, QueueName};
use raincheck::core::store::Store;
use tracing::{info, warn};

use crate::config::queues::{Queues, Wanted, dropped, released, wanted};
use crate::exit::{Exit, Failed};

/// Writes them into a store that no node runs over yet; gives back those that the configuration defines.
pub(crate) async fn put(store: &dyn Store, queues: &Queues) -> Result<Vec<Wanted>, Failed> {
    let there = store.all_queues().await.map_err(unwritten)?;
    let mut all = wanted(queues, &there)?;
    for queue in &all {
        tell_of_lost_program(queue, queues);
        let (spec, managed) = (queue.spec.clone(), queue.managed);
        let written = store
            .put_queue(&queue.namespace, &queue.name, spec, managed)
            .await;
        written.map_err(unwritten)?.map_err(unwritten)?;
        for (group, limits) in &queue.groups {
            let written = store
                .put_group(&queue.namespace, &queue.name, group, Some(*limits))
                .await;
            written.map_err(unwritten)?.map_err(unwritten)?;
        }
    }
    all.retain(|queue| queues.contains_key(&queue.name));
    Ok(all)
}

/// What would have to be written, while the node runs.
#[derive(Debug)]
pub(crate) struct Plan {
    wanted: Vec<Wanted>,
    /// Which are nobody's any more.
    released: Vec<(Namespace, QueueName)>,
}

/// What would have to be written, while the node runs.
pub(crate) async fn planned(node: &Node, queues: &Queues) -> Result<Plan, Failed> {
    let there = node.store().all_queues().await.map_err(unwritten)?;
    Ok(Plan {
        wanted: wanted(queues, &there)?,
        released: released(queues, &there),
    })
}

/// Writes what was planned; in force at once.
///
/// Queues that nothing names any more are ordinary ones from then on. Groups of which the configuration before said
/// something and this one nothing have no limits of their own any more.
pub(crate) async fn follow(node: &Node, plan: Plan, before: &Queues, queues: &Queues) -> Result<(), Failed> {
    for queue in plan.wanted {
        tell_of_lost_program(&queue, queues);
        let written = node
            .put_queue(&queue.namespace, &queue.name, queue.spec, queue.managed)
            .await;
        written.map_err(unwritten)?.map_err(unwritten)?;
        for (group, limits) in queue.groups {
            let written = node
                .store()
                .put_group(&queue.namespace, &queue.name, &group, Some(limits))
                .await;
            written.map_err(unwritten)?.map_err(unwritten)?;
        }
    }
    for (namespace, queue) in plan.released {
        // Only after its program was forgotten above: nobody may see an ordinary queue with one.
        let written = node.release_queue(&namespace, &queue).await;
        written.map_err(unwritten)?.map_err(unwritten)?;
        info!(%queue, "the configuration names it no more: it is an ordinary queue now");
    }
    for (queue, group) in dropped(before, queues) {
        // The queue may be gone with them.
        let forgotten = node
            .store()
            .put_group(&Namespace::default(), &queue, &group, None)
            .await;
        let _ = forgotten.map_err(unwritten)?;
    }
    Ok(())
}

fn tell_of_lost_program(queue: &Wanted, queues: &Queues) {
    if !queues.contains_key(&queue.name) {
        warn!(queue = %queue.name, "nothing names its program any more: workers have to ask for its jobs");
    }
}

fn unwritten(why: impl std::fmt::Display) -> Failed {
    Failed::new(
        Exit::StoreFailed,
        format!("the queues of the configuration cannot be stored: {why}"),
    )
}
