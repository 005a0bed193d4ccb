//! Routes that answer `Prefer: respond-async` with a rain check: over real sockets, with the application asked again.

mod jobs;
mod late;
mod leaving;
mod limits;
mod routes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::{any, get};
use raincheck::Raincheck;
use tokio::sync::Semaphore;

use super::App;
use crate::client::{Answer, Ask};

/// What the routes of a test share.
#[derive(Clone)]
struct Gate {
    begun: Arc<Semaphore>,
    open: Arc<Semaphore>,
    dropped: Arc<Semaphore>,
    calls: Arc<AtomicU32>,
}

/// Tells of its end, however that comes.
struct End(Arc<Semaphore>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Gate {
    fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self {
            begun: none(),
            open: none(),
            dropped: none(),
            calls: Arc::default(),
        }
    }

    /// One at which nobody waits.
    fn opened() -> Self {
        let gate = Self::new();
        gate.open.add_permits(100);
        gate
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }

    async fn dropped(&self) {
        self.dropped.acquire().await.unwrap().forget();
    }

    /// `/slow` with any method, which answers with the body it got when it is let; `/deaf`, which reads no body; `/broken`, which
    /// panics then.
    fn routes(&self) -> Router {
        async fn through(gate: &Gate) {
            gate.calls.fetch_add(1, Ordering::SeqCst);
            let _end = End(gate.dropped.clone());
            gate.begun.add_permits(1);
            gate.open.acquire().await.unwrap().forget();
        }
        async fn slow(State(gate): State<Gate>, body: String) -> String {
            through(&gate).await;
            format!("slow {body}")
        }
        async fn deaf(State(gate): State<Gate>) -> &'static str {
            through(&gate).await;
            "heard nothing"
        }
        async fn broken(State(gate): State<Gate>) -> &'static str {
            through(&gate).await;
            panic!("at the disco")
        }
        Router::new()
            .route("/slow", any(slow))
            .route("/broken", any(broken))
            .route("/deaf", any(deaf))
            .route("/fast", get(async || "fast"))
            .with_state(self.clone())
    }
}

/// The routes with a layer, beside the API.
async fn serve(rc: &Raincheck, routes: Router) -> App {
    App::serve(rc, routes.merge(rc.router())).await
}

fn preferring(ask: Ask) -> Ask {
    ask.header("prefer", "respond-async")
}

/// Where a rain check leads, with what is below.
fn url(check: &Answer, below: &str) -> String {
    assert_eq!(check.status, 202, "{check:?}");
    let (path, ticket) = check.header("location").unwrap().split_once("?ticket=").unwrap();
    format!("{path}{below}?ticket={ticket}")
}

/// Redeems a rain check as soon as it can be.
async fn redeem(app: &App, check: &Answer) -> Answer {
    app.ask("GET", &(url(check, "/result") + "&wait=30")).send().await
}
