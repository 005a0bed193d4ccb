//! What a handler gets to work one job.
//!
//! Invariant: a context outlives nothing: once the attempt is over, what is told over it counts for nothing.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::OptionalFromRequestParts;
use http::request::Parts;
use raincheck_core::content::Input;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::lease::Progress;
use raincheck_core::output::Stream;
use raincheck_core::store::{Renew, Store};
use raincheck_core::time::Timestamp;

use crate::workers::emit::Emitter;
use crate::workers::function::Call;
use crate::workers::{StopReason, Stops};

/// A job that is to be worked: what layers see, and what extractors take from.
///
/// ```
/// use raincheck::embed::{JobRequest, Raincheck};
/// use tower::util::MapRequestLayer;
///
/// // A layer sees each attempt before its handler does.
/// let seen = MapRequestLayer::new(|job: JobRequest| {
///     println!("{} attempt {}, {} bytes", job.ctx().id(), job.ctx().attempt(), job.input().body.len());
///     job
/// });
/// let _builder = Raincheck::builder().layer(seen);
/// ```
#[derive(Debug)]
pub struct JobRequest {
    ctx: Ctx,
    input: Input,
}

impl JobRequest {
    pub(super) fn new(mut call: Call) -> Self {
        let ctx = Ctx::of(&mut call);
        Self {
            ctx,
            input: call.input,
        }
    }

    /// The attempt.
    ///
    /// ```
    /// use raincheck::embed::JobRequest;
    ///
    /// fn is_again(job: &JobRequest) -> bool {
    ///     job.ctx().attempt() > 1
    /// }
    /// ```
    #[must_use]
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// The job's input: bytes as they came, and what describes them.
    ///
    /// ```
    /// use raincheck::embed::JobRequest;
    ///
    /// fn is_csv(job: &JobRequest) -> bool {
    ///     job.input().content_type.as_deref() == Some("text/csv")
    /// }
    /// ```
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }
}

struct Inner {
    job: Arc<Job>,
    stops: Stops,
    deadline: Timestamp,
    traceparent: Option<String>,
    term: Duration,
    store: Arc<dyn Store>,
    emitter: Option<Emitter>,
}

/// The attempt that a handler works: which job it is, how far it is, and whether it is to stop. Cloning gives another
/// handle.
///
/// A route of axum below [`Raincheck::respond_async`](super::Raincheck::respond_async) takes it as `Option<Ctx>`: it has one where it is asked for a job.
///
/// ```
/// use raincheck::embed::{Args, Ctx, JobError};
///
/// async fn import(ctx: Ctx, Args(rows): Args<Vec<String>>) -> Result<usize, JobError> {
///     for (n, row) in rows.iter().enumerate() {
///         if ctx.stopping().is_some() {
///             return Err(JobError::retry("told to stop")); // cancelled, out of time, or the process leaves
///         }
///         ctx.emit(format!("{row}\n")); // followed by GET …/events
///         ctx.log(format!("row {n} is read")); // beside it, not part of the output
///         ctx.progress((n + 1) as f64 / rows.len() as f64, "importing").await;
///     }
///     Ok(rows.len())
/// }
/// ```
#[derive(Clone)]
pub struct Ctx(Arc<Inner>);

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("job", &self.0.job.id)
            .field("attempt", &self.0.job.attempt)
            .finish_non_exhaustive()
    }
}

impl Ctx {
    /// That of an attempt; what it shows while it works is shown through this one from now on.
    pub(super) fn of(call: &mut Call) -> Self {
        Self(Arc::new(Inner {
            job: call.job.clone(),
            stops: call.stops.clone(),
            deadline: call.deadline,
            traceparent: call.traceparent.clone(),
            term: call.term,
            store: call.store.clone(),
            emitter: call.emitter.take(),
        }))
    }

    /// The job as it was claimed.
    ///
    /// ```
    /// use raincheck::embed::Ctx;
    ///
    /// async fn bill(ctx: Ctx) -> String {
    ///     let tenant = ctx.job().group.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    ///     format!("a bill for {tenant}")
    /// }
    /// ```
    #[must_use]
    pub fn job(&self) -> &Arc<Job> {
        &self.0.job
    }

    /// The job's id.
    ///
    /// ```
    /// use raincheck::embed::Ctx;
    ///
    /// /// What another service may know a repeated request by: the same at every attempt.
    /// fn key(ctx: &Ctx) -> String {
    ///     format!("charge-{}", ctx.id())
    /// }
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.0.job.id
    }

    /// Which attempt this is, from 1.
    ///
    /// ```
    /// use raincheck::embed::Ctx;
    ///
    /// async fn flaky(ctx: Ctx) -> Result<u32, std::io::Error> {
    ///     match ctx.attempt() {
    ///         1 => Err(std::io::Error::other("not at the first try")),
    ///         attempt => Ok(attempt),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.job.attempt
    }

    /// When the attempt's time is over.
    ///
    /// ```
    /// use raincheck::clock::SystemClock;
    /// use raincheck::core::clock::Clock as _;
    /// use raincheck::embed::Ctx;
    ///
    /// /// Whether another step of this length fits in.
    /// fn fits(ctx: &Ctx, step: std::time::Duration) -> bool {
    ///     ctx.deadline().since(SystemClock::new().now()) > step
    /// }
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.0.deadline
    }

    /// The parent of the handler's spans (W3C Trace Context), where the job has a trace.
    ///
    /// ```
    /// use http::Request;
    /// use raincheck::embed::Ctx;
    ///
    /// /// A request to another service that belongs to the job's trace.
    /// fn ask(ctx: &Ctx) -> http::Result<Request<()>> {
    ///     let ask = Request::get("http://127.0.0.1:8000/prices");
    ///     match ctx.traceparent() {
    ///         Some(parent) => ask.header("traceparent", parent).body(()),
    ///         None => ask.body(()),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.0.traceparent.as_deref()
    }

    /// Tells how far the attempt is, from 0 to 1, and what it does: who follows the job sees it at once. Best effort: it
    /// is no error where it cannot be told.
    ///
    /// ```
    /// use raincheck::embed::Ctx;
    ///
    /// async fn walk(ctx: Ctx) {
    ///     for step in 1..=4 {
    ///         ctx.progress(f64::from(step) / 4.0, format!("step {step} of 4")).await; // in the job's document, and in its events
    ///     }
    /// }
    /// ```
    pub async fn progress(&self, fraction: f64, message: impl Into<String>) {
        let Some(lease) = self.0.job.lease_id() else {
            return;
        };
        let progress = Progress {
            fraction: fraction.is_finite().then(|| fraction.clamp(0.0, 1.0)),
            message: Some(message.into()).filter(|message| !message.is_empty()),
        };
        let renew = Renew {
            lease,
            term: self.0.term,
            progress: Some(progress),
            defer: false,
        };
        let told = self.0.store.renew(&self.0.job.namespace, vec![renew]).await;
        if let Err(error) = told {
            tracing::debug!(%error, "progress could not be told");
        }
    }

    /// Shows bytes of the output to those who follow the job, and keeps them with it, soon after. Of one attempt's output as much is
    /// kept as the queue's `result_max` allows (16 MiB unless said); `false` says that these bytes are not, and none after them: those who
    /// follow the job are told so by its log. Nothing waits here for the disk.
    ///
    /// ```
    /// use raincheck::embed::Ctx;
    ///
    /// async fn count(ctx: Ctx) {
    ///     for n in 0..3 {
    ///         ctx.emit(format!("{n}\n")); // to whoever reads …/events or …/result?stream
    ///     }
    /// }
    /// ```
    pub fn emit(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.push(Stream::Output, bytes.as_ref())
    }

    /// Shows a line of the log to those who follow the job, and keeps it with it.
    ///
    /// ```
    /// use raincheck::embed::Ctx;
    ///
    /// async fn import(ctx: Ctx) {
    ///     ctx.log("row 17 has no name: passed over"); // beside the output, not part of the result
    /// }
    /// ```
    pub fn log(&self, line: impl AsRef<str>) {
        self.push(Stream::Log, line.as_ref().as_bytes());
        self.push(Stream::Log, b"\n");
    }

    fn push(&self, stream: Stream, bytes: &[u8]) -> bool {
        bytes.is_empty()
            || self
                .0
                .emitter
                .as_ref()
                .is_some_and(|emitter| emitter.push(stream, bytes))
    }

    /// Waits until the attempt is to stop, and tells why. The handler is dropped soon after, if it does not end. Where the
    /// process leaves ([`StopReason::Draining`]), an error that another attempt may help against gives the job back: no
    /// attempt is charged.
    ///
    /// ```
    /// use raincheck::embed::{Ctx, JobError};
    ///
    /// async fn ask_somebody(ctx: Ctx) -> Result<String, JobError> {
    ///     tokio::select! {
    ///         answer = tokio::time::sleep(std::time::Duration::from_secs(60)) => Ok(format!("{answer:?}")),
    ///         why = ctx.stopped() => Err(JobError::retry(format!("left: {why:?}"))),
    ///     }
    /// }
    /// ```
    ///
    /// # Cancel safety
    /// Safe: asking again tells again.
    pub async fn stopped(&self) -> StopReason {
        self.0.stops.clone().told().await.reason
    }

    /// Why the attempt is to stop, where it is: what a loop on a thread of its own asks between two steps.
    ///
    /// ```
    /// use raincheck::embed::{Ctx, JobError, blocking};
    ///
    /// fn count(until: u64, ctx: Ctx) -> Result<u64, JobError> {
    ///     let mut n = 0;
    ///     while n < until {
    ///         if let Some(why) = ctx.stopping() {
    ///             return Err(JobError::retry(format!("left at {n}: {why:?}")));
    ///         }
    ///         n += 1;
    ///     }
    ///     Ok(n)
    /// }
    ///
    /// let _builder = raincheck::Raincheck::builder().handle("count", raincheck::embed::queue(), blocking(count));
    /// ```
    #[must_use]
    pub fn stopping(&self) -> Option<StopReason> {
        self.0.stops.now().map(|stop| stop.reason)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Ctx {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}
