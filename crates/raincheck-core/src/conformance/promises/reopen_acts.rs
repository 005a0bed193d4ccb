//! Promises of durable stores about what administrators did: it is there when the store is opened again.

use std::future::IntoFuture;

use super::acts::act;
use super::draft::queue_name;
use super::kit::Kit;
use super::reopen::Reopen;
use crate::conformance::Opened;
use crate::queue::QueueSpec;

pub async fn acts_survive<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    let by = kit.store.recording(act(&kit, 1));
    let put = by.put_queue(&kit.ns, &queue_name("q"), QueueSpec::default(), false);
    put.await.expect("the store answers").expect("it may be put");
    drop(by);
    let refused = kit.store.record(act(&kit, 2), Some("forbidden".to_owned()));
    refused.await.expect("the store answers");
    let kept = kit.log().await;
    assert_eq!(kept.len(), 2);
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.log().await, kept);
}
