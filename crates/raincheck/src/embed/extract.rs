//! What handlers take from a job.
//!
//! Invariant: an input that cannot be read fails the job for good: it would be the same the next time.

use std::future::Future;
use std::future::ready;
use std::time::Duration;

use axum::extract::{FromRef, State};
use bytes::Bytes;
use raincheck_core::id::JobId;
use raincheck_core::time::Timestamp;
use serde::de::DeserializeOwned;

use super::ctx::{Ctx, JobRequest};
use super::error::JobError;
use super::typed::{Typed, Untyped};

/// Something that a handler takes from a job; `S` is the application's state.
///
/// ```
/// use raincheck::embed::{FromJob, JobError, JobRequest, Untyped};
///
/// /// Whose job it is: its group.
/// struct Tenant(String);
///
/// impl<S: Sync> FromJob<S> for Tenant {
///     type Input = Untyped; // it does not read the input
///
///     async fn from_job(job: &JobRequest, _state: &S) -> Result<Self, JobError> {
///         let group = job.ctx().job().group.as_ref();
///         group.map(|group| Self(group.to_string())).ok_or_else(|| JobError::fatal("whose is it?").code("no-tenant"))
///     }
/// }
///
/// async fn bill(Tenant(tenant): Tenant) -> String {
///     format!("a bill for {tenant}")
/// }
/// ```
pub trait FromJob<S>: Sized {
    /// How it reads the job's input: [`Typed`] where as JSON, else [`Untyped`].
    type Input;

    /// Takes it.
    ///
    /// # Errors
    /// When it is not there: the attempt has failed with that, and the handler is not called.
    fn from_job(job: &JobRequest, state: &S) -> impl Future<Output = Result<Self, JobError>> + Send;
}

/// The job's input, read as JSON.
///
/// ```
/// use raincheck::embed::Args;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Report {
///     month: String,
/// }
///
/// async fn render(Args(report): Args<Report>) -> String {
///     format!("everything of {}", report.month)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Args<T>(pub T);

impl<S, T: DeserializeOwned + Send> FromJob<S> for Args<T> {
    type Input = Typed<T>;

    fn from_job(job: &JobRequest, _: &S) -> impl Future<Output = Result<Self, JobError>> + Send {
        let read = serde_json::from_slice(&job.input().body).map(Self);
        ready(read.map_err(|error| {
            JobError::fatal(format!("the input is not what is taken: {}", unfit(&error))).code("bad-input")
        }))
    }
}

/// Why an input does not fit, without the value that does not: what is told of a failure holds no part of an input.
fn unfit(error: &serde_json::Error) -> String {
    const WITH_VALUE: [&str; 5] = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant ",
        "unknown field ",
    ];
    let text = error.to_string();
    if text.starts_with("missing field ") || text.starts_with("duplicate field ") {
        return text;
    }
    let told = WITH_VALUE.iter().any(|kind| text.starts_with(kind));
    match text.rsplit_once(", expected ").filter(|_| told) {
        Some((_, expected)) => format!("expected {expected}"),
        None => format!("line {}, column {}", error.line(), error.column()),
    }
}

impl<S: Sync, T: FromRef<S>> FromJob<S> for State<T> {
    type Input = Untyped;

    async fn from_job(_: &JobRequest, state: &S) -> Result<Self, JobError> {
        Ok(Self(T::from_ref(state)))
    }
}

/// Which attempt this is, from 1.
///
/// ```
/// use raincheck::embed::{Attempt, JobError};
///
/// async fn stubborn(Attempt(attempt): Attempt) -> Result<u32, JobError> {
///     if attempt < 3 {
///         return Err(JobError::retry("not yet"));
///     }
///     Ok(attempt)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(pub u32);

/// When the attempt's time is over.
///
/// ```
/// use raincheck::core::clock::Clock as _;
/// use raincheck::clock::SystemClock;
/// use raincheck::embed::{Deadline, JobError};
///
/// async fn patient(deadline: Deadline) -> Result<String, JobError> {
///     let left = deadline.left(SystemClock::new().now());
///     Ok(format!("{} s are left", left.as_secs()))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Timestamp);

impl Deadline {
    /// How long the attempt has from this instant on.
    ///
    /// ```
    /// use raincheck::core::time::Timestamp;
    /// use raincheck::embed::Deadline;
    /// use std::time::Duration;
    ///
    /// let now = Timestamp::from_millis(1_000);
    /// assert_eq!(Deadline(Timestamp::from_millis(3_500)).left(now), Duration::from_millis(2_500));
    /// assert_eq!(Deadline(now).left(Timestamp::from_millis(3_500)), Duration::ZERO);
    /// ```
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Duration {
        self.0.since(now)
    }
}

macro_rules! plain {
    ($($kind:ty: $job:ident => $take:expr;)+) => {$(
        impl<S> FromJob<S> for $kind {
    type Input = Untyped;

            fn from_job($job: &JobRequest, _: &S) -> impl Future<Output = Result<Self, JobError>> + Send {
                ready(Ok($take))
            }
        }
    )+};
}

plain! {
    Ctx: job => job.ctx().clone();
    Bytes: job => job.input().body.clone();
    JobId: job => job.ctx().id();
    Attempt: job => Self(job.ctx().attempt());
    Deadline: job => Self(job.ctx().deadline());
}

impl<S> FromJob<S> for String {
    type Input = Untyped;

    fn from_job(job: &JobRequest, _: &S) -> impl Future<Output = Result<Self, JobError>> + Send {
        let text = Self::from_utf8(job.input().body.to_vec());
        ready(text.map_err(|_| JobError::fatal("the input is not UTF-8").code("bad-input")))
    }
}
