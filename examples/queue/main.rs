//! A queue, some workers and their results: `POST /` takes work, `GET /{id}` gives what came of it.
//!
//! Invariant: what was answered 202 is worked, whatever happens to this process; an id that was never given out is told
//! from one that is not finished.

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::{get, post};
use raincheck::core::id::JobId;
use raincheck::embed::{Accepted, Args, Ctx, JobError, JobType, Raincheck, SubmitError, queue};
use raincheck_examples::{listen, setting, store};
use serde::{Deserialize, Serialize};

/// What is counted of a text.
#[derive(Serialize, Deserialize)]
struct Counted {
    words: usize,
    attempt: u32,
}

const COUNT: JobType<String, Counted> = JobType::new("count");

/// 202 once the work is on disk; 429 with `Retry-After` where too much waits already.
async fn submit(rc: Raincheck, text: String) -> Result<Accepted<Counted>, SubmitError> {
    rc.submit(&COUNT, &text).send().await
}

/// Leads to the result: 200 with it, 202 while there is none, 404 where there never was such a job, 410 once it was
/// cancelled or is kept no longer.
async fn redeem(Path(id): Path<String>) -> Result<Redirect, StatusCode> {
    let id: JobId = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(Redirect::temporary(&format!("/v1/jobs/{id}/result")))
}

/// The work. It may take long, fail or panic: its job is tried again, and the next one is worked meanwhile.
async fn count(ctx: Ctx, Args(text): Args<String>) -> Result<Counted, JobError> {
    let words = text.split_whitespace().count();
    for word in text.split_whitespace() {
        assert_ne!(word, "crash", "a defect of the program");
        if word == "bad" {
            return Err(JobError::fatal("this text cannot be counted").code("bad-text"));
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(setting("WORD_MS", 200))) => {}
            // Cancelled, or out of time. One that does not listen is dropped after the queue's `cancel_grace`.
            _ = ctx.stopped() => return Err(JobError::retry("told to stop")),
        }
    }
    let attempt = ctx.attempt();
    Ok(Counted { words, attempt })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = queue()
        .concurrency(setting("WORKERS", 3))
        .depth(setting("DEPTH", 1000))
        .max_attempts(3)
        .backoff(setting("BACKOFF", "constant;base=1s".to_owned()).parse()?)
        .keep(Duration::from_secs(setting("KEEP_S", 3600)));
    let rc = Raincheck::builder()
        .handle(COUNT, settings, count)
        .open(store("queue"))
        .await?;
    let app = Router::new()
        .route("/", post(submit))
        .route("/{id}", get(redeem))
        .merge(rc.router())
        .with_state(rc.clone());
    rc.serve(listen().await?, app).await?; // on SIGTERM or Ctrl-C what runs is finished first
    Ok(())
}
