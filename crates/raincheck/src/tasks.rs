//! Every task of a node starts here, so that a drain and a failure know them all.
//!
//! Invariant: a panic ends its own task and nothing else: it is caught, logged and counted, and where the task is one
//! that the node cannot live without, the group's owner is told.

mod cuts;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use self::cuts::Cuts;

/// What a task is, and so what stopping and failing mean for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// A loop that the node cannot live without: stops by itself when told, its panic stops the node.
    Service,
    /// A loop whose every step is durable by itself: may be cut anywhere, its panic stops the node.
    Upkeep,
    /// One attempt at a job: finishes or is told to stop, its panic ends only itself.
    Attempt,
    /// One connection: finishes its answer, its panic ends only itself.
    Connection,
    /// A short operation that outlives whoever asked for it, its panic ends only itself.
    Errand,
}

impl TaskKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Upkeep => "upkeep",
            Self::Attempt => "attempt",
            Self::Connection => "connection",
            Self::Errand => "errand",
        }
    }

    /// Whether stopping waits for the task, instead of cutting it where it stands.
    const fn waited_for(self) -> bool {
        !matches!(self, Self::Upkeep)
    }

    /// Whether the node cannot go on without it.
    const fn vital(self) -> bool {
        matches!(self, Self::Service | Self::Upkeep)
    }
}

type OnFailure = Box<dyn Fn(&str) + Send + Sync>;

struct Inner {
    name: &'static str,
    tracker: TaskTracker,
    stopping: CancellationToken,
    /// Those that stopping waits for, and those that it cuts.
    waited_for: Mutex<Cuts>,
    others: Mutex<Cuts>,
    panics: AtomicU64,
    on_failure: OnFailure,
}

/// Tasks that are stopped together. Cloning gives another handle on the same group.
#[derive(Clone)]
pub struct Group(Arc<Inner>);

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.0.name)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

impl Group {
    /// An empty group; nobody is told of a vital task's panic but the log.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self::with_on_failure(name, |_| {})
    }

    /// An empty group; `on_failure` is told why a vital task is gone.
    #[must_use]
    pub fn with_on_failure(name: &'static str, on_failure: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            name,
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            waited_for: Mutex::default(),
            others: Mutex::default(),
            panics: AtomicU64::new(0),
            on_failure: Box::new(on_failure),
        }))
    }

    /// Starts a task. It must be called from within the runtime.
    pub fn spawn(&self, kind: TaskKind, future: impl Future<Output = ()> + Send + 'static) {
        let group = self.0.clone();
        let future = CatchPanic(Box::pin(future));
        let Some(place) = self.0.cuts(kind.waited_for()).enter() else {
            // It would be cut at once.
            return;
        };
        let entered = Entered {
            group: group.clone(),
            waited_for: kind.waited_for(),
            place,
        };
        // Not under the lock: a runtime that is leaving drops the task, and so what entered, here and now.
        let task = self.0.tracker.spawn(async move {
            let _entered = entered;
            if let Err(panic) = future.await {
                group.panicked(kind, &panic);
            }
        });
        let handle = task.abort_handle();
        let late = self.0.cuts(kind.waited_for()).begin(place, handle);
        if let Some(task) = late {
            task.abort();
        }
    }

    /// How many tasks are there now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.tracker.len()
    }

    /// How many tasks have panicked so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Ordering::Relaxed)
    }

    /// Cancelled when the group is told to stop: what a task of the group listens to.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Tells the tasks to stop, without waiting.
    pub fn stop(&self) {
        self.0.stopping.cancel();
        self.0.cut(false);
    }

    /// Cuts every task where it stands, without waiting.
    pub fn abort(&self) {
        self.stop();
        self.0.cut(true);
    }

    /// Waits until no task is left. Tells them nothing.
    ///
    /// # Cancel safety
    /// Safe: only the wait is dropped.
    pub async fn idle(&self) {
        self.0.tracker.close();
        self.0.tracker.wait().await;
    }

    /// Tells the tasks to stop, waits at most `bound` for them and cuts those that are left. Gives back how many
    /// those were. Returns within a second of the bound even where a task holds its thread.
    pub async fn shutdown(&self, bound: Duration) -> usize {
        self.stop();
        if tokio::time::timeout(bound, self.idle()).await.is_ok() {
            return 0;
        }
        let left = self.running();
        warn!(
            group = self.0.name,
            left, "tasks did not stop in time and are cut"
        );
        self.cut().await;
        left
    }

    /// Cuts every task where it stands, and waits until they are gone: at most a second, for a task that holds its
    /// thread cannot be cut.
    pub async fn cut(&self) {
        self.abort();
        if tokio::time::timeout(Duration::from_secs(1), self.idle())
            .await
            .is_err()
        {
            let left = self.running();
            warn!(
                group = self.0.name,
                left, "tasks hold their threads and are left behind"
            );
        }
    }
}

/// A task's place among those that can be cut, free again when dropped.
struct Entered {
    group: Arc<Inner>,
    waited_for: bool,
    place: usize,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.group.cuts(self.waited_for).leave(self.place);
    }
}

impl Inner {
    fn cuts(&self, waited_for: bool) -> MutexGuard<'_, Cuts> {
        let cuts = if waited_for {
            &self.waited_for
        } else {
            &self.others
        };
        // Nothing under this lock can panic half way.
        cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, waited_for: bool) {
        // Not under the lock: a task that is cut here and now leaves.
        let running = self.cuts(waited_for).cut();
        running.iter().for_each(AbortHandle::abort);
    }

    fn panicked(&self, kind: TaskKind, panic: &Panic) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        error!(group = self.name, kind = kind.name(), panic = %panic, "a task panicked");
        if kind.vital() {
            (self.on_failure)(&format!("a task of {} panicked: {panic}", self.name));
        }
    }
}

/// Waits for a token beside something that is polled often: it enters itself among those that wait once, and then only looks.
pub(crate) async fn cancelled(token: &CancellationToken) {
    let mut entered = pin!(token.cancelled());
    let mut known: Option<Waker> = None;
    poll_fn(|cx| {
        if known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            return if token.is_cancelled() {
                Poll::Ready(())
            } else {
                Poll::Pending
            };
        }
        known = Some(cx.waker().clone());
        entered.as_mut().poll(cx)
    })
    .await;
}

/// What a task panicked with, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Panic(String);

impl Panic {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the payload is owned by whoever caught it"
    )]
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "a value that is no text".to_owned()))
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A future whose panic is an error instead.
pub(crate) struct CatchPanic<F: ?Sized>(pub(crate) Pin<Box<F>>);

impl<F: Future + ?Sized> Future for CatchPanic<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What a panic leaves half done is dropped with the future, and shared state is behind locks that do not
        // outlive a panic.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic::new(payload))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_panic_harms_no_other_task_and_is_counted() {
        let group = Group::new("test");
        let (tell, told) = oneshot::channel();
        let (go, wait) = oneshot::channel::<()>();
        group.spawn(TaskKind::Attempt, async move {
            wait.await.unwrap();
            tell.send(7).unwrap();
        });
        group.spawn(TaskKind::Attempt, async { panic!("at the disco") });
        while group.panics() == 0 {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        assert_eq!(told.await, Ok(7));
        group.idle().await;
        assert_eq!(group.panics(), 1);
    }

    #[tokio::test]
    async fn the_panic_of_a_vital_task_is_reported() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let group = Group::with_on_failure("test", move |why| sink.lock().unwrap().push(why.to_owned()));
        group.spawn(TaskKind::Errand, async { panic!("not vital") });
        group.spawn(TaskKind::Service, async { panic!("vital") });
        group.idle().await;
        assert_eq!(*seen.lock().unwrap(), ["a task of test panicked: vital"]);
    }

    #[tokio::test]
    async fn whoever_comes_after_a_cut_does_not_begin() {
        let group = Group::new("test");
        for _ in 0..3 {
            group.spawn(TaskKind::Attempt, async {});
            group.idle().await;
        }
        group.spawn(TaskKind::Attempt, std::future::pending());
        assert_eq!(group.0.cuts(true).places.len(), 1, "places are used again");
        group.cut().await;
        group.spawn(TaskKind::Attempt, async { panic!("it began") });
        group.idle().await;
        assert_eq!((group.running(), group.panics()), (0, 0));
    }

    #[test]
    fn a_task_that_begins_while_its_runtime_ends_is_dropped() {
        struct Begins(Group);
        impl Drop for Begins {
            fn drop(&mut self) {
                self.0.spawn(TaskKind::Attempt, async {});
            }
        }
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let group = Group::new("test");
            runtime.block_on(async {
                let begins = Begins(group.clone());
                group.spawn(TaskKind::Attempt, async move {
                    std::future::pending::<()>().await;
                    drop(begins);
                });
                tokio::task::yield_now().await;
            });
            drop(runtime);
            tell.send(group.running()).unwrap();
        });
        let running = told.recv_timeout(Duration::from_secs(10));
        assert_eq!(
            running,
            Ok(0),
            "it hangs where what is dropped needs what is held"
        );
    }

    #[tokio::test]
    async fn who_looks_again_and_again_is_woken_by_whatever_looked_last() {
        let token = CancellationToken::new();
        let mut waiting = Box::pin(cancelled(&token));
        // Somebody else polls it first, who is not there any more when it comes.
        let mut gone = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(waiting.as_mut().poll(&mut gone).is_pending());
        }
        let cancel = async {
            tokio::task::yield_now().await;
            token.cancel();
        };
        tokio::join!(waiting, cancel);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_no_longer_than_its_bound() {
        let group = Group::new("test");
        let stopping = group.stopping().clone();
        group.spawn(TaskKind::Service, async move { stopping.cancelled().await });
        assert_eq!(group.shutdown(Duration::from_secs(5)).await, 0);

        let group = Group::new("test");
        group.spawn(TaskKind::Attempt, std::future::pending());
        group.spawn(TaskKind::Upkeep, std::future::pending());
        let start = tokio::time::Instant::now();
        assert_eq!(
            group.shutdown(Duration::from_secs(5)).await,
            1,
            "upkeep is cut at once"
        );
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        assert_eq!(group.running(), 0);
    }
}
