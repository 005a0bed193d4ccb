//! Routes of an application that answer `Prefer: respond-async` with a rain check: the proxy, in process.
//!
//! ```text
//! a request ─► layers around ─► Responding ─┬─ Pass, Late ─► the route
//!                                           └─ Job ─► Desk ─► store ⇝ workers/upstream ─► Application ─► layers around ─► … ─► the route
//! ```
//!
//! The routes stay as they are. A request that is to become a job is kept as a job's input; the attempt asks the whole application
//! again in this process, after a restart as well, and its answer is the job's result, byte for byte.
//!
//! Invariants: what becomes a job, and what of it may be done again, is decided by the proxy's code, and it is submitted, worked,
//! answered and redeemed by the proxy's code; the request of an attempt becomes no job.

mod application;
mod service;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use raincheck_core::name::QueueName;
use raincheck_core::queue::ByteSize;
use raincheck_core::worker::Worker;
use tower::Layer;

pub(super) use self::application::Application;
pub use self::service::Responding;
use self::service::Rules;
use super::queue::QueueSettings;
use super::raincheck::Raincheck;
use super::unopened::OpenFailed;
use crate::proxy::rule::{AFTER_MAX, Mode, Retries};

/// The queue of what becomes a job, unless [`RespondAsync::queue`] names another.
const QUEUE: &str = "respond-async";
/// The largest request, unless its queue says otherwise: what axum's extractors take.
const BODY_MAX: ByteSize = ByteSize(2 << 20);

/// A tower layer that makes routes answer with rain checks: see [`Raincheck::respond_async`]. Cloning gives the same layer.
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::post};
/// use raincheck::embed::{Raincheck, RespondAsync, queue};
///
/// async fn thumb(picture: bytes::Bytes) -> bytes::Bytes {
///     picture
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Raincheck::builder().open_for_test().await?;
/// // What takes longer than two seconds becomes a job, whatever its client prefers.
/// let slow: RespondAsync = test.respond_async().after(Duration::from_secs(2));
/// // Every call is a job, four at a time, and may be worked again after a crash.
/// let always = test.respond_async().always().retry_unsafe().queue("thumbs", queue().concurrency(4));
/// let app: Router = Router::new()
///     .route("/crop", post(thumb).layer(slow))
///     .route("/thumbs", post(thumb).layer(always))
///     .merge(test.router());
/// # drop(app);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RespondAsync {
    rc: Raincheck,
    queue: String,
    settings: QueueSettings,
    mode: Mode,
    after: Option<Duration>,
    retries: Retries,
    made: Arc<OnceLock<Arc<Rules>>>,
}

impl fmt::Debug for RespondAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RespondAsync")
            .field("queue", &self.queue)
            .field("mode", &self.mode)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl Raincheck {
    /// A tower layer, for a [`Router`], a nested one or a single route, that lets clients choose: a request with `Prefer: respond-async` is
    /// answered 202 with a durable job whose result is the route's own answer, one with `Prefer: wait=N` by the route where it
    /// answers within N seconds, else by 202 while it goes on. Every other request is answered as ever.
    ///
    /// The job's attempt asks the application again in this process, also after a restart. [`Raincheck::serve`] knows which
    /// application that is; where another server serves it, [`Raincheck::respond_with`] is told. Until then jobs wait, and preferences are ignored.
    /// The 202's `Location` leads to [`Raincheck::router`], which belongs into the same application.
    ///
    /// ```no_run
    /// use axum::{Router, routing::get};
    /// use raincheck::Raincheck;
    ///
    /// async fn report() -> String {
    ///     "drawn, slowly".to_owned()
    /// }
    ///
    /// # async fn main_() -> Result<(), Box<dyn std::error::Error>> {
    /// let rc = Raincheck::builder().open("./jobs").await?;
    /// let app = Router::new()
    ///     .route("/reports/{month}", get(report))
    ///     .layer(rc.respond_async())
    ///     .merge(rc.router());
    /// rc.serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn respond_async(&self) -> RespondAsync {
        RespondAsync {
            rc: self.clone(),
            queue: QUEUE.to_owned(),
            settings: QueueSettings::default(),
            mode: Mode::Prefer,
            after: None,
            retries: Retries::default(),
            made: Arc::default(),
        }
    }

    /// Tells which application the jobs of [`Raincheck::respond_async`] ask, and gives it back as it is to be served, by
    /// `axum::serve` or as a service. [`Raincheck::serve`] does this by itself. The queues of its layers are durable on return, and jobs
    /// that an earlier process left begin.
    ///
    /// A `Raincheck` has one application. Told again, the last one counts, and the log says so: jobs that the other's routes have made
    /// ask it as well. Two applications in a process, each with routes of this kind, have a `Raincheck` each, or are one `Router`.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use raincheck::Raincheck;
    /// use tower::ServiceExt as _;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = Raincheck::builder().open_for_test().await?;
    /// let slow = Router::new().route("/slow", get(async || "at last"));
    /// let app = slow.layer(test.respond_async()).merge(test.router());
    /// let app = test.respond_with(app).await?;
    ///
    /// let ask = Request::get("/slow").header("prefer", "respond-async").body(Body::empty())?;
    /// let answer = app.oneshot(ask).await?;
    /// assert_eq!(answer.status(), 202);
    /// test.drain().await; // the route was asked
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store has failed, or one of the queues is settled otherwise by somebody else.
    pub async fn respond_with(&self, app: Router) -> Result<Router, OpenFailed> {
        self.application().take_in(self, app).await
    }
}

impl RespondAsync {
    /// The jobs wait in this queue, with these settings: `respond-async` unless said, with those of [`queue()`](super::queue()) and requests of at most
    /// 2 MiB. Requests that became jobs while they were worked have a queue of their own, whose name ends with `-late`, and wait for no place.
    /// Layers may share a queue where they say the same of it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use raincheck::embed::{Raincheck, queue};
    ///
    /// let test = Raincheck::builder().open_for_test().await?;
    /// let reports = test.respond_async().queue("reports", queue().concurrency(2).depth(100)); // the 101st is told 429
    /// let app: axum::Router = axum::Router::new().route("/report", axum::routing::get(async || "drawn")).layer(reports);
    /// # drop(app);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn queue(mut self, name: impl Into<String>, settings: QueueSettings) -> Self {
        (self.queue, self.settings) = (name.into(), settings);
        self.anew()
    }

    /// A request that takes longer than this (an hour at most), to the head of its answer, becomes a job whatever its client prefers. It is not
    /// worked again: the job's result is the answer of the handler that is under way.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let test = raincheck::Raincheck::builder().open_for_test().await?;
    /// let slow = test.respond_async().after(Duration::from_secs(2)); // as `raincheck proxy --after 2s`
    /// # drop(slow);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = Some(after.min(AFTER_MAX));
        self.anew()
    }

    /// Every request becomes a job, whatever its client prefers: one that waits (`Prefer: wait=N`) is answered by the job's result
    /// where it is there in time. With [`RespondAsync::after`] only once it takes longer.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::post};
    /// use tower::ServiceExt as _;
    ///
    /// let test = raincheck::Raincheck::builder().open_for_test().await?;
    /// let always = test.respond_async().always();
    /// let app = test.respond_with(Router::new().route("/mail", post(async || "sent")).layer(always)).await?;
    /// let answer = app.oneshot(Request::post("/mail").body(Body::empty())?).await?; // without Prefer
    /// assert_eq!(answer.status(), 202);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn always(mut self) -> Self {
        self.mode = Mode::Always;
        self.anew()
    }

    /// Has also those requests worked again, after a crash or a failure, whose method is not idempotent (`POST`, `PATCH`). Without
    /// it they are worked once at most. Such a request has an `Idempotency-Key` that stays the same.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = raincheck::Raincheck::builder().open_for_test().await?;
    /// let again = test.respond_async().always().retry_unsafe(); // its POST is asked again after a crash
    /// # drop(again);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn retry_unsafe(mut self) -> Self {
        self.retries.unsafe_too = true;
        self.anew()
    }

    /// What says something else is another layer than those that it was cloned from.
    fn anew(mut self) -> Self {
        self.made = Arc::default();
        self
    }

    fn rules(&self) -> Rules {
        let name = |name: &str| {
            let read = QueueName::new(name);
            read.unwrap_or_else(|why| panic!("respond_async: {name:?} is no queue's name: {why}"))
        };
        // The other queue's name is the longer one.
        let (queue, _) = (name(&self.queue), name(&format!("{}-late", self.queue)));
        let mut spec = self.settings.spec.clone();
        spec.worker = Some(Worker::Function);
        spec.body_max.get_or_insert(BODY_MAX);
        if let Err(why) = crate::workers::check(&spec) {
            panic!("respond_async: queue {queue}: {why}");
        }
        if let Err(why) = self.rc.application().add(self.rc.node(), &queue, &spec) {
            panic!("respond_async: queue {queue}: {why}");
        }
        Rules {
            rc: self.rc.clone(),
            metrics: self.rc.node().metrics().responded(),
            label: queue.as_str().into(),
            queue,
            mode: self.mode,
            after: self.after,
            retries: self.retries.clone(),
        }
    }
}

impl<S> Layer<S> for RespondAsync {
    type Service = Responding<S>;

    /// # Panics
    /// When the queue's name or settings cannot be, another layer says something else of the queue, or one of the application's handlers
    /// works it.
    fn layer(&self, inner: S) -> Responding<S> {
        let rules = self.made.get_or_init(|| Arc::new(self.rules()));
        Responding::new(inner, rules.clone())
    }
}
