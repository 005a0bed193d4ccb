//! Putting a [`Raincheck`] together: state, handlers, layers, and where the jobs are kept.
//!
//! Invariant: what cannot be is refused by [`Builder::open`] before anything is opened, with the queue it is about.

use std::collections::BTreeMap;
#[cfg(feature = "sqlite")]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::QueueSpec;
use raincheck_core::store::{Store, StoreError};
use raincheck_core::worker::Worker;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt as _};

use super::ctx::JobRequest;
use super::error::JobError;
use super::handler::{Handler, Worked};
use super::queue::QueueSettings;
use super::raincheck::Raincheck;
use super::reply::Reply;
use super::typed::WorkedBy;
use super::unopened::OpenFailed;
use crate::api::embedded::Keyless;
use crate::links::Mount;
use crate::node::{Node, NodeOptions};
use crate::workers::function::{Function, Functions};
use crate::workers::{AttemptEnd, StopReason, Stops};

/// What works the jobs of one queue, with its layers.
type Work = BoxCloneSyncService<JobRequest, Reply, BoxError>;

/// A queue that is to be worked.
struct Wanted {
    name: String,
    spec: QueueSpec,
    work: Work,
}

/// Puts a [`Raincheck`] together.
///
/// ```
/// use std::time::Duration;
/// use axum::extract::State;
/// use raincheck::embed::{Args, Raincheck, queue};
/// use tower::timeout::TimeoutLayer;
///
/// #[derive(Clone)]
/// struct Greeting(&'static str);
///
/// async fn greet(State(greeting): State<Greeting>, Args(name): Args<String>) -> String {
///     format!("{}, {name}!", greeting.0)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("jobs");
/// let rc = Raincheck::builder()
///     .with_state(Greeting("Hello")) // for the handlers below
///     .handle("greet", queue().concurrency(4).max_attempts(5), greet)
///     .layer(TimeoutLayer::new(Duration::from_secs(10))) // around those above
///     .drain(Duration::from_secs(5))
///     .public_url("https://greetings.example.com") // what webhooks tell
///     .open(path)
///     .await?;
/// rc.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[must_use = "it does nothing before it is opened"]
pub struct Builder<S = ()> {
    state: S,
    queues: Vec<Wanted>,
    options: NodeOptions,
    mount: String,
    pub(super) keyless: Keyless,
}

impl<S> std::fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queues: Vec<_> = self.queues.iter().map(|queue| &queue.name).collect();
        f.debug_struct("Builder")
            .field("queues", &queues)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            state: (),
            queues: Vec::new(),
            options: NodeOptions::default(),
            mount: String::new(),
            keyless: Keyless::ThisMachine,
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Builder<S> {
    /// Gives the handlers that are added from now on this state: they take it, or parts of it, by
    /// [`State`](axum::extract::State).
    ///
    /// ```
    /// use axum::extract::{FromRef, State};
    /// use raincheck::embed::{Raincheck, queue};
    ///
    /// #[derive(Clone)]
    /// struct App {
    ///     greeting: &'static str,
    /// }
    ///
    /// impl FromRef<App> for &'static str {
    ///     fn from_ref(app: &App) -> Self {
    ///         app.greeting
    ///     }
    /// }
    ///
    /// async fn greet(State(greeting): State<&'static str>, name: String) -> String {
    ///     format!("{greeting}, {name}!")
    /// }
    ///
    /// let _builder = Raincheck::builder().with_state(App { greeting: "Hello" }).handle("greet", queue(), greet);
    /// ```
    pub fn with_state<T: Clone + Send + Sync + 'static>(self, state: T) -> Builder<T> {
        Builder {
            state,
            queues: self.queues,
            options: self.options,
            mount: self.mount,
            keyless: self.keyless,
        }
    }

    /// Has the jobs of a queue worked by a handler; of a [`JobType`](super::JobType)'s, by one that takes and gives what its jobs do.
    ///
    /// ```
    /// use raincheck::embed::{Args, JobType, Raincheck, queue};
    ///
    /// const ADD: JobType<(i64, i64), i64> = JobType::new("add");
    ///
    /// async fn add(Args((a, b)): Args<(i64, i64)>) -> String {
    ///     (a + b).to_string()
    /// }
    ///
    /// let _by_name = Raincheck::builder().handle(ADD.name(), queue().concurrency(2), add);
    ///
    /// async fn sum(Args((a, b)): Args<(i64, i64)>) -> axum::Json<i64> {
    ///     axum::Json(a + b)
    /// }
    ///
    /// let _by_type = Raincheck::builder().handle(ADD, queue(), sum); // `add` above would not compile: it gives a text
    /// ```
    pub fn handle<M: 'static, H: Handler<M, S>>(
        mut self,
        queue: impl WorkedBy<H::Input, H::Value>,
        settings: QueueSettings,
        handler: H,
    ) -> Self {
        let work = Worked::new(handler, self.state.clone());
        self.queues.push(Wanted {
            name: queue.into().0,
            spec: settings.spec,
            work: BoxCloneSyncService::new(work.map_err(BoxError::from)),
        });
        self
    }

    /// Puts a tower layer around the attempts of the queues that were added before. An error of the layer's own fails the
    /// attempt, and is tried again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use raincheck::embed::{Raincheck, queue};
    /// use tower::timeout::TimeoutLayer;
    ///
    /// # async fn quick() {}
    /// # async fn slow() {}
    /// let _builder = Raincheck::builder()
    ///     .handle("quick", queue(), quick)
    ///     .layer(TimeoutLayer::new(Duration::from_secs(2))) // around the attempts of `quick`
    ///     .handle("slow", queue(), slow); // and not of `slow`
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Work, Service: Service<JobRequest, Response = Reply> + Clone + Send + Sync + 'static>,
        <L::Service as Service<JobRequest>>::Error: Into<BoxError>,
        <L::Service as Service<JobRequest>>::Future: Send + 'static,
    {
        for queue in &mut self.queues {
            let layered = ServiceBuilder::new()
                .map_err(Into::into)
                .layer(&layer)
                .service(queue.work.clone());
            queue.work = BoxCloneSyncService::new(layered);
        }
        self
    }

    /// How long running jobs get at a shutdown: 25 s unless said.
    ///
    /// ```
    /// # use raincheck::Raincheck;
    /// let _builder = Raincheck::builder().drain(std::time::Duration::from_secs(60)); // no longer than the platform waits to kill
    /// ```
    pub fn drain(mut self, drain: Duration) -> Self {
        self.options.drain = drain;
        self
    }

    /// Where the application nests [`Raincheck::router`]: what the URLs in answers begin with. `/raincheck`, say, for
    /// `.nest("/raincheck", rc.router())`; at the application's top unless said. Behind a proxy that takes away the beginning of
    /// paths, that beginning comes first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request};
    /// use raincheck::Raincheck;
    /// use tower::ServiceExt as _;
    ///
    /// let test = Raincheck::builder().mounted_at("/raincheck").open_for_test().await?;
    /// let app: Router = Router::new().nest("/raincheck", test.router());
    /// let answer = app.oneshot(Request::get("/raincheck/healthz").header("host", "localhost").body(Body::empty())?).await?;
    /// assert_eq!(answer.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn mounted_at(mut self, path: impl Into<String>) -> Self {
        self.mount = path.into();
        self
    }

    /// The URL at which others reach the application, without the path that the API is [mounted at](Self::mounted_at):
    /// webhooks and pushes tell URLs below it.
    ///
    /// ```
    /// # use raincheck::Raincheck;
    /// let _builder = Raincheck::builder().public_url("https://shop.example.com").mounted_at("/raincheck");
    /// // A webhook's job is https://shop.example.com/raincheck/v1/jobs/job_…
    /// ```
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.options.public_url = Some(url.into());
        self
    }

    /// Changes whatever else there is to say about the node: traces, where callbacks may lead, how many go to one host at once.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use raincheck::embed::Raincheck;
    /// use raincheck::outward::target::Targets;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let within = Targets { loopback: true, allowed: vec!["10.0.0.0/8".parse()?] };
    /// let _builder = Raincheck::builder().with(|options| {
    ///     options.targets = Arc::new(within); // callbacks may go there too
    ///     options.host_concurrency = 8;
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn with(mut self, change: impl FnOnce(&mut NodeOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Opens the embedded store in this folder, `sqlite:PATH` or just a path, makes it where it is not there, and begins to work.
    ///
    /// ```
    /// # async fn main_() -> Result<(), Box<dyn std::error::Error>> {
    /// use raincheck::Raincheck;
    ///
    /// let rc = Raincheck::builder().open("./jobs").await?; // or "sqlite:./jobs"
    /// rc.shutdown(std::time::Duration::from_secs(25)).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What cannot be, or a store that is in use or cannot be used.
    #[cfg(feature = "sqlite")]
    pub async fn open(mut self, store: impl AsRef<Path> + Send) -> Result<Raincheck, OpenFailed> {
        let store = store.as_ref();
        let folder = match store.to_str().and_then(|text| text.split_once(':')) {
            Some(("sqlite", folder)) => PathBuf::from(folder),
            Some((scheme, _)) if scheme.starts_with("postgres") => {
                return Err(OpenFailed::Address(store.display().to_string()));
            }
            Some(_) | None => store.to_owned(),
        };
        let wanted = self.checked()?;
        let opening = tokio::task::spawn_blocking(move || {
            let clock = Arc::new(crate::clock::SystemClock::new());
            crate::store::open_with(folder, clock, crate::store::Opening::default())
        });
        // Opening panics no more than anything else here.
        let store = opening.await.map_err(|_| StoreError::Closed)??;
        self.start(store, wanted).await
    }

    /// Begins to work over a store that is open.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use raincheck::{Raincheck, clock::SystemClock, store};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("jobs");
    /// let store = store::open(path, Arc::new(SystemClock::new()))?;
    /// let rc = Raincheck::builder().open_store(store.clone()).await?; // and elsewhere: store.queues(..), say
    /// # rc.shutdown(std::time::Duration::from_secs(5)).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What cannot be, or when the store has failed.
    pub async fn open_store(mut self, store: Arc<dyn Store>) -> Result<Raincheck, OpenFailed> {
        let wanted = self.checked()?;
        self.start(store, wanted).await
    }

    /// The queues with their settings, once it is certain that they can be.
    fn checked(&mut self) -> Result<BTreeMap<QueueName, (QueueSpec, Function)>, OpenFailed> {
        self.options.mount = Mount::new(&self.mount)?;
        let mut checked = BTreeMap::new();
        for queue in &self.queues {
            let name = QueueName::new(&queue.name).map_err(|_| OpenFailed::Name(queue.name.clone()))?;
            let spec = QueueSpec {
                worker: Some(Worker::Function),
                ..queue.spec.clone()
            };
            crate::workers::check(&spec).map_err(|bad| OpenFailed::Setting {
                queue: name.clone(),
                why: bad.detail,
            })?;
            let work = function(queue.work.clone());
            if checked.insert(name.clone(), (spec, work)).is_some() {
                return Err(OpenFailed::Twice(name));
            }
        }
        Ok(checked)
    }

    async fn start(
        mut self,
        store: Arc<dyn Store>,
        wanted: BTreeMap<QueueName, (QueueSpec, Function)>,
    ) -> Result<Raincheck, OpenFailed> {
        let (mut specs, mut functions) = (Vec::with_capacity(wanted.len()), BTreeMap::new());
        for (name, (spec, function)) in wanted {
            functions.insert(name.clone(), function);
            specs.push((name, spec));
        }
        self.options.functions = Functions(functions);
        let node = Node::start(store, self.options).await?;
        let namespace = Namespace::default();
        for (name, spec) in specs {
            let put = node.put_queue(&namespace, &name, spec, true).await?;
            put.map_err(|why| OpenFailed::Setting {
                queue: name,
                why: why.to_string(),
            })?;
        }
        Ok(Raincheck::new(node, namespace, self.keyless))
    }
}

/// Whether the attempt is to stop because the process leaves.
fn is_draining(stops: &Stops) -> bool {
    stops
        .now()
        .is_some_and(|stop| stop.reason == StopReason::Draining)
}

/// What works a queue, as the engine calls it.
fn function(work: Work) -> Function {
    Function::new(move |call| {
        let (work, most) = (work.clone(), call.result_max);
        let stops = call.stops.clone();
        async move {
            match work.oneshot(JobRequest::new(call)).await {
                Ok(reply) if reply.len() as u64 > most => JobError::fatal(format!(
                    "the result is larger than {most} bytes, the queue's limit"
                ))
                .code("result-too-large")
                .end(),
                Ok(reply) => AttemptEnd::Succeeded(reply.result()),
                Err(error) => match JobError::of(error) {
                    // It left because the process leaves: the next one goes on, and no attempt is charged.
                    error if error.is_retried() && is_draining(&stops) => AttemptEnd::Stopped,
                    error => error.end(),
                },
            }
        }
    })
}
