//! Why an application's [`Raincheck`](super::Raincheck) is not opened.
//!
//! Invariant: nothing was opened, made or changed where it says what cannot be.

use raincheck_core::name::QueueName;
use raincheck_core::store::StoreError;

use crate::links::BadMount;

/// Why a [`Raincheck`](super::Raincheck) could not be opened.
///
/// ```
/// use raincheck::embed::{OpenFailed, Raincheck, queue};
///
/// async fn nothing() {}
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let builder = Raincheck::builder().handle("twice", queue(), nothing).handle("twice", queue(), nothing);
/// assert!(matches!(builder.open_for_test().await, Err(OpenFailed::Twice(_))));
/// let builder = Raincheck::builder().handle("none", queue().concurrency(0), nothing);
/// assert!(matches!(builder.open_for_test().await, Err(OpenFailed::Setting { .. })));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum OpenFailed {
    /// A queue's name cannot be.
    #[error("{0:?} is not a queue's name")]
    Name(String),
    /// Two handlers work one queue.
    #[error("queue {0} has two handlers")]
    Twice(QueueName),
    /// A queue's setting cannot be.
    #[error("queue {queue}: {why}")]
    Setting {
        /// The queue.
        queue: QueueName,
        /// Which, and what it must be.
        why: String,
    },
    /// The API cannot be mounted there.
    #[error(transparent)]
    Mount(#[from] BadMount),
    /// The address of the store means nothing here.
    #[error("{0:?} is no store: name a folder, such as sqlite:./jobs")]
    Address(String),
    /// The embedded store cannot be used.
    #[cfg(feature = "sqlite")]
    #[error("the store cannot be opened: {0}")]
    Open(#[from] crate::store::OpenError),
    /// The store has failed.
    #[error("the store has failed: {0}")]
    Store(#[from] StoreError),
}
