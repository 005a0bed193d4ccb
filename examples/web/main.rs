//! A small web application with everything that one has: a redirect, an empty answer, path and query as JSON, a static
//! page, middleware, a websocket; and beside them a slow report, which is a job, and a slow route that knows nothing of jobs.
//!
//! Invariant: no route waits for a report, and nobody has to wait for the slow one.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Path, Query, Request, WebSocketUpgrade};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use raincheck::embed::{Accepted, Args, Ctx, JobError, JobType, Raincheck, Reply, SubmitError, queue};
use raincheck_examples::{listen, setting, store};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A route with a name, so that what leads there need not know its path.
const INDEX: &str = "/index";

/// A month goes in, a page comes out.
const REPORT: JobType<String, ()> = JobType::new("reports");

/// 307 to the named route.
async fn root() -> Redirect {
    Redirect::temporary(INDEX)
}

/// An empty answer says that it is empty.
async fn empty() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// What stands in the path and in the query, as JSON.
async fn echo(Path(name): Path<String>, Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    Json(json!({ "name": name, "query": query }))
}

/// A static file, compiled in: one file less that can be missing.
async fn index() -> impl IntoResponse {
    const HEADERS: [(header::HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=60"),
    ];
    (HEADERS, include_str!("index.html"))
}

/// Says what is said, until the other side has said enough.
async fn websocket(upgrade: WebSocketUpgrade) -> Response {
    async fn talk(mut socket: WebSocket) {
        while let Some(Ok(message)) = socket.recv().await {
            let answered = match message {
                Message::Text(text) => {
                    socket
                        .send(Message::Text(format!("you said {text}").into()))
                        .await
                }
                Message::Close(_) => break,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => Ok(()),
            };
            if answered.is_err() {
                break;
            }
        }
    }
    upgrade.max_message_size(64 << 10).on_upgrade(talk)
}

/// Middleware: every answer says how long it took.
async fn timed(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let mut response = next.run(request).await;
    let took = format!("app;dur={:.1}", begun.elapsed().as_secs_f64() * 1000.0);
    if let Ok(took) = HeaderValue::from_str(&took) {
        response.headers_mut().insert("server-timing", took);
    }
    response
}

/// Asked for twice, a month's report is made once.
async fn report(rc: Raincheck, Path(month): Path<String>) -> Result<Accepted<()>, SubmitError> {
    rc.submit(&REPORT, &month).idempotency_key(&*month).send().await
}

async fn make_report(ctx: Ctx, Args(month): Args<String>) -> Result<Reply, JobError> {
    if month.len() != 7 {
        return Err(JobError::fatal("a month looks like 2026-11").code("no-such-month"));
    }
    for page in 1..=4_u8 {
        ctx.progress(f64::from(page) / 4.0, format!("page {page}")).await;
        tokio::time::sleep(Duration::from_millis(setting("PAGE_MS", 500))).await;
    }
    Ok(Reply::new("text/csv", format!("month,cats,dogs\n{month},12,7\n")))
}

/// A route like any other, but slow: whoever prefers it gets a rain check for its answer.
async fn summary(Path(year): Path<u16>) -> ([(header::HeaderName, &'static str); 1], String) {
    for _month in 1..=12 {
        tokio::time::sleep(Duration::from_millis(setting("MONTH_MS", 250))).await;
    }
    let csv = [(header::CONTENT_TYPE, "text/csv")];
    (csv, format!("year,cats,dogs\n{year},144,84\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rc = Raincheck::builder()
        .mounted_at("/raincheck")
        .handle(REPORT, queue().concurrency(2), make_report)
        .open(store("web"))
        .await?;
    let app = Router::new()
        .route("/", get(root))
        .route("/empty", get(empty))
        .route("/json/{name}", get(echo))
        .route(INDEX, get(index))
        .route("/ws", any(websocket))
        .route("/reports/{month}", post(report))
        .route("/summaries/{year}", get(summary).layer(rc.respond_async()))
        .nest("/raincheck", rc.router())
        .layer(from_fn(timed))
        .with_state(rc.clone());
    rc.serve(listen().await?, app).await?;
    Ok(())
}
