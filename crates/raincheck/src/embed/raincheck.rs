//! The handle that an application has: submit, wait, change, mount, leave.
//!
//! Invariant: a wait is begun before the store is read, so that a change between the two is not missed.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use raincheck_core::id::JobId;
use raincheck_core::job::{Failure, Job, Outcome};
use raincheck_core::name::Namespace;
use raincheck_core::store::{Change, Missing, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::builder::Builder;
use super::job_type::JobType;
use super::respond::Application;
use super::submit::Submit;
use crate::api::ApiOptions;
use crate::api::desk::Desk;
use crate::api::embedded::{self, Door, Keyless};
use crate::api::ticket::TicketKey;
use crate::node::Node;

/// Raincheck within an application. Cloning gives another handle. In an axum handler it is an extractor, where the
/// application's state is it or has it ([`FromRef`]).
///
/// ```
/// use axum::extract::FromRef;
/// use raincheck::Raincheck;
///
/// #[derive(Clone)]
/// struct App {
///     rc: Raincheck,
///     title: &'static str,
/// }
///
/// // With this any route below `.with_state(app)` takes `rc: Raincheck`.
/// impl FromRef<App> for Raincheck {
///     fn from_ref(app: &App) -> Self {
///         app.rc.clone()
///     }
/// }
///
/// async fn health(rc: Raincheck) -> String {
///     format!("{rc:?}")
/// }
/// # let _ = axum::Router::<App>::new().route("/", axum::routing::get(health));
/// ```
#[derive(Clone)]
pub struct Raincheck(Arc<Inner>);

struct Inner {
    node: Node,
    namespace: Namespace,
    /// Whose routes answer for jobs.
    application: Application,
    /// Made when the first of them may.
    desk: OnceLock<Desk>,
    tickets: TicketKey,
    keyless: Keyless,
}

impl fmt::Debug for Raincheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Raincheck").field(&self.0.node).finish()
    }
}

/// Why a job has no result to give.
///
/// ```
/// # use raincheck::embed::{Args, JobType, Raincheck, queue};
/// # const GREET: JobType<String, String> = JobType::new("greet");
/// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
/// use raincheck::embed::ResultError;
///
/// let job = test.submit(&GREET, &"Ada".to_owned()).delay(std::time::Duration::from_secs(60)).send().await?;
/// test.cancel(job.id()).await?;
/// assert!(matches!(job.result().await, Err(ResultError::Cancelled)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// It failed.
    #[error("the job failed: {}: {}", .0.code, .0.detail)]
    Failed(Failure),
    /// It was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// It was not started in time.
    #[error("the job was not started in time")]
    Expired,
    /// There is no such job, or no longer.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Its result is not of the type that was asked for.
    #[error("the result is not what was expected: {0}")]
    Other(String),
    /// The node is left: the job goes on when it is opened again.
    #[error("the server is shutting down")]
    Leaving,
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Raincheck {
    pub(super) fn new(node: Node, namespace: Namespace, keyless: Keyless) -> Self {
        Self(Arc::new(Inner {
            node,
            namespace,
            keyless,
            application: Application::default(),
            desk: OnceLock::new(),
            tickets: TicketKey::default(),
        }))
    }

    /// Where its own code submits.
    pub(super) fn door(&self) -> Door<'_> {
        Door {
            node: &self.0.node,
            namespace: &self.0.namespace,
            tickets: &self.0.tickets,
        }
    }

    /// Begins to put one together.
    ///
    /// ```
    /// use raincheck::Raincheck;
    /// use raincheck::embed::queue;
    ///
    /// # async fn nothing() {}
    /// let _builder = Raincheck::builder().handle("nothing", queue(), nothing); // .open("./jobs").await?
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The node below: everything that the HTTP API does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = raincheck::Raincheck::builder().open_for_test().await?;
    /// use raincheck::core::name::Namespace;
    ///
    /// for status in test.node().store().queues(&Namespace::default()).await? {
    ///     println!("{}: {:?}", status.queue.name, status.counts);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    pub(super) fn application(&self) -> &Application {
        &self.0.application
    }

    /// Where requests of the application are given rain checks.
    pub(super) fn desk(&self) -> &Desk {
        self.0.desk.get_or_init(|| Desk::open(self.node().clone()))
    }

    /// A job with this input, to be submitted by [`Submit::send`].
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let job = test.submit(&GREET, &"Ada".to_owned()).send().await?;
    /// assert_eq!(job.result().await?, "Hello, Ada!");
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit<'a, A: Serialize, O: DeserializeOwned>(
        &'a self,
        job: &'a JobType<A, O>,
        args: &A,
    ) -> Submit<'a, O> {
        Submit::json(self, job.name(), args)
    }

    /// The job as it stands now.
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
    /// let job = test.job(job.id()).await?.expect("it is kept for a day");
    /// assert!(job.done());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the store; within, that there is none, or no longer.
    pub async fn job(&self, id: JobId) -> Result<Result<Arc<Job>, Missing>, StoreError> {
        self.node().store().get(self.namespace(), id).await
    }

    /// Cancels the job: one that waits at once, one that runs is told to stop. Gives it back as it is then.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let later = test.submit(&GREET, &"Ada".to_owned()).delay(std::time::Duration::from_secs(60)).send().await?;
    /// let job = test.cancel(later.id()).await??;
    /// assert!(job.done()); // it waited: one that runs is told to stop, and is done once it has
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the store; within, that there is none, or no longer.
    pub async fn cancel(&self, id: JobId) -> Result<Result<Arc<Job>, Missing>, StoreError> {
        let mut cancelled = self.node().store().cancel(self.namespace(), vec![id]).await?;
        Ok(cancelled.pop().unwrap_or(Err(Missing::Unknown)))
    }

    /// Waits until the job is done, and gives it with its result.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let job = test.submit(&GREET, &"Ada".to_owned()).send().await?;
    /// let change = test.done(job.id()).await?;
    /// assert_eq!(change.job.id, job.id());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When there is no such job, or the node is left before.
    ///
    /// # Cancel safety
    /// Safe: the job goes on.
    pub async fn done(&self, id: JobId) -> Result<Change, ResultError> {
        let mut watching = self.node().watch().subscribe(id);
        let now = self.node().store().result(self.namespace(), id).await??;
        if now.job.done() {
            return Ok(now);
        }
        loop {
            tokio::select! {
                biased;
                change = watching.changed() => if change.job.done() {
                    return Ok(change);
                },
                () = self.node().drained().cancelled() => return Err(ResultError::Leaving),
            }
        }
    }

    /// Waits until the job is done, and gives its result, read as JSON.
    ///
    /// ```
    /// # use raincheck::embed::{Args, JobType, Raincheck, queue};
    /// # const GREET: JobType<String, String> = JobType::new("greet");
    /// # async fn greet(Args(name): Args<String>) -> String { format!("Hello, {name}!") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test = Raincheck::builder().handle(GREET, queue(), greet).open_for_test().await?;
    /// let id = test.submit(&GREET, &"Ada".to_owned()).send().await?.id();
    /// let greeting: String = test.result(id).await?; // also in another process, later: all that it takes is the id
    /// assert_eq!(greeting, "Hello, Ada!");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it ended without one, or the node is left before.
    ///
    /// # Cancel safety
    /// Safe: the job goes on.
    pub async fn result<O: DeserializeOwned>(&self, id: JobId) -> Result<O, ResultError> {
        let Change { job, result } = self.done(id).await?;
        match (job.outcome(), result) {
            (Some(Outcome::Succeeded), Some(result)) => {
                // What a handler without anything to say gives back.
                let body: &[u8] = if result.body.is_empty() {
                    b"null"
                } else {
                    &result.body
                };
                serde_json::from_slice(body).map_err(|error| ResultError::Other(error.to_string()))
            }
            (Some(Outcome::Cancelled), _) => Err(ResultError::Cancelled),
            (Some(Outcome::Expired), _) => Err(ResultError::Expired),
            (Some(Outcome::Succeeded | Outcome::Failed) | None, _) => {
                let failure = job.error.clone();
                Err(ResultError::Failed(
                    failure.unwrap_or_else(|| Failure::new("handler-failed", "")),
                ))
            }
        }
    }

    /// The HTTP API (`/v1/…`, `/docs`, `/openapi.json`, `/metrics`, `/healthz`, `/readyz`, `/problems/…`), to be merged with the
    /// application's own routes, or nested where [`Builder::mounted_at`] says. Until there is an API key it answers to this machine only:
    /// to connections whose address [`serve`](Self::serve) tells, or a server of your own by `into_make_service_with_connect_info::<SocketAddr>()`.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use raincheck::Raincheck;
    ///
    /// # async fn main_() -> Result<(), Box<dyn std::error::Error>> {
    /// let rc = Raincheck::builder().mounted_at("/raincheck").open("./jobs").await?;
    /// let app: Router = Router::new().route("/", get(async || "mine")).nest("/raincheck", rc.router());
    /// # Ok(())
    /// # }
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.application().routed();
        let options = ApiOptions {
            closed: !self.node().has_keys(),
            as_it_was: true,
            ..ApiOptions::default()
        };
        embedded::router(self.node(), options, self.0.keyless)
    }

    /// Leaves: takes nothing new, lets running jobs finish for at most `grace`, gives the rest back and closes the store. The
    /// application's own door should be closed before.
    ///
    /// ```
    /// # use raincheck::Raincheck;
    /// # async fn main_(rc: Raincheck, app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
    /// // With a server of your own: its door first, then the jobs.
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// let stop = async {
    ///     let _ = tokio::signal::ctrl_c().await;
    /// };
    /// let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>(); // who asks the API
    /// axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    /// rc.shutdown(std::time::Duration::from_secs(25)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self, grace: Duration) {
        self.node().drain_within(grace).await;
        self.node().close().await;
        self.application().leave();
    }
}

impl<S: Sync> FromRequestParts<S> for Raincheck
where
    Self: FromRef<S>,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::from_ref(state))
    }
}
