//! What handlers take, what they give back, and how they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRef, State};
use bytes::Bytes;
use raincheck::core::id::JobId;
use raincheck::core::name::Namespace;
use raincheck::embed::{
    Args, Attempt, Ctx, Deadline, JobError, JobType, Raincheck, Reply, ResultError, blocking, queue,
};
use raincheck::workers::StopReason;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tower::layer::layer_fn;
use tower::util::MapRequest;

use super::opened;

#[derive(Serialize, Deserialize)]
struct Sum {
    a: u64,
    b: u64,
}

const SUM: JobType<Sum, u64> = JobType::new("sum");
const NAME: JobType<String, String> = JobType::new("name");
const NOTHING: JobType<(), ()> = JobType::new("nothing");

/// Settings under which a failed attempt is over at once.
fn quick() -> raincheck::embed::QueueSettings {
    queue().with(|spec| spec.backoff = Some("constant;base=1ms".parse().unwrap()))
}

#[tokio::test]
async fn a_function_works_a_job_and_its_value_is_the_result() {
    async fn sum(Args(sum): Args<Sum>) -> Result<u64, JobError> {
        Ok(sum.a + sum.b)
    }
    let (rc, _folder) = opened(Raincheck::builder().handle(SUM, queue(), sum)).await;
    let accepted = rc.submit(&SUM, &Sum { a: 40, b: 2 }).send().await.unwrap();
    assert_eq!(accepted.result().await, Ok(42));
    let job = rc.job(accepted.id()).await.unwrap().unwrap();
    assert_eq!((job.queue.as_str(), job.attempt), ("sum", 1));
}

#[derive(Clone)]
struct Application {
    greeting: &'static str,
    calls: Calls,
}

#[derive(Clone, Default)]
struct Calls(Arc<AtomicU32>);

impl FromRef<Application> for Calls {
    fn from_ref(application: &Application) -> Self {
        application.calls.clone()
    }
}

#[tokio::test]
async fn a_function_takes_the_applications_state_and_what_it_needs_of_the_job() {
    #[expect(clippy::too_many_arguments, reason = "as many as there may be")]
    async fn all(
        State(application): State<Application>,
        State(calls): State<Calls>,
        ctx: Ctx,
        id: JobId,
        Attempt(attempt): Attempt,
        Deadline(deadline): Deadline,
        bytes: Bytes,
        Args(name): Args<String>,
    ) -> Json<String> {
        calls.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!((ctx.id(), ctx.attempt(), ctx.deadline()), (id, attempt, deadline));
        assert_eq!(bytes, format!("{name:?}").as_bytes());
        Json(format!("{}, {name}!", application.greeting))
    }
    let calls = Calls::default();
    let application = Application {
        greeting: "Hello",
        calls: calls.clone(),
    };
    let builder = Raincheck::builder()
        .with_state(application)
        .handle(NAME, queue(), all);
    let (rc, _folder) = opened(builder).await;
    let accepted = rc.submit(&NAME, &"Ada".to_owned()).send().await.unwrap();
    assert_eq!(accepted.result().await.as_deref(), Ok("Hello, Ada!"));
    assert_eq!(calls.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_error_is_tried_again_and_one_that_says_so_is_not() {
    async fn second_time(Attempt(attempt): Attempt) -> Result<(), JobError> {
        if attempt == 1 {
            // What `?` makes of any error.
            Err(std::io::Error::other("busy"))?;
        }
        Ok(())
    }
    async fn never(_: Args<()>) -> Result<(), JobError> {
        Err(JobError::fatal("there is no such thing").code("no-such-thing"))
    }
    const NEVER: JobType<(), ()> = JobType::new("never");
    let builder = Raincheck::builder()
        .handle(NOTHING, quick(), second_time)
        .handle(NEVER, quick(), never);
    let (rc, _folder) = opened(builder).await;
    let again = rc.submit(&NOTHING, &()).send().await.unwrap();
    assert_eq!(again.result().await, Ok(()));
    assert_eq!(rc.job(again.id()).await.unwrap().unwrap().attempt, 2);
    let failed = rc.submit(&NEVER, &()).send().await.unwrap();
    let Err(ResultError::Failed(failure)) = failed.result().await else {
        panic!("it fails");
    };
    assert_eq!(
        (&*failure.code, &*failure.detail),
        ("no-such-thing", "there is no such thing")
    );
    assert_eq!(rc.job(failed.id()).await.unwrap().unwrap().attempt, 1);
}

#[tokio::test]
async fn an_input_that_cannot_be_read_fails_the_job_for_good_without_calling_the_function() {
    async fn sum(Args(_): Args<Sum>) -> Result<u64, JobError> {
        panic!("it is not called");
    }
    const TEXT: JobType<String, u64> = JobType::new("sum");
    let (rc, _folder) = opened(Raincheck::builder().handle("sum", quick(), sum)).await;
    let accepted = rc.submit(&TEXT, &"two".to_owned()).send().await.unwrap();
    let Err(ResultError::Failed(failure)) = accepted.result().await else {
        panic!("it fails");
    };
    assert_eq!(failure.code, "bad-input");
    assert_eq!(
        failure.detail, "the input is not what is taken: expected struct Sum at line 1 column 5",
        "it says what is expected and nothing of the input"
    );
    assert_eq!(rc.job(accepted.id()).await.unwrap().unwrap().attempt, 1);
}

#[tokio::test]
async fn a_panic_fails_the_attempt_and_nothing_else() {
    async fn first_time_panics(Attempt(attempt): Attempt) -> Result<u32, JobError> {
        assert_ne!(attempt, 1, "a defect of the application");
        Ok(attempt)
    }
    let on_a_thread = blocking(|(): (), ctx: Ctx| -> Result<u32, JobError> {
        assert_ne!(ctx.attempt(), 1, "a defect of the application");
        Ok(ctx.attempt())
    });
    const HERE: JobType<(), u32> = JobType::new("here");
    const THERE: JobType<(), u32> = JobType::new("there");
    let builder = Raincheck::builder()
        .handle(HERE, quick(), first_time_panics)
        .handle(THERE, quick(), on_a_thread);
    let (rc, _folder) = opened(builder).await;
    for job in [HERE, THERE] {
        let accepted = rc.submit(&job, &()).send().await.unwrap();
        assert_eq!(accepted.result().await, Ok(2), "{job:?}");
    }
}

#[tokio::test]
async fn a_function_that_blocks_holds_up_nothing_and_hears_that_it_is_to_stop() {
    let (started, begun) = std::sync::mpsc::channel();
    let block = blocking(move |(): (), ctx: Ctx| -> Result<(), JobError> {
        started.send(()).unwrap();
        while ctx.stopping().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(ctx.stopping(), Some(StopReason::Cancelled));
        Err(JobError::retry("cancelled"))
    });
    async fn name(Args(name): Args<String>) -> String {
        name
    }
    let builder = Raincheck::builder()
        .handle(NOTHING, queue(), block)
        .handle(NAME, queue(), name);
    // One thread for all tasks: were it blocked, nothing else would run.
    let (rc, _folder) = opened(builder).await;
    let blocked = rc.submit(&NOTHING, &()).send().await.unwrap();
    tokio::task::spawn_blocking(move || begun.recv().unwrap())
        .await
        .unwrap();
    let other = rc.submit(&NAME, &"Ada".to_owned()).send().await.unwrap();
    assert_eq!(other.result().await.as_deref(), Ok("Ada"));
    rc.cancel(blocked.id()).await.unwrap().unwrap();
    assert_eq!(blocked.result().await, Err(ResultError::Cancelled));
}

#[tokio::test]
async fn a_function_hears_of_a_cancel_and_a_success_counts_nevertheless() {
    let begun = Arc::new(Semaphore::new(0));
    let tell = begun.clone();
    let wait = move |ctx: Ctx| {
        let tell = tell.clone();
        async move {
            tell.add_permits(1);
            ctx.stopped().await;
            Ok::<_, JobError>("so far".to_owned())
        }
    };
    const WAIT: JobType<(), String> = JobType::new("wait");
    let (rc, _folder) = opened(Raincheck::builder().handle(WAIT, queue(), wait)).await;
    let accepted = rc.submit(&WAIT, &()).send().await.unwrap();
    begun.acquire().await.unwrap().forget();
    rc.cancel(accepted.id()).await.unwrap().unwrap();
    assert_eq!(accepted.result().await.as_deref(), Ok("so far"));
}

#[tokio::test]
async fn what_a_function_shows_is_seen_while_it_runs_and_kept_with_its_job() {
    let (shown, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (shown.clone(), seen.clone());
    let show = move |ctx: Ctx| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            ctx.log("begun");
            ctx.emit("half of it");
            ctx.progress(0.5, "half").await;
            tell.add_permits(1);
            wait.acquire().await?.forget();
            Ok::<_, JobError>(())
        }
    };
    let (rc, _folder) = opened(Raincheck::builder().handle(NOTHING, queue(), show)).await;
    let accepted = rc.submit(&NOTHING, &()).send().await.unwrap();
    shown.acquire().await.unwrap().forget();
    let job = rc.job(accepted.id()).await.unwrap().unwrap();
    let progress = job.lease().and_then(|lease| lease.progress.clone()).unwrap();
    assert_eq!(
        (progress.fraction, progress.message.as_deref()),
        (Some(0.5), Some("half"))
    );
    seen.add_permits(1);
    accepted.result().await.unwrap();
    let output = rc
        .node()
        .store()
        .output(&job.namespace, job.id, 0, 10)
        .await
        .unwrap()
        .unwrap();
    let chunks: Vec<_> = output
        .chunks
        .iter()
        .map(|chunk| chunk.piece.body.as_ref())
        .collect();
    assert_eq!(chunks, [&b"begun\n"[..], b"half of it"]);
}

#[tokio::test]
async fn who_shows_more_than_is_kept_hears_of_it_and_so_does_who_reads_it() {
    const SHOW: JobType<(), [u8; 3]> = JobType::new("show");
    async fn show(ctx: Ctx) -> axum::Json<[u8; 3]> {
        axum::Json(["half of it", &"x".repeat(100), "y"].map(|text| u8::from(ctx.emit(text))))
    }
    let (rc, _folder) = opened(Raincheck::builder().handle(SHOW, queue().result_max(100), show)).await;
    let accepted = rc.submit(&SHOW, &()).send().await.unwrap();
    assert_eq!(accepted.result().await.unwrap(), [1, 0, 0]);
    let namespace = Namespace::default();
    let output = rc.node().store().output(&namespace, accepted.id(), 0, 10).await;
    let chunks = output.unwrap().unwrap().chunks;
    let shown: Vec<_> = chunks
        .iter()
        .map(|chunk| String::from_utf8_lossy(&chunk.piece.body))
        .collect();
    assert_eq!(
        shown,
        [
            "half of it",
            "output-too-large: the output is larger than 100 bytes, the rest is not kept\n"
        ]
    );
}

#[tokio::test]
async fn a_reply_is_redeemed_byte_for_byte_with_what_describes_it() {
    async fn picture(_: Ctx) -> Reply {
        Reply::new("image/png", &b"\x89PNG"[..])
            .header(&axum::http::header::CONTENT_DISPOSITION, "inline")
            .header(&axum::http::header::SET_COOKIE, "never=kept")
    }
    let (rc, _folder) = opened(Raincheck::builder().handle(NOTHING, queue(), picture)).await;
    let accepted = rc.submit(&NOTHING, &()).send().await.unwrap();
    let result = rc.done(accepted.id()).await.unwrap().result.unwrap();
    assert_eq!(result.content_type.as_deref(), Some("image/png"));
    assert_eq!(
        result.headers,
        [("content-disposition".to_owned(), "inline".to_owned())]
    );
    assert_eq!(&*result.body, b"\x89PNG");
}

#[tokio::test]
async fn a_result_that_is_too_large_fails_the_job_for_good() {
    async fn large(_: Ctx) -> Bytes {
        Bytes::from_static(&[0; 11])
    }
    let settings = queue().result_max(10);
    let (rc, _folder) = opened(Raincheck::builder().handle(NOTHING, settings, large)).await;
    let accepted = rc.submit(&NOTHING, &()).send().await.unwrap();
    let Err(ResultError::Failed(failure)) = accepted.result().await else {
        panic!("it fails");
    };
    assert_eq!(failure.code, "result-too-large");
}

#[tokio::test]
async fn layers_are_around_every_attempt_and_their_errors_fail_it() {
    async fn name(Args(name): Args<String>) -> String {
        name
    }
    async fn forever(_: Ctx) -> Result<(), JobError> {
        std::future::pending().await
    }
    let seen = Arc::new(AtomicU32::new(0));
    let counter = seen.clone();
    let count = layer_fn(move |inner| {
        let counter = counter.clone();
        MapRequest::new(inner, move |job: raincheck::embed::JobRequest| {
            counter.fetch_add(job.ctx().attempt(), Ordering::SeqCst);
            job
        })
    });
    let builder = Raincheck::builder()
        .handle(NAME, queue(), name)
        .handle(NOTHING, quick().max_attempts(2), forever)
        .layer(tower::timeout::TimeoutLayer::new(Duration::from_millis(300)))
        .layer(count);
    let (rc, _folder) = opened(builder).await;
    let named = rc.submit(&NAME, &"Ada".to_owned()).send().await.unwrap();
    assert_eq!(named.result().await.as_deref(), Ok("Ada"));
    let slow = rc.submit(&NOTHING, &()).send().await.unwrap();
    let Err(ResultError::Failed(failure)) = slow.result().await else {
        panic!("it fails");
    };
    assert_eq!(failure.detail, "request timed out");
    assert_eq!(seen.load(Ordering::SeqCst), 1 + 1 + 2);
}
