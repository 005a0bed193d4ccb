//! What a submission comes to: a job that is on the disk, or why there is none.
//!
//! Invariant: both answer over HTTP as the API does.

use std::fmt;
use std::marker::PhantomData;

use axum::response::{IntoResponse, Response};
use raincheck_core::id::JobId;
use serde::de::DeserializeOwned;

use super::raincheck::{Raincheck, ResultError};
use crate::api::embedded::{Placed, Refused};

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
    pub(super) rc: Raincheck,
    pub(super) placed: Placed,
    pub(super) output: PhantomData<fn() -> O>,
}

impl<O> fmt::Debug for Accepted<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accepted").field(&self.placed.id()).finish()
    }
}

impl<O: DeserializeOwned> Accepted<O> {
    /// The job's id.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let id = test.submit(&GREET, &"Ada".to_owned()).send().await?.id(); // to be kept, or handed on: /v1/jobs/{id}
    /// assert!(test.job(id).await?.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.placed.id()
    }

    /// Whether an earlier submission under the same key, or with the same unique value, had made the job.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let ada = "Ada".to_owned();
    /// let send = || test.submit(&GREET, &ada).idempotency_key("greet-ada").send();
    /// assert!(!send().await?.was_there());
    /// assert!(send().await?.was_there());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn was_there(&self) -> bool {
        self.placed.was_there()
    }

    /// Waits until the job is done, and gives its result.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let job = test.submit(&GREET, &"Ada".to_owned()).send().await?;
    /// let within = std::time::Duration::from_secs(10);
    /// assert_eq!(tokio::time::timeout(within, job.result()).await??, "Hello, Ada!");
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let refused = test.submit(&GREET, &"Ada".to_owned()).max_attempts(0).send().await.unwrap_err();
    /// assert_eq!(refused.code(), "bad-request");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// Whether the job may be stored nevertheless: submitted again with the same idempotency key it is accepted once.
    ///
    /// ```
    /// use raincheck::embed::{Accepted, JobType, Raincheck, SubmitError};
    ///
    /// async fn surely(rc: &Raincheck, greet: &JobType<String, String>) -> Result<Accepted<String>, SubmitError> {
    ///     let ada = "Ada".to_owned();
    ///     let order = || rc.submit(greet, &ada).idempotency_key("greet-ada").send();
    ///     match order().await {
    ///         Err(error) if error.in_doubt() => order().await, // made once, whichever of the two it was
    ///         told => told,
    ///     }
    /// }
    /// ```
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
