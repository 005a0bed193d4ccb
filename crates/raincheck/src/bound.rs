//! Questions to the store that its writer answers from its memory have a bound: on a disk that stalls it answers nobody.
//!
//! Invariant: only what changes nothing is asked so, for an answer that comes later is given up.

use std::future::Future;
use std::time::Duration;

use raincheck_core::store::StoreError;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The answer, where it comes in time.
///
/// # Errors
/// When the store cannot be asked, or does not answer.
pub(crate) async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    answered.unwrap_or_else(|_| Err(StoreError::Unavailable("it does not answer".to_owned())))
}
