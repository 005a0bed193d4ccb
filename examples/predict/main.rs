//! A model behind HTTP: loaded once, asked for many lines at once, and telling what it finds while it finds it.
//!
//! Each request is a job, so none is lost where the model is slow, and none waits in memory without a bound. Those that are
//! claimed together are guessed together (a micro-batch); `/annotate` streams its findings.
//!
//! Invariant: a line gets the same guess in whatever company it is guessed.

mod model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{FromRef, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use raincheck::embed::{Accepted, Args, Ctx, JobError, JobType, Raincheck, SubmitError, queue};
use raincheck::tasks::{Group, TaskKind};
use raincheck_examples::{listen, setting, store};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use model::{Guess, Model};

const GUESS: JobType<String, Guess> = JobType::new("guess");
const ANNOTATE: JobType<String, BTreeMap<String, usize>> = JobType::new("annotate");

/// The model is asked for at most so many lines at once: as many jobs are claimed together.
const BATCH: usize = 64;

/// A line, and who waits for its guess.
type Wanted = (String, oneshot::Sender<Guess>);

/// The model as handlers ask it.
#[derive(Clone)]
struct Oracle {
    ask: mpsc::Sender<Wanted>,
    model: Arc<Model>,
    largest: Arc<AtomicUsize>,
    /// How often the model was asked.
    asked: Arc<AtomicUsize>,
}

impl Oracle {
    fn start(model: Model, tasks: &Group) -> Self {
        let (ask, mut asked) = mpsc::channel::<Wanted>(BATCH);
        let oracle = Self {
            ask,
            model: Arc::new(model),
            largest: Arc::default(),
            asked: Arc::default(),
        };
        let Self {
            model,
            largest,
            asked: count,
            ..
        } = oracle.clone();
        let gather = Duration::from_millis(setting("GATHER_MS", 2));
        tasks.spawn(TaskKind::Service, async move {
            while let Some(first) = asked.recv().await {
                // Those that were claimed with it are on their way.
                tokio::time::sleep(gather).await;
                let mut batch = vec![first];
                while batch.len() < BATCH
                    && let Ok(next) = asked.try_recv()
                {
                    batch.push(next);
                }
                largest.fetch_max(batch.len(), Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
                let (lines, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                for (guess, waiting) in model.guess(&lines).into_iter().zip(waiting) {
                    // Whoever was cancelled meanwhile does not wait any more.
                    let _ = waiting.send(guess);
                }
            }
        });
        oracle
    }

    async fn guess(&self, line: String) -> Result<Guess, JobError> {
        let (tell, told) = oneshot::channel();
        self.ask.send((line, tell)).await?;
        Ok(told.await?)
    }
}

#[derive(Clone)]
struct App {
    rc: Raincheck,
    oracle: Oracle,
}

impl FromRef<App> for Raincheck {
    fn from_ref(app: &App) -> Self {
        app.rc.clone()
    }
}

async fn guess(State(oracle): State<Oracle>, Args(line): Args<String>) -> Result<Guess, JobError> {
    oracle.guess(line).await
}

/// Each line of a text, shown as soon as it is guessed; the result counts them.
async fn annotate(
    ctx: Ctx,
    State(oracle): State<Oracle>,
    Args(text): Args<String>,
) -> Result<BTreeMap<String, usize>, JobError> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let guess = oracle.guess(line.to_owned()).await?;
        ctx.emit(format!(
            "{:8} {:3.0} % {line}\n",
            guess.kind,
            guess.certainty * 100.0
        ));
        *found.entry(guess.kind).or_default() += 1;
    }
    Ok(found)
}

async fn ask(rc: Raincheck, line: String) -> Result<Accepted<Guess>, SubmitError> {
    rc.submit(&GUESS, &line).send().await
}

async fn ask_all(rc: Raincheck, text: String) -> Result<Accepted<BTreeMap<String, usize>>, SubmitError> {
    rc.submit(&ANNOTATE, &text).send().await
}

async fn about(State(app): State<App>) -> Json<Value> {
    let Oracle {
        model,
        largest,
        asked,
        ..
    } = &app.oracle;
    let (largest, asked) = (largest.load(Ordering::Relaxed), asked.load(Ordering::Relaxed));
    Json(
        json!({ "kinds": model.kinds(), "accuracy": model.accuracy(), "asked": asked, "largest_batch": largest }),
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tasks = Group::new("model");
    let oracle = Oracle::start(Model::load()?, &tasks);
    let rc = Raincheck::builder()
        .with_state(oracle.clone())
        .handle(
            GUESS,
            queue().concurrency(64).depth(setting("DEPTH", 10_000)),
            guess,
        )
        .handle(ANNOTATE, queue().concurrency(4), annotate)
        .open(store("predict"))
        .await?;
    let app = App {
        rc: rc.clone(),
        oracle,
    };
    let app = Router::new()
        .route("/", get(about))
        .route("/guess", post(ask))
        .route("/annotate", post(ask_all))
        .merge(rc.router())
        .with_state(app);
    rc.serve(listen().await?, app).await?;
    Ok(())
}
