//! The suite as a macro: every promise becomes a test of the store that calls it.
//!
//! Invariant: a promise is run with a limit of time, on a runtime of its own, over a store that nobody has used.

use std::any::Any;
use std::future::{Future, IntoFuture, Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::ManualClock;
use crate::store::Store;

/// A store under test.
#[derive(Debug)]
pub struct Opened {
    /// The store, empty and fresh, with the clock below as its time.
    pub store: Arc<dyn Store>,
    /// Its clock, turned by the test.
    pub clock: Arc<ManualClock>,
    /// Whatever must live as long as the store, such as its directory. A function that opens a store again gets it
    /// back.
    pub guard: Box<dyn Any + Send>,
}

impl IntoFuture for Opened {
    type Output = Self;
    type IntoFuture = Ready<Self>;

    /// Lets a plain function open a store where an asynchronous one is welcome too.
    fn into_future(self) -> Self::IntoFuture {
        ready(self)
    }
}

/// How long one promise may take before its store is said to hang.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Runs one promise to its end on a runtime of its own.
///
/// # Panics
/// When the promise is broken, or takes longer than a minute.
pub fn run(promise: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs a few file descriptors");
    let ended = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, promise).await });
    assert!(ended.is_ok(), "the store did not answer within {TIME_LIMIT:?}");
}

/// Makes one test of every promise that a [`Store`] gives.
///
/// `conformance!(open)` takes a function, plain or asynchronous, that gives a fresh [`Opened`]. Durable stores
/// write `conformance!(open, reopen)`: `reopen` takes the [`Opened`] whose store was just closed and opens what it
/// kept, over the same clock. The tests come in a module `promises`; `RAINCHECK_SEED` and `RAINCHECK_SLOW_TESTS`
/// are read by the random one.
///
/// ```
/// # use std::sync::Arc;
/// use raincheck_core::conformance::{ModelStore, Opened};
///
/// fn open() -> Opened {
///     let clock = Arc::new(raincheck_core::clock::ManualClock::default());
///     Opened { store: Arc::new(ModelStore::new(clock.clone())), clock, guard: Box::new(()) }
/// }
///
/// raincheck_core::conformance!(open);
/// ```
#[macro_export]
macro_rules! conformance {
    ($open:expr) => {
        mod promises {
            #[allow(
                unused_imports,
                reason = "the store is opened by a function of the module above"
            )]
            use super::*;
            $crate::conformance_promises!($crate::conformance_tests, $open);

            #[test]
            fn random_commands_are_answered_as_the_model_answers() {
                $crate::conformance::random::agree($open);
            }
        }
    };
    ($open:expr, $reopen:expr) => {
        mod promises {
            #[allow(
                unused_imports,
                reason = "the store is opened by functions of the module above"
            )]
            use super::*;
            $crate::conformance_promises!($crate::conformance_tests, $open);
            $crate::conformance_durable_promises!($crate::conformance_tests, $open, $reopen);

            #[test]
            fn random_commands_are_answered_as_the_model_answers() {
                $crate::conformance::random::agree_durably($open, $reopen);
            }
        }
    };
}

/// Makes the tests of one list of promises.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($open:expr; $($subject:ident { $($name:ident)* })*) => {
        $(mod $subject {
            use super::*;
            $(#[test]
            fn $name() {
                $crate::conformance::run(async {
                    let kit = $crate::conformance::promises::kit::Kit::new($open().await);
                    $crate::conformance::promises::$subject::$name(kit).await;
                });
            })*
        })*
    };
    ($open:expr, $reopen:expr; $($subject:ident { $($name:ident)* })*) => {
        $(mod $subject {
            use super::*;
            $(#[test]
            fn $name() {
                $crate::conformance::run(async {
                    let kit = $crate::conformance::promises::kit::Kit::new($open().await);
                    $crate::conformance::promises::$subject::$name(kit, $reopen).await;
                });
            })*
        })*
    };
}
