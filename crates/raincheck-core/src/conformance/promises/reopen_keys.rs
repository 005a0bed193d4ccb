//! Promises of durable stores about API keys: those that were made are there when the store is opened again.

use std::future::IntoFuture;

use super::keys::new_key;
use super::kit::{Kit, s};
use super::reopen::Reopen;
use crate::conformance::Opened;
use crate::key::KeyId;
use crate::secret::Secret;

pub async fn keys_survive<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    let pepper = kit.store.key_pepper(Secret::new([1; 32])).await;
    for (id, scopes) in [(1, "admin"), (2, "read"), (3, "submit")] {
        kit.make_key(new_key(id, scopes)).await.expect("it may be made");
        kit.advance(s(1));
    }
    kit.revoke(2).await.expect("it is not the last one");
    let used = vec![(KeyId::new(3), kit.now())];
    kit.store.touch_keys(used).await.expect("the store answers");
    let kept = kit.store.all_keys().await;
    assert_eq!(kept.as_ref().map(Vec::len), Ok(2));
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.store.all_keys().await, kept);
    assert_eq!(kit.store.key_pepper(Secret::new([2; 32])).await, pepper);
}
