//! Whether a handler is one for jobs of a [`JobType`]: it takes what goes in, and gives what comes out.
//!
//! Invariant: nothing of this is there when the program runs; what does not fit does not compile.

use std::marker::PhantomData;

use super::job_type::JobType;

/// JSON that is a `T`: what [`Args`](super::Args) take ([`FromJob::Input`](super::FromJob::Input)), or what is read back of what a handler gives
/// ([`IntoReply::Value`](super::IntoReply::Value)).
///
/// ```
/// use raincheck::embed::{IntoReply, JobError, Reply, Typed};
///
/// /// A point, written more briefly than a derive would; who submits reads a pair of numbers.
/// struct Point(i32, i32);
///
/// impl IntoReply for Point {
///     type Value = Typed<(i32, i32)>;
///
///     fn into_reply(self) -> Result<Reply, JobError> {
///         Ok(Reply::new("application/json", format!("[{},{}]", self.0, self.1)))
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Typed<T>(PhantomData<fn() -> T>);

/// No JSON, or nothing is said of it: it fits jobs of any type. [`FromJob::Input`](super::FromJob::Input) of what does not read the
/// input as JSON, [`IntoReply::Value`](super::IntoReply::Value) of a [`Reply`](super::Reply).
///
/// ```
/// use raincheck::embed::{IntoReply, JobError, Reply, Untyped};
///
/// struct Picture(Vec<u8>);
///
/// impl IntoReply for Picture {
///     type Value = Untyped;
///
///     fn into_reply(self) -> Result<Reply, JobError> {
///         Ok(Reply::new("image/png", self.0))
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Untyped(());

/// A queue's name, as a text or as a [`JobType`].
///
/// ```
/// use raincheck::embed::{JobName, JobType};
///
/// const GREET: JobType<String, String> = JobType::new("greet");
/// let _names: [JobName; 2] = [GREET.into(), "greet".into()]; // what Builder::handle takes
/// ```
#[derive(Clone, Debug)]
pub struct JobName(pub(super) String);

impl From<&str> for JobName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl<A, O> From<JobType<A, O>> for JobName {
    fn from(job: JobType<A, O>) -> Self {
        job.name().into()
    }
}

/// A queue that handlers may work that take `I` and give `V`: any where it is a name, those that fit where it is a [`JobType`].
///
/// ```
/// use raincheck::embed::{Args, Ctx, JobType, Raincheck, queue};
///
/// const DOUBLE: JobType<u32, u64> = JobType::new("double");
///
/// async fn double(_: Ctx, Args(n): Args<u32>) -> Result<u64, std::io::Error> {
///     Ok(u64::from(n) * 2)
/// }
///
/// async fn shout(Args(text): Args<String>) -> String {
///     text.to_uppercase()
/// }
///
/// let _builder = Raincheck::builder().handle(DOUBLE, queue(), double).handle("shout", queue(), shout);
/// ```
///
/// A handler of another type does not compile:
///
/// ```compile_fail,E0277
/// # use raincheck::embed::{Args, Ctx, JobType, Raincheck, queue};
/// # const DOUBLE: JobType<u32, u64> = JobType::new("double");
/// async fn double(_: Ctx, Args(text): Args<String>) -> Result<u64, std::io::Error> {
///     Ok(text.len() as u64)
/// }
/// let _builder = Raincheck::builder().handle(DOUBLE, queue(), double); // it takes a text, not a number
/// ```
///
/// ```compile_fail,E0277
/// # use raincheck::embed::{Args, Ctx, JobType, Raincheck, queue};
/// # const DOUBLE: JobType<u32, u64> = JobType::new("double");
/// async fn double(_: Ctx, Args(n): Args<u32>) -> String {
///     (n * 2).to_string()
/// }
/// let _builder = Raincheck::builder().handle(DOUBLE, queue(), double); // it gives a text, not a number
/// ```
pub trait WorkedBy<I, V>: Into<JobName> {}

impl<I, V> WorkedBy<I, V> for &str {}
impl<I, V> WorkedBy<I, V> for JobName {}
impl<A, O, I: Takes<A>, V: Gives<O>> WorkedBy<I, V> for JobType<A, O> {}

/// What a handler takes, where what goes in is an `A`: each of its parameters is `Args<A>`, or reads no JSON.
///
/// ```
/// use raincheck::embed::{Takes, Typed, Untyped};
///
/// fn fits<I: Takes<String>>() {}
/// fits::<Typed<String>>(); // a handler with Args<String>
/// fits::<Untyped>(); // one that reads bytes, or nothing
/// ```
#[diagnostic::on_unimplemented(
    message = "this handler does not take what goes into jobs of this type",
    label = "what goes in is `{A}`, and the handler takes {Self}",
    note = "take `Args<{A}>`, or name the queue by a text: `.handle(JOB.name(), ..)`"
)]
pub trait Takes<A> {}

impl<T> Takes<T> for Typed<T> {}
impl<A> Takes<A> for Untyped {}

/// What a handler gives, where what comes out is an `O`.
///
/// ```
/// use raincheck::embed::{Gives, Typed, Untyped};
///
/// fn fits<V: Gives<u64>>() {}
/// fits::<Typed<u64>>(); // a handler that gives Json<u64>, or Result<u64, _>
/// fits::<Untyped>(); // one that gives a Reply
/// ```
#[diagnostic::on_unimplemented(
    message = "this handler does not give what comes out of jobs of this type",
    label = "what comes out is `{O}`, and the handler gives {Self}",
    note = "give `{O}`, or name the queue by a text: `.handle(JOB.name(), ..)`"
)]
pub trait Gives<O> {}

impl<T> Gives<T> for Typed<T> {}
impl<O> Gives<O> for Untyped {}
