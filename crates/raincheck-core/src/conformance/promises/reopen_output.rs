//! Promises of durable stores about what attempts have shown.

use std::future::IntoFuture;

use super::kit::{Draft, Kit, lease, log, output, succeed};
use super::reopen::Reopen;
use crate::conformance::Opened;
use crate::decide::EmitRefused;

pub async fn output_and_its_numbers_survive<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let over = kit.running(Draft::default()).await;
    kit.emit(lease(&over), 0, output("so it goes"))
        .await
        .expect("the lease is held");
    kit.settle(&over, succeed("so it goes"))
        .await
        .expect("the lease is held");
    kit.emit(lease(&held), 0, output("a"))
        .await
        .expect("the lease is held");
    kit.emit(lease(&held), 1, log("b"))
        .await
        .expect("the lease is held");
    let before = (kit.chunks(held.id).await, kit.chunks(over.id).await);
    let kit = kit.reopen(reopen).await;
    assert_eq!((kit.chunks(held.id).await, kit.chunks(over.id).await), before);
    assert_eq!(
        kit.result_body(over.id).await.as_deref(),
        Some(&b"so it goes"[..])
    );
    let emit = async |seq, piece| kit.emit(lease(&held), seq, piece).await.map(|emitted| emitted.n);
    assert_eq!(emit(3, output("d")).await, Err(EmitRefused::Gap { next: 2 }));
    assert_eq!(emit(1, log("b")).await, Ok(2));
    assert_eq!(emit(0, output("b")).await, Err(EmitRefused::Mismatch));
    assert_eq!(emit(2, output("c")).await, Ok(3));
}
