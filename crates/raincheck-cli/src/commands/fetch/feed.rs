//! Handing a list over: no more of it at a time than can begin, and more where hosts have no room for what came first.
//!
//! Invariant: of the list no more waits in the store than keeps the hosts busy.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use raincheck::core::batch::LINES_MAX;
use raincheck::fetch::{Run, RunFailed};
use tokio::time::{MissedTickBehavior, interval};

use super::ahead::Ahead;
use crate::exit::Failed;

/// So many URLs are handed over ahead of those that have ended, and more where that does not keep the hosts busy.
const AHEAD: u64 = 1_000;
/// So many are handed over at once; what a commit takes longer for many, all others wait for.
const GROUP: u64 = 128;
/// How often it is looked whether more is to be handed over.
const LOOK: Duration = Duration::from_millis(25);
/// After so many looks in a row that found too little under way it is not a moment's chance any more.
const IDLE_LOOKS: u32 = 3;

/// Lines that the store has not taken yet, and how many.
type Adding = (u64, Pin<Box<dyn Future<Output = Result<(), RunFailed>>>>);

/// Hands over what of the list is not taken yet, as fast as it can begin.
pub(super) async fn hand_over(
    mut lines: Ahead,
    run: &Run,
    taken: u64,
    ended: &Cell<u64>,
) -> Result<(), Failed> {
    let (mut supply, mut adding) = (run.supply(), VecDeque::<Adding>::new());
    let (mut first, mut idle) = (taken, 0);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let far = first.saturating_sub(ended.get()) >= AHEAD;
        // Those who wait for a host that lets few in, or is paused, shall not keep others waiting, whatever stands in front of them.
        let wanted = if idle == IDLE_LOOKS {
            idle = 0;
            LINES_MAX as u64
        } else if far {
            0
        } else {
            supply.wanted().min(GROUP)
        };
        if wanted > 0 {
            let group = lines.next(usize::try_from(wanted).unwrap_or(LINES_MAX)).await?;
            let count = group.len() as u64;
            if count == 0 {
                break;
            }
            adding.push_back((count, Box::pin(run.add(first, group))));
            supply.handed(count);
            first += count;
        }
        tokio::select! {
            biased;
            count = added(&mut adding) => {
                supply.taken(count?);
                // What came with the same commit begins before it is looked again.
                tokio::task::yield_now().await;
            }
            () = supply.changed() => {}
            _ = looks.tick() => idle = if far && run.idle().await? { idle + 1 } else { 0 },
        }
    }
    while !adding.is_empty() {
        added(&mut adding).await?;
    }
    Ok(run.seal(first).await?)
}

/// Waits until the first of these are durable: how many; for ever where there are none.
///
/// # Cancel safety
/// Safe: what is not durable yet stays.
async fn added(adding: &mut VecDeque<Adding>) -> Result<u64, RunFailed> {
    let Some((count, durable)) = adding.front_mut() else {
        return std::future::pending().await;
    };
    let count = *count;
    durable.await?;
    adding.pop_front();
    Ok(count)
}
