//! Handlers: plain async functions of what they take from a job.
//!
//! Invariant: a handler is called once for each attempt, after everything it takes was there.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;
use tower::Service;

use super::ctx::{Ctx, JobRequest};
use super::error::{JobError, JobFailed};
use super::extract::{Args, FromJob};
use super::reply::{Given, IntoReply, Reply};
use super::typed::Takes;

/// A function that works jobs: async, of at most eight things that it takes from a job ([`FromJob`]), and giving back
/// something that becomes a result ([`IntoReply`]). `M` tells the shapes of functions apart and is always inferred.
///
/// ```
/// use axum::extract::State;
/// use raincheck::core::id::JobId;
/// use raincheck::embed::{Args, Attempt, JobError, Raincheck, queue};
///
/// #[derive(Clone)]
/// struct Db;
///
/// async fn nothing() {}
/// async fn some(State(_db): State<Db>, id: JobId, Attempt(n): Attempt, Args(x): Args<u32>) -> Result<String, JobError> {
///     Ok(format!("{id}, attempt {n}: {}", x + 1))
/// }
///
/// let _builder = Raincheck::builder()
///     .with_state(Db)
///     .handle("nothing", queue(), nothing)
///     .handle("some", queue(), some);
/// ```
#[diagnostic::on_unimplemented(
    message = "this is no handler of jobs",
    label = "no handler",
    note = "a handler is an `async fn` (not a plain `fn`) of at most eight things that are taken from a job: `Args<T>` with `T: Deserialize`, `State<S>`, \
            `Ctx`, `Attempt`, `JobId` and whatever else is `FromJob`",
    note = "`State<S>` is there for the handlers behind `.with_state(S)`: say that before `.handle(..)`",
    note = "it gives what is `IntoReply`: `()`, `String`, `Bytes`, `Json<T>`, `Reply`, or `Result<T, E>` with `T: Serialize` and `E: Into<JobError>`",
    note = "its future is `Send`: no `Rc`, no guard of a `std::sync::Mutex` is kept over an `.await`; what it captures is `Clone + Send + Sync + 'static`"
)]
pub trait Handler<M, S>: Clone + Send + Sync + 'static {
    /// What it takes: [`FromJob::Input`] of each parameter.
    type Input;
    /// What is read back of what it gives: [`IntoReply::Value`].
    type Value;

    /// Works one job.
    fn call(self, job: JobRequest, state: S) -> impl Future<Output = Result<Reply, JobError>> + Send;
}

macro_rules! handlers {
    ($($taken:ident)*) => {
        impl<A, $($taken: Takes<A>),*> Takes<A> for ($($taken,)*) {}

        #[allow(non_snake_case, reason = "a value is named like its type, where there is one")]
        impl<F, Fut, S, $($taken,)*> Handler<($($taken,)*), S> for F
        where
            F: FnOnce($($taken),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send,
            Fut::Output: IntoReply,
            S: Send + Sync + 'static,
            $($taken: FromJob<S> + Send,)*
        {
            type Input = ($(<$taken as FromJob<S>>::Input,)*);
            type Value = <Fut::Output as IntoReply>::Value;

            async fn call(self, job: JobRequest, state: S) -> Result<Reply, JobError> {
                let _ = (&job, &state);
                $(let $taken = $taken::from_job(&job, &state).await?;)*
                drop((job, state));
                self($($taken),*).await.into_reply()
            }
        }
    };
}

handlers!();
handlers!(T1);
handlers!(T1 T2);
handlers!(T1 T2 T3);
handlers!(T1 T2 T3 T4);
handlers!(T1 T2 T3 T4 T5);
handlers!(T1 T2 T3 T4 T5 T6);
handlers!(T1 T2 T3 T4 T5 T6 T7);
handlers!(T1 T2 T3 T4 T5 T6 T7 T8);

/// A handler at work.
type Working<V> = Pin<Box<dyn Future<Output = Result<Given<V>, JobError>> + Send>>;

/// A handler that works on a thread of its own, for work that computes or blocks: it holds up neither timers nor other
/// jobs. Nobody can end it from outside, so one that takes long asks [`Ctx::stopping`] between two steps.
///
/// ```
/// use raincheck::embed::{Ctx, JobError, blocking};
///
/// let sum = blocking(|numbers: Vec<u64>, ctx: Ctx| -> Result<u64, JobError> {
///     let mut sum = 0;
///     for number in numbers {
///         if ctx.stopping().is_some() {
///             return Err(JobError::retry("told to stop"));
///         }
///         sum += number;
///     }
///     Ok(sum)
/// });
/// # let _ = sum;
/// ```
pub fn blocking<A, R, F>(
    work: F,
) -> impl Fn(Args<A>, Ctx) -> Working<R::Value> + Clone + Send + Sync + 'static
where
    A: DeserializeOwned + Send + 'static,
    R: IntoReply<Value: 'static>,
    F: FnOnce(A, Ctx) -> R + Clone + Send + Sync + 'static,
{
    move |Args(args), ctx| {
        let work = work.clone();
        Box::pin(async move {
            let worked = tokio::task::spawn_blocking(move || work(args, ctx).into_reply()).await;
            match worked {
                Ok(reply) => reply.map(Given::new),
                Err(error) => match error.try_into_panic() {
                    // Passed on to where every panic of a handler is caught.
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => Err(JobError::retry(error)),
                },
            }
        })
    }
}

/// A handler with its state, as the service that layers are put around.
pub(super) struct Worked<H, M, S> {
    handler: H,
    state: S,
    shape: PhantomData<fn() -> M>,
}

impl<H, M, S> Worked<H, M, S> {
    pub(super) const fn new(handler: H, state: S) -> Self {
        Self {
            handler,
            state,
            shape: PhantomData,
        }
    }
}

impl<H: Clone, M, S: Clone> Clone for Worked<H, M, S> {
    fn clone(&self) -> Self {
        Self::new(self.handler.clone(), self.state.clone())
    }
}

impl<H, M, S> Service<JobRequest> for Worked<H, M, S>
where
    H: Handler<M, S>,
    S: Clone + Send + 'static,
{
    type Response = Reply;
    type Error = JobFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, JobFailed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), JobFailed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: JobRequest) -> Self::Future {
        let (handler, state) = (self.handler.clone(), self.state.clone());
        Box::pin(async move { handler.call(job, state).await.map_err(JobFailed) })
    }
}
