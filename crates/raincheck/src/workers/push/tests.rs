//! What push promises, against real servers.

mod answers;
mod later;
mod requests;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;

use crate::testing::handler::Handler;

/// A handler that answers the n-th request with the n-th answer, the last one for ever.
async fn scripted(answers: Vec<axum::response::Response>) -> Handler {
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    Handler::serve(Router::new().route(
        "/",
        post(move || async move {
            let answer = answers.lock().unwrap().next();
            answer.unwrap_or_else(|| StatusCode::IM_A_TEAPOT.into_response())
        }),
    ))
    .await
}
