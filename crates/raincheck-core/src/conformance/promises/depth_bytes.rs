//! Promises about how many bytes wait: never more than the queue allows, and none counted twice.

use bytes::Bytes;

use super::kit::{Draft, Kit, h, release, s, succeed};
use crate::queue::{ByteSize, QueueSpec};
use crate::store::SubmitRefused;

async fn bounded(kit: &Kit, bytes: u64) {
    let spec = QueueSpec {
        depth_bytes: Some(ByteSize(bytes)),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
}

fn sized(bytes: usize) -> Draft {
    Draft {
        body: Bytes::from(vec![b'x'; bytes]),
        ..Draft::default()
    }
}

/// Whether a job of so many bytes is taken.
async fn taken(kit: &Kit, bytes: usize) -> bool {
    match kit.try_submit(&[sized(bytes)]).await.remove(0).1 {
        Ok(_) => true,
        Err(SubmitRefused::QueueBytesFull { .. }) => false,
        Err(refused) => panic!("{refused}"),
    }
}

pub async fn no_more_bytes_wait_than_the_queue_allows(kit: Kit) {
    bounded(&kit, 100_000).await;
    assert!(taken(&kit, 90_000).await && !taken(&kit, 10_001).await);
    assert!(taken(&kit, 10_000).await && taken(&kit, 0).await);
    assert!(!taken(&kit, 1).await);
    let big = kit.claim_one().await;
    assert!(taken(&kit, 40_000).await, "what runs does not wait");
    kit.settle(&big, release(s(0))).await.expect("the lease is held");
    assert!(
        !taken(&kit, 1).await,
        "given back it waits again, though that is too much"
    );
    let again = kit.claim_one().await;
    kit.settle(&again, succeed("yes"))
        .await
        .expect("the lease is held");
    assert!(taken(&kit, 50_000).await && !taken(&kit, 1).await);
}

pub async fn every_way_to_stop_waiting_gives_the_bytes_back(kit: Kit) {
    bounded(&kit, 1_000).await;
    let late = Draft {
        delay: Some(h(1)),
        ..sized(1_000)
    };
    let id = kit.submit(late).await;
    assert!(!taken(&kit, 1).await);
    kit.cancel(id).await.expect("it is there");
    let brief = Draft {
        options: crate::job::Options {
            start_before: Some(s(1)),
            ..crate::job::Options::default()
        },
        ..sized(1_000)
    };
    kit.submit(brief).await;
    assert!(!taken(&kit, 1).await);
    kit.advance(s(2));
    kit.reclaim().await;
    assert!(taken(&kit, 600).await);
    let purged = kit.store.purge(&kit.ns, &super::kit::queue_name("q"), 9).await;
    assert_eq!(
        purged
            .expect("the store answers")
            .expect("the queue is there")
            .count,
        1
    );
    assert!(taken(&kit, 1_000).await);
}

pub async fn a_bound_that_is_set_late_counts_what_waits(kit: Kit) {
    kit.q().await;
    kit.submit(sized(600)).await;
    kit.submit(sized(70_000)).await;
    bounded(&kit, 70_610).await;
    assert!(!taken(&kit, 11).await && taken(&kit, 10).await);
    kit.q().await;
    assert!(taken(&kit, 70_000).await);
    bounded(&kit, 140_610).await;
    assert!(!taken(&kit, 1).await);
}
