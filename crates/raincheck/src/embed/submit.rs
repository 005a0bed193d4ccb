//! Submitting from the application's own code.
//!
//! Invariant: what is accepted here is accepted as over HTTP: the same options, read by the same table, the same fingerprints
//! under a key, the same refusals.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use raincheck_core::content::Input;
use raincheck_core::id::JobId;
use raincheck_core::time::{Timestamp, format_duration};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::raincheck::{Raincheck, ResultError};
use crate::api::embedded::{Placed, Refused, Wish, place};

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
    #[must_use]
    pub const fn new(queue: &'static str) -> Self {
        Self {
            name: queue,
            kinds: PhantomData,
        }
    }

    /// The queue.
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

/// Why a job was not accepted: nothing of it is stored, unless [`SubmitError::in_doubt`]. As an axum answer it is the problem that
/// the HTTP API gives.
///
/// ```
/// # use raincheck::embed::{Args, JobType, Raincheck, queue};
/// # const GREET: JobType<String, String> = JobType::new("greet");
/// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
/// let refused = test.submit(&GREET, &"Ada".to_owned()).priority(12).send().await.unwrap_err();
/// assert_eq!(refused.code(), "bad-request"); // docs/errors has a page for each
/// assert!(!refused.in_doubt()); // nothing of it is stored
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}", code = .0.code(), detail = .0.detail())]
pub struct SubmitError(pub(super) Refused);

impl SubmitError {
    /// The stable code: one of the pages of docs/errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// Whether the job may be stored nevertheless: submitted again with the same idempotency key it is accepted once.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        self.0.in_doubt()
    }
}

impl IntoResponse for SubmitError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// A job about to be submitted. Options that cannot be are told by [`send`](Self::send).
///
/// ```
/// # use raincheck::embed::{Args, JobType, Raincheck, queue};
/// # const GREET: JobType<String, String> = JobType::new("greet");
/// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
/// use std::time::Duration;
/// use raincheck::embed::Submit;
///
/// let ada = "Ada".to_owned();
/// let order: Submit<'_, String> = test.submit(&GREET, &ada).group("tenant-7").priority(0).delay(Duration::from_secs(60)).tags("vip");
/// let job = order.idempotency_key("greet-ada").send().await?;
/// let again = test.submit(&GREET, &ada).group("tenant-7").priority(0).delay(Duration::from_secs(60)).tags("vip");
/// let again = again.idempotency_key("greet-ada").send().await?;
/// assert!(again.was_there() && again.id() == job.id()); // made once
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is submitted before it is sent"]
pub struct Submit<'a, O> {
    rc: &'a Raincheck,
    queue: &'a str,
    input: Result<Input, serde_json::Error>,
    wish: Wish,
    output: PhantomData<fn() -> O>,
}

impl<'a, O: DeserializeOwned> Submit<'a, O> {
    pub(super) fn json(rc: &'a Raincheck, queue: &'a str, args: &impl Serialize) -> Self {
        let input = serde_json::to_vec(args).map(|body| Input {
            content_type: Some("application/json".to_owned()),
            headers: Vec::new(),
            body: body.into(),
        });
        Self {
            rc,
            queue,
            input,
            wish: Wish::default(),
            output: PhantomData,
        }
    }

    /// Any option of the API by the name of its JSON field, written as its header writes it: `("unique", "\"a\";while=kept")`.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let ada = "Ada".to_owned();
    /// let first = test.submit(&GREET, &ada).option("unique", "\"ada\";while=kept;on-conflict=attach").send().await?;
    /// let second = test.submit(&GREET, &ada).option("unique", "\"ada\";while=kept;on-conflict=attach").send().await?;
    /// assert_eq!(first.id(), second.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn option(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.wish.options.push((field, Cow::Owned(value.into())));
        self
    }

    /// Submitted again under the same key, the job is made once; for as long as it is kept.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.wish.key = Some(key.into());
        self
    }

    /// Start no earlier than so long from now.
    pub fn delay(self, delay: Duration) -> Self {
        self.option("delay", format_duration(delay))
    }

    /// Start no earlier than this.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let new_year = "2100-01-01T00:00:00Z".parse()?;
    /// let job = test.submit(&GREET, &"Ada".to_owned()).run_at(new_year).send().await?;
    /// assert_eq!(test.job(job.id()).await??.run_at, new_year);
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_at(self, run_at: Timestamp) -> Self {
        self.option("run_at", run_at.to_string())
    }

    /// 0 (first) to 9 (last); 5 unless said.
    pub fn priority(self, priority: u8) -> Self {
        self.option("priority", priority.to_string())
    }

    /// Whose job it is within the queue: groups take turns.
    pub fn group(self, group: impl Into<String>) -> Self {
        self.option("group", group)
    }

    /// Labels to search by, separated by commas.
    pub fn tags(self, tags: impl Into<String>) -> Self {
        self.option("tags", tags)
    }

    /// One attempt's time.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option("timeout", format_duration(timeout))
    }

    /// The time for all attempts.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.option("deadline", format_duration(deadline))
    }

    /// How often it is attempted, 1 to 100.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.option("max_attempts", attempts.to_string())
    }

    /// How long it stays when finished.
    pub fn keep(self, keep: Duration) -> Self {
        self.option("keep", format_duration(keep))
    }

    /// The URLs in the [answer](Accepted) open for so long for whoever has them, by a ticket: they read and cancel this one job, without a key and
    /// under whatever host name the application is asked. Without it they are for those who may ask the API itself.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// use axum::response::IntoResponse;
    /// use std::time::Duration;
    ///
    /// let order = test.submit(&GREET, &"Ada".to_owned()).ticket(Duration::from_secs(3600));
    /// let answer = order.send().await?.into_response();
    /// assert!(answer.headers()["location"].to_str()?.contains("?ticket="));
    /// # Ok(())
    /// # }
    /// ```
    pub fn ticket(self, good_for: Duration) -> Self {
        self.option("ticket", format_duration(good_for))
    }

    /// A webhook that tells of its end.
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
    /// let order = test.submit(&GREET, &"Ada".to_owned()).keep(Duration::from_secs(7 * 24 * 3600));
    /// order.callback("https://example.com/greeted").send().await?; // signed, tried for a day
    /// # Ok(())
    /// # }
    /// ```
    pub fn callback(self, url: impl AsRef<str>) -> Self {
        self.option("callback", format!("\"{}\"", url.as_ref()))
    }

    /// Submits it. Once this returned, the job survives any crash. Dropping the future drops only the wait for the answer.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub async fn send(self) -> Result<Accepted<O>, SubmitError> {
        let input = self
            .input
            .map_err(|error| SubmitError(Refused::input(self.rc.node(), &error)))?;
        let placed = place(self.rc.door(), self.queue, self.wish, input).await;
        Ok(Accepted {
            rc: self.rc.clone(),
            placed: placed.map_err(SubmitError)?,
            output: PhantomData,
        })
    }
}

/// A job that is on stable storage. As an axum answer it is the 202 of the HTTP API: the job's document, `Location` and
/// `Retry-After`.
///
/// ```
/// # use raincheck::embed::{Args, JobType, Raincheck, queue};
/// # const GREET: JobType<String, String> = JobType::new("greet");
/// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
/// # use raincheck::embed::{Accepted, SubmitError};
/// async fn route(rc: Raincheck, name: String) -> Result<Accepted<String>, SubmitError> {
///     rc.submit(&GREET, &name).send().await // 202 with Location, once the job is on disk
/// }
///
/// let job = route(test.raincheck().clone(), "Ada".to_owned()).await?;
/// test.drain().await;
/// assert_eq!(job.result().await?, "Hello, Ada!"); // in the code that submitted it, just as well
/// # Ok(())
/// # }
/// ```
pub struct Accepted<O> {
    rc: Raincheck,
    placed: Placed,
    output: PhantomData<fn() -> O>,
}

impl<O> fmt::Debug for Accepted<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accepted").field(&self.placed.id()).finish()
    }
}

impl<O: DeserializeOwned> Accepted<O> {
    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.placed.id()
    }

    /// Whether an earlier submission under the same key, or with the same unique value, had made the job.
    #[must_use]
    pub fn was_there(&self) -> bool {
        self.placed.was_there()
    }

    /// Waits until the job is done, and gives its result.
    ///
    /// # Errors
    /// When it ended without one, or this node is left before.
    ///
    /// # Cancel safety
    /// Safe: the job goes on.
    pub async fn result(&self) -> Result<O, ResultError> {
        self.rc.result(self.id()).await
    }
}

impl<O> IntoResponse for Accepted<O> {
    fn into_response(self) -> Response {
        self.placed.into_response(self.rc.node().links())
    }
}
