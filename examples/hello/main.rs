//! Hello, world: as text, as JSON, and as a job for whoever is greeted at length.
//!
//! Invariant: all of them greet in the same words.

use std::time::Duration;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use raincheck::embed::{Accepted, Args, Ctx, JobType, Raincheck, SubmitError, queue};
use raincheck_examples::{listen, setting, store};
use serde_json::{Value, json};

/// A greeting that takes its time: a name goes in, a greeting comes out.
const GREET: JobType<String, String> = JobType::new("greet");

fn greeting(name: &str) -> String {
    format!("Hello, {name}!")
}

async fn text() -> String {
    greeting("world") + "\n"
}

async fn as_json() -> Json<Value> {
    Json(json!({ "message": greeting("world") }))
}

/// 202 at once, with a `Location` at which the greeting is redeemed.
async fn slowly(rc: Raincheck, Path(name): Path<String>) -> Result<Accepted<String>, SubmitError> {
    rc.submit(&GREET, &name).send().await
}

/// What works the queue: a function like any other.
async fn greet(ctx: Ctx, Args(name): Args<String>) -> String {
    ctx.progress(0.5, "drawing breath").await;
    tokio::time::sleep(Duration::from_millis(setting("BREATH_MS", 1000))).await;
    greeting(&name)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Raincheck::builder().handle(GREET, queue(), greet);
    let rc = builder.open(store("hello")).await?;
    let app = Router::new()
        .route("/", get(text))
        .route("/json", get(as_json))
        .route("/greetings/{name}", post(slowly))
        .merge(rc.router())
        .with_state(rc.clone());
    rc.serve(listen().await?, app).await?;
    Ok(())
}
