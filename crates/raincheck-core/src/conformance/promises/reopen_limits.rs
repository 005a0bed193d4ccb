//! Promises of durable stores about limits: what was used of them is not forgotten.

use std::future::IntoFuture;

use super::kit::{Draft, Kit, queue_name, s, succeed};
use super::reopen::Reopen;
use crate::conformance::Opened;
use crate::group::GroupSpec;
use crate::name::GroupName;
use crate::queue::{ByteSize, QueueSpec};
use crate::store::SubmitRefused;

pub async fn a_rate_is_not_forgotten<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    let spec = QueueSpec {
        rate: "1/m".parse().ok(),
        burst: Some(3),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    kit.submit_many(&Draft::default(), 20).await;
    for leased in kit.claim_up_to(3).await {
        kit.settle(&leased.job, succeed("yes"))
            .await
            .expect("the lease is held");
    }
    let kit = kit.reopen(reopen).await;
    assert!(kit.claim_up_to(9).await.is_empty(), "no burst is granted twice");
    kit.advance(s(59));
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.advance(s(1));
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn what_groups_use_of_their_limits_is_not_forgotten<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    let spec = QueueSpec {
        group_defaults: Some(GroupSpec {
            concurrency: Some(2),
            ..GroupSpec::default()
        }),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    let (slow, limits) = (GroupName::new("slow").expect("a good name"), "1/m".parse().ok());
    let written = Some(GroupSpec {
        concurrency: None,
        rate: limits,
        burst: None,
    });
    let put = kit
        .store
        .put_group(&kit.ns, &queue_name("q"), &slow, written)
        .await;
    put.expect("the store answers").expect("the queue is there");
    kit.submit_many(&Draft::of("a"), 5).await;
    kit.submit_many(&Draft::of("slow"), 5).await;
    let held = kit.claim_up_to(9).await;
    assert_eq!(held.len(), 3);
    let kit = kit.reopen(reopen).await;
    let read = kit.store.group(&kit.ns, &queue_name("q"), &slow).await;
    assert_eq!(
        read.expect("the store answers").and_then(|status| status.written),
        written
    );
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.settle(&held[0].job, succeed("yes"))
        .await
        .expect("a pull lease lives on");
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    kit.advance(s(60));
    // Leases may have lapsed meanwhile; nobody has ended them.
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn how_many_bytes_wait_is_not_forgotten<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    let spec = QueueSpec {
        depth_bytes: Some(ByteSize(9)),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    // Each has five bytes.
    kit.submit_many(&Draft::default(), 1).await;
    let kit = kit.reopen(reopen).await;
    let full = Err(SubmitRefused::QueueBytesFull { depth_bytes: 9 });
    assert_eq!(kit.try_submit(&[Draft::default()]).await.remove(0).1, full);
    kit.claim_one().await;
    kit.submit(Draft::default()).await;
}
