//! Kinds of jobs, as an application's code names them.
//!
//! Invariant: a kind is its queue's name and two types, known when the program is compiled.

use std::fmt;
use std::marker::PhantomData;

/// A kind of job: the queue that it waits in, what goes in and what comes out.
///
/// ```
/// # use raincheck::embed::{Args, JobType, Raincheck, queue};
/// # const GREET: JobType<String, String> = JobType::new("greet");
/// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
/// let job = test.submit(&GREET, &"Ada".to_owned()).send().await?; // what goes in is checked, what comes out inferred
/// test.drain().await;
/// let greeting: String = job.result().await?;
/// assert_eq!(greeting, "Hello, Ada!");
/// # Ok(())
/// # }
/// ```
pub struct JobType<A, O> {
    name: &'static str,
    kinds: PhantomData<fn(A) -> O>,
}

impl<A, O> JobType<A, O> {
    /// The jobs of this queue.
    ///
    /// ```
    /// use raincheck::embed::JobType;
    ///
    /// const RESIZE: JobType<(String, u32), Vec<u8>> = JobType::new("resize");
    /// ```
    #[must_use]
    pub const fn new(queue: &'static str) -> Self {
        Self {
            name: queue,
            kinds: PhantomData,
        }
    }

    /// The queue.
    ///
    /// ```
    /// use raincheck::embed::JobType;
    ///
    /// assert_eq!(JobType::<String, String>::new("greet").name(), "greet");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<A, O> Clone for JobType<A, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, O> Copy for JobType<A, O> {}

impl<A, O> fmt::Debug for JobType<A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobType").field(&self.name).finish()
    }
}
