//! A disk that stalls: new work is refused meanwhile, and what was handed over before is there once it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raincheck_core::clock::{Clock, ManualClock};
use raincheck_core::name::Namespace;
use raincheck_core::store::{Store as _, StoreError};
use raincheck_core::time::Timestamp;
use raincheck_sqlite::{Options, SqliteStore};

use crate::kit::{bytes, submission};

/// A clock at which the writer is held up, as it is at a sync that does not come back.
#[derive(Debug, Default)]
struct Held {
    clock: ManualClock,
    stalls: AtomicBool,
}

impl Clock for Held {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Asked by the writer alone, once it has work.
    fn set_by(&self) -> Option<i64> {
        while self.stalls.load(Ordering::Relaxed) && std::thread::current().name() == Some("writer") {
            std::thread::yield_now();
        }
        None
    }
}

#[tokio::test]
async fn while_the_disk_stalls_new_work_is_refused_and_what_came_before_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Held::default());
    let store = SqliteStore::open(Options {
        patience: Duration::from_millis(20),
        ..Options::new(dir.path(), Arc::<Held>::clone(&clock))
    })
    .unwrap();
    let ns = Namespace::default();
    let submit = || store.submit(&ns, vec![submission(&store, bytes("x"))]);
    submit().await.unwrap().remove(0).unwrap();
    clock.stalls.store(true, Ordering::Relaxed);
    let mut waiting = vec![submit()];
    let refused = async {
        loop {
            let mut answer = submit();
            tokio::select! {
                biased;
                refused = &mut answer => return refused,
                () = tokio::task::yield_now() => waiting.push(answer),
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(60), refused)
        .await
        .unwrap();
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    // What only asks is not kept waiting either.
    let asked = store.queues(&ns).await;
    assert!(matches!(asked, Err(StoreError::Unavailable(_))), "{asked:?}");
    clock.stalls.store(false, Ordering::Relaxed);
    let taken = waiting.len() as u64 + 1;
    for answer in waiting {
        answer.await.unwrap().remove(0).unwrap();
    }
    // Of what was refused nothing is there, and the next is taken.
    let queues = store.queues(&ns).await.unwrap();
    assert_eq!(queues[0].counts.queued, taken);
    let next = async {
        loop {
            match submit().await {
                Ok(mut answers) => return answers.remove(0).map(drop),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(60), next).await.unwrap();
    assert_eq!(next, Ok(()));
}
