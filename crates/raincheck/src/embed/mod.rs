//! Raincheck within an application: queues worked by its own functions, jobs submitted from its own code.
//!
//! ```text
//! Builder ─► Raincheck ─┬─ submit ─► Accepted ─► result       (an application's handlers use it as an extractor)
//!                       ├─ router                             (the HTTP API, beside the application's own routes)
//!                       ├─ respond_async                      (a layer: those routes answer with rain checks where that is preferred)
//!                       └─ serve, shutdown
//! a job ─► JobRequest ─► layers ─► Handler { FromJob … } ─► IntoReply
//! ```
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::post;
//! use raincheck::embed::{Accepted, Args, JobType, Raincheck, SubmitError, queue};
//!
//! const GREET: JobType<String, String> = JobType::new("greet");
//!
//! async fn greet(Args(name): Args<String>) -> String {
//!     format!("Hello, {name}!")
//! }
//!
//! async fn ask(rc: Raincheck, name: String) -> Result<Accepted<String>, SubmitError> {
//!     rc.submit(&GREET, &name).send().await // 202 Accepted, with Location
//! }
//!
//! # async fn main_() -> Result<(), Box<dyn std::error::Error>> {
//! let rc = Raincheck::builder().handle(GREET, queue().concurrency(4), greet).open("./jobs").await?;
//! let app = Router::new().route("/greet", post(ask)).merge(rc.router()).with_state(rc.clone());
//! rc.serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?; // drains on SIGTERM
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: a job that an application submits is one like any other, by the same decisions, options and limits; a handler
//! that panics, is slow or is cut ends its attempt and nothing else; what `submit` accepted survives any crash.

mod accepted;
mod builder;
mod ctx;
mod error;
mod extract;
mod handler;
mod job_type;
mod queue;
mod raincheck;
mod reply;
mod respond;
mod serve;
mod submit;
#[cfg(feature = "testing")]
mod testing;
mod typed;
mod unopened;

pub use self::accepted::{Accepted, SubmitError};
pub use self::builder::Builder;
pub use self::ctx::{Ctx, JobRequest};
pub use self::error::{JobError, JobFailed};
pub use self::extract::{Args, Attempt, Deadline, FromJob};
pub use self::handler::{Handler, blocking};
pub use self::job_type::JobType;
pub use self::queue::{QueueSettings, queue};
pub use self::raincheck::{Raincheck, ResultError};
pub use self::reply::{IntoReply, Reply};
pub use self::respond::{RespondAsync, Responding};
pub use self::serve::ServeFailed;
pub use self::submit::Submit;
#[cfg(feature = "testing")]
pub use self::testing::Testing;
pub use self::typed::{Gives, JobName, Takes, Typed, Untyped, WorkedBy};
pub use self::unopened::OpenFailed;
pub use crate::links::BadMount;
pub use raincheck_core::id::JobId;
pub use raincheck_core::time::Timestamp;
