//! Promises of durable stores about limits: what was used of them is not forgotten.

use std::future::IntoFuture;

use super::kit::{Draft, Kit, s, succeed};
use super::reopen::Reopen;
use crate::conformance::Opened;
use crate::queue::QueueSpec;

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
