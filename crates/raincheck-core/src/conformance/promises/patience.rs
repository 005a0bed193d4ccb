//! Waiting for what a store does a moment after its answer.
//!
//! Invariant: every wait ends, and says what never came.

use std::fmt::Debug;

use super::draft::ms;
use crate::store::StoreError;

/// How often something that may be a moment late is asked for, a millisecond apart.
/// The model is never late.
pub const PATIENCE: u32 = if cfg!(test) { 20 } else { 5_000 };

/// A moment for the store's own thread.
pub async fn breathe() {
    tokio::time::sleep(ms(1)).await;
}

/// Waits for something that the store does a moment after its answer.
pub async fn eventually<T: Debug>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE {
        if let Some(found) = check() {
            return found;
        }
        breathe().await;
    }
    panic!("never came: {what}");
}

/// What an operation on a store answers must be `Closed` or the like.
pub fn error<T: Debug>(answer: Result<T, StoreError>) -> StoreError {
    answer.expect_err("the store refuses")
}
