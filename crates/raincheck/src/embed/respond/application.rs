//! The application whose routes answer for jobs, and the queues that those jobs wait in.
//!
//! Invariants: a job is worked only while the application is known, so that none fails for want of it; a queue is there before
//! a request is made a job of it.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{Method, Request, Uri};
use http_body::Body as _;
use raincheck_core::name::QueueName;
use raincheck_core::queue::QueueSpec;
use tower::ServiceExt as _;
use tower::util::MapRequestLayer;
use tracing::warn;

use crate::embed::ctx::Ctx;
use crate::embed::raincheck::Raincheck;
use crate::embed::unopened::OpenFailed;
use crate::node::Node;
use crate::proxy::CONCURRENCY_LATE;
use crate::proxy::flight::{Answering, Flights, Origin};
use crate::proxy::keys::Turns;
use crate::proxy::parcel::Parcel;
use crate::proxy::rule::{Retries, late};
use crate::tasks::Group;
use crate::workers::function::Call;
use crate::workers::upstream;

/// In the extensions of a request: its target as it came, which nested routers shorten.
#[derive(Clone, Debug)]
pub(super) struct Whole(pub(super) Uri);

/// In the extensions of a request: it is that of an attempt, and no layer makes a job of it.
#[derive(Clone, Debug)]
pub(super) struct Attempted;

/// A queue of one layer or several.
#[derive(Debug)]
struct Line {
    spec: QueueSpec,
    /// Whether the store has it with these settings.
    there: bool,
}

/// The application. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Application(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    router: RwLock<Option<Router>>,
    lines: Mutex<BTreeMap<QueueName, Line>>,
    declaring: tokio::sync::Mutex<()>,
    flights: Flights,
    turns: Turns,
    tasks: Group,
    /// Whether the API was made into routes, by which results are redeemed.
    routed: AtomicBool,
    warned: AtomicBool,
}

impl Default for Application {
    fn default() -> Self {
        Self(Arc::new(Inner {
            router: RwLock::default(),
            lines: Mutex::default(),
            declaring: tokio::sync::Mutex::default(),
            flights: Flights::default(),
            turns: Turns::default(),
            tasks: Group::new("respond-async"),
            routed: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        }))
    }
}

impl Application {
    fn lines(&self) -> MutexGuard<'_, BTreeMap<QueueName, Line>> {
        // Nothing under this lock can panic half way.
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn router(&self) -> Option<Router> {
        let router = self.0.router.read();
        router.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, router: Option<Router>) {
        let before = {
            let mut place = self.0.router.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, router)
        };
        // What it holds may be the last of its kind, and is dropped outside the lock.
        drop(before);
    }

    /// Whether it is known.
    pub(super) fn known(&self) -> bool {
        let router = self.0.router.read();
        router.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Calls under way that became jobs.
    pub(super) fn flights(&self) -> &Flights {
        &self.0.flights
    }

    /// The keys under which requests are worked.
    pub(super) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    /// For what outlives the requests of its routes.
    pub(super) fn tasks(&self) -> &Group {
        &self.0.tasks
    }

    /// Notes that the API is among somebody's routes.
    pub(crate) fn routed(&self) {
        self.0.routed.store(true, Ordering::Relaxed);
    }

    /// Whether the API may be among the routes that a layer is around.
    pub(super) fn has_api(&self) -> bool {
        self.0.routed.load(Ordering::Relaxed)
    }

    /// Says something of which once is enough.
    pub(super) fn warn_once(&self, what: &str) {
        if !self.0.warned.swap(true, Ordering::Relaxed) {
            warn!("respond_async: {what}");
        }
    }

    /// Adds a layer's queue.
    ///
    /// # Errors
    /// When it is another's, or another layer says something else of it.
    pub(super) fn add(&self, node: &Node, queue: &QueueName, spec: &QueueSpec) -> Result<(), &'static str> {
        let mut lines = self.lines();
        match lines.get(queue) {
            Some(line) if line.spec == *spec => Ok(()),
            Some(_) => Err("two layers give it different settings: name another queue for one of them"),
            None if node.has_function(queue) || node.has_function(&late(queue)) => {
                Err("one of the application's handlers works it")
            }
            None => {
                let (spec, there) = (spec.clone(), false);
                lines.insert(queue.clone(), Line { spec, there });
                Ok(())
            }
        }
    }

    /// See [`Raincheck::respond_with`].
    pub(super) async fn take_in(&self, rc: &Raincheck, app: Router) -> Result<Router, OpenFailed> {
        if self.lines().is_empty() {
            return Ok(app);
        }
        if self.known() {
            warn!(
                "respond_async: told of an application again: jobs of the former one's routes ask this one from now on"
            );
        }
        let app = app.layer(MapRequestLayer::new(remember));
        self.set(Some(app.clone()));
        self.declare(rc).await?;
        if !self.has_api() {
            self.warn_once("nobody can redeem a 202: Raincheck::router is not among the routes");
        }
        Ok(app)
    }

    /// Makes the queues that are not there yet, and has their jobs worked.
    ///
    /// # Errors
    /// When the store has failed, or refuses one.
    pub(super) async fn declare(&self, rc: &Raincheck) -> Result<(), OpenFailed> {
        if self.lines().values().all(|line| line.there) {
            return Ok(());
        }
        let _one_at_a_time = self.0.declaring.lock().await;
        let missing: Vec<_> = {
            let lines = self.lines();
            let missing = lines.iter().filter(|(_, line)| !line.there);
            missing
                .map(|(name, line)| (name.clone(), line.spec.clone()))
                .collect()
        };
        for (name, spec) in missing {
            self.put(rc, late(&name), late_spec(&spec)).await?;
            self.put(rc, name.clone(), spec).await?;
            if let Some(line) = self.lines().get_mut(&name) {
                line.there = true;
            }
        }
        Ok(())
    }

    async fn put(&self, rc: &Raincheck, queue: QueueName, spec: QueueSpec) -> Result<(), OpenFailed> {
        // Before the queue is told of, so that its line finds who works it.
        let work = upstream::function(Arc::new(self.clone()), self.0.flights.clone());
        rc.node().add_function(queue.clone(), work);
        let put = rc.node().put_queue(rc.namespace(), &queue, spec, true).await?;
        put.map(drop).map_err(|why| OpenFailed::Setting {
            queue,
            why: why.to_string(),
        })
    }

    /// Lets go of the application and of the calls that no attempt has taken. Nothing is worked any more by then.
    pub(crate) fn leave(&self) {
        self.set(None);
        self.0.flights.clear();
        self.0.tasks.abort();
    }
}

/// The settings of the queue of what became a job while it was worked: it runs in any case.
fn late_spec(spec: &QueueSpec) -> QueueSpec {
    QueueSpec {
        concurrency: Some(CONCURRENCY_LATE),
        rate: None,
        burst: None,
        depth: None,
        depth_bytes: None,
        group_defaults: None,
        ..spec.clone()
    }
}

fn remember(mut request: Request<Body>) -> Request<Body> {
    if request.extensions().get::<Whole>().is_none() {
        let whole = Whole(request.uri().clone());
        request.extensions_mut().insert(whole);
    }
    request
}

impl Origin for Application {
    fn call(&self, mut request: Request<Body>, attempt: &mut Call) -> Answering {
        let Some(router) = self.router() else {
            // It was left: the attempt is given back.
            return Box::pin(pending());
        };
        let length = request.body().size_hint().exact().unwrap_or_default();
        let says_none = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        if length > 0 || says_none {
            let length = HeaderValue::from(length);
            request.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        let extensions = request.extensions_mut();
        extensions.insert(Attempted);
        extensions.insert(Ctx::of(attempt));
        Box::pin(async move {
            let Ok(response) = router.oneshot(request).await;
            Ok(response)
        })
    }

    fn retries(&self, parcel: &Parcel) -> Retries {
        Retries {
            unsafe_too: parcel.unsafe_too,
            ..Retries::default()
        }
    }

    fn name(&self) -> &'static str {
        "route"
    }
}
