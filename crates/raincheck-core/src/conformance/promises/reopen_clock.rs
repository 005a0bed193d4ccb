//! Promises about what a clock that was set has moved, once the store is opened again.

use std::future::IntoFuture;

use super::kit::{Draft, Kit, h, ms, s, succeed};
use super::reopen::Reopen;
use crate::conformance::Opened;
use crate::job::Options;
use crate::store::Missing;

pub async fn what_a_clock_that_was_set_has_moved_stays_so_after_opening<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let done = kit.finished(Draft::default(), succeed("yes")).await.id;
    let limit = Some(s(1_800));
    for options in [
        Options {
            deadline: limit,
            ..Options::default()
        },
        Options {
            start_before: limit,
            ..Options::default()
        },
    ] {
        kit.submit(Draft::with(options)).await;
    }
    kit.set_clock(72 * 3_600_000).await;
    let kit = kit.reopen(reopen).await;
    kit.advance(s(1_800) - ms(1));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(ms(1));
    assert_eq!(kit.reclaim().await.count, 2);
    kit.advance(h(24) - s(1_800) - ms(1));
    assert_eq!(kit.prune().await, 0);
    kit.advance(ms(1));
    assert_eq!(kit.prune().await, 1);
    assert_eq!(kit.find(done).await, Err(Missing::Expired));
}
