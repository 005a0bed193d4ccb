//! Aids for the tests of an application: a store that is gone with the test, a clock that is turned by hand, jobs run to
//! their end.
//!
//! ```
//! use std::time::Duration;
//! use raincheck::embed::{Args, JobType, Raincheck, queue};
//!
//! const GREET: JobType<String, String> = JobType::new("greet");
//!
//! async fn greet(Args(name): Args<String>) -> String {
//!     format!("Hello, {name}!")
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await.unwrap();
//! let job = test.submit(&GREET, &"Ada".to_owned()).delay(Duration::from_secs(3600)).send().await.unwrap();
//! test.drain().await; // nothing is due
//! test.assert_submitted(&GREET, |name| name == "Ada").await;
//! assert_eq!(test.submitted(&GREET).await.len(), 1);
//! test.advance(Duration::from_secs(3600));
//! test.drain().await;
//! assert_eq!(job.result().await.unwrap(), "Hello, Ada!");
//! # }
//! ```
//!
//! Invariant: what is tested is the store and the engine that applications run on, but for the clock.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::list::{Filter, PAGE_MAX, Page};
use raincheck_core::name::QueueName;
use raincheck_core::worker::Worker;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::builder::Builder;
use super::job_type::JobType;
use super::raincheck::Raincheck;
use super::unopened::OpenFailed;
use crate::api::embedded::Keyless;

/// How long [`Testing::drain`] waits for jobs that do not end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A [`Raincheck`] for one test, with its clock.
///
/// ```
/// use raincheck::embed::{Args, JobError, Raincheck, Testing, queue};
///
/// async fn picky(Args(n): Args<u32>) -> Result<u32, JobError> {
///     n.checked_sub(1).ok_or_else(|| JobError::fatal("nothing is left"))
/// }
///
/// /// What the tests of an application begin with.
/// async fn application() -> Testing {
///     Raincheck::builder().handle("picky", queue(), picky).open_for_test().await.unwrap()
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() { application().await.drain().await }
/// ```
pub struct Testing {
    rc: Raincheck,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl fmt::Debug for Testing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Testing")
            .field("rc", &self.rc)
            .finish_non_exhaustive()
    }
}

impl Deref for Testing {
    type Target = Raincheck;

    fn deref(&self) -> &Raincheck {
        &self.rc
    }
}

impl<S: Clone + Send + Sync + 'static> Builder<S> {
    /// Opens a store that is gone when the test is over, under a clock that stands still.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let other = Raincheck::builder().open_for_test().await?; // tests do not share anything
    /// assert_ne!(test.folder(), other.folder());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What cannot be.
    pub async fn open_for_test(mut self) -> Result<Testing, OpenFailed> {
        self.keyless = Keyless::Test;
        let wrong = |error: std::io::Error| OpenFailed::Address(format!("a temporary folder ({error})"));
        let folder = tempfile::tempdir().map_err(wrong)?;
        let clock = Arc::new(ManualClock::default());
        let store = crate::store::open(folder.path().join("jobs"), clock.clone())?;
        let rc = self.open_store(store).await?;
        Ok(Testing { rc, clock, folder })
    }
}

impl Testing {
    /// The handle that the application under test gets.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let app: axum::Router = axum::Router::new().route("/", axum::routing::get(async |rc: Raincheck| format!("{rc:?}"))).with_state(test.raincheck().clone());
    /// # drop(app);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn raincheck(&self) -> &Raincheck {
        &self.rc
    }

    /// Where its store lies, until it is dropped.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// std::fs::write(test.folder().join("mine.txt"), "gone with the test, too")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Turns the clock: what is due by then is due now. Attempts that run are not hurried.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// use std::time::Duration;
    ///
    /// let job = test.submit(&GREET, &"Ada".to_owned()).delay(Duration::from_secs(3600)).send().await?;
    /// test.advance(Duration::from_secs(3600)); // no test waits an hour
    /// test.drain().await;
    /// assert_eq!(job.result().await?, "Hello, Ada!");
    /// # Ok(())
    /// # }
    /// ```
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.rc.node().wake_lines();
    }

    /// Lets every job of the application's handlers that is due run to its end, and those that they submit; then deletes what has
    /// outlived its retention. Jobs that wait for a later time stay.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let job = test.submit(&GREET, &"Ada".to_owned()).send().await?;
    /// test.drain().await;
    /// assert!(test.job(job.id()).await??.done());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When some do not end within half a minute, or the store has failed.
    pub async fn drain(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            self.rc.node().wake_lines();
            let queues = self.rc.node().store().queues(self.rc.namespace()).await;
            let queues = queues.expect("the store of a test does not fail");
            let busy = queues.iter().find(|status| {
                let worked = status.queue.worker() == Worker::Function && status.queue.paused.is_none();
                worked && status.counts.queued + status.counts.running > 0
            });
            let Some(busy) = busy else {
                return self.prune().await;
            };
            assert!(
                Instant::now() < until,
                "queue {} still has jobs after {PATIENCE:?}: {:?}. The test's clock stands still: a function whose time is over, or that was cancelled \
                 and does not heed stopped(), is dropped once advance(..) has turned it",
                busy.queue.name,
                busy.counts
            );
            sleep(LOOK).await;
        }
    }

    async fn prune(&self) {
        while {
            let slice = self.rc.node().store().prune(1_000).await;
            slice.expect("the store of a test does not fail").more
        } {}
    }

    /// Asserts that a job of this type was submitted whose input is so.
    ///
    /// ```
    /// # use raincheck::embed::{JobType, Raincheck, queue};
    /// const GREET: JobType<String, ()> = JobType::new("greet");
    /// # async fn nothing() {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let test = Raincheck::builder().handle(GREET, queue(), nothing).open_for_test().await.unwrap();
    /// test.submit(&GREET, &"Ada".to_owned()).send().await.unwrap();
    /// test.assert_submitted(&GREET, |name| name == "Ada").await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// When there is none, with all inputs that there are; or as [`Testing::submitted`].
    pub async fn assert_submitted<A, O>(&self, job: &JobType<A, O>, so: impl Fn(&A) -> bool)
    where
        A: DeserializeOwned + fmt::Debug,
    {
        let inputs = self.submitted(job).await;
        assert!(
            inputs.iter().any(so),
            "none of the {} jobs submitted to {} is so: {inputs:#?}",
            inputs.len(),
            job.name()
        );
    }

    /// The inputs of all jobs of this type that there are, in the order in which they were submitted.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// test.submit(&GREET, &"Ada".to_owned()).send().await?;
    /// test.submit(&GREET, &"Grace".to_owned()).send().await?;
    /// assert_eq!(test.submitted(&GREET).await, ["Ada", "Grace"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When the store has failed, or an input is not of the type.
    pub async fn submitted<A: DeserializeOwned, O>(&self, job: &JobType<A, O>) -> Vec<A> {
        let store = self.rc.node().store();
        let (mut inputs, mut cursor) = (Vec::new(), None);
        loop {
            let page = Page {
                filter: Filter {
                    queue: QueueName::new(job.name()).ok(),
                    ..Filter::default()
                },
                cursor,
                limit: PAGE_MAX,
            };
            let listed = store.list(self.rc.namespace(), page).await;
            let listed = listed.expect("the store of a test does not fail");
            for job in &listed.jobs {
                let input = store.input(self.rc.namespace(), job.id).await;
                let input = input.expect("the store of a test does not fail");
                // A job that was deleted meanwhile has none.
                let Ok(input) = input else { continue };
                inputs.push(serde_json::from_slice(&input.body).expect("an input of the type"));
            }
            cursor = listed.cursor;
            if cursor.is_none() {
                inputs.reverse();
                return inputs;
            }
        }
    }
}
