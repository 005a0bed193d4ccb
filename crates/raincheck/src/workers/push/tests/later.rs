//! Answers that promise another one.

use super::super::*;
use super::scripted;
use crate::testing::handler::Handler;
use crate::testing::{Setup, promises, text};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use raincheck_core::job::Outcome;
use raincheck_core::store::Store;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

promises! {
    an_answer_for_later_needs_the_url_of_a_lease
    only_the_word_later_makes_an_answer_wait
    jobs_that_are_settled_later_keep_their_places_in_the_queue
}

const LATER: [(&str, &str); 1] = [("raincheck-complete", "later")];

async fn an_answer_for_later_needs_the_url_of_a_lease(setup: Setup) {
    let options = crate::NodeOptions {
        public_url: None,
        ..crate::testing::options()
    };
    let setup = Setup::over(setup.store.clone(), options).await;
    let seen = Arc::new(Mutex::new(None));
    let sink = seen.clone();
    let handler = Handler::serve(Router::new().route(
        "/",
        post(move |headers: HeaderMap| async move {
            *sink.lock().unwrap() = Some(headers);
            (StatusCode::ACCEPTED, LATER)
        }),
    ))
    .await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    let id = setup.submit("q", "").await;
    let job = setup.done(id).await.job;
    let headers = seen.lock().unwrap().take().unwrap();
    assert_eq!(headers.get("raincheck-lease"), None, "the node has no public URL");
    assert_eq!((job.attempt, job.outcome()), (1, Some(Outcome::Failed)));
    assert_eq!(job.error.as_ref().unwrap().detail, NO_LEASE_URL);
}

async fn only_the_word_later_makes_an_answer_wait(setup: Setup) {
    let answers = [
        (StatusCode::ACCEPTED, [("raincheck-complete", "now")], "a").into_response(),
        (StatusCode::OK, LATER, "b").into_response(),
        (StatusCode::ACCEPTED, "c").into_response(),
    ];
    let handler = scripted(answers.into()).await;
    setup.queue("q", handler.at("/"), |_| {}).await;
    for body in ["a", "b", "c"] {
        let id = setup.submit("q", "").await;
        assert_eq!(text(&setup.done(id).await), body);
    }
}

async fn jobs_that_are_settled_later_keep_their_places_in_the_queue(setup: Setup) {
    let handler =
        Handler::serve(Router::new().route("/", post(|| async { (StatusCode::ACCEPTED, LATER) }))).await;
    for (name, concurrency) in [("unwritten", None), ("written", Some(2))] {
        let queue = setup
            .queue(name, handler.at("/"), |spec| spec.concurrency = concurrency)
            .await;
        let places = queue.concurrency(4).unwrap();
        let mut held = Vec::new();
        for _ in 0..places {
            let id = setup.submit(name, "").await;
            let handed_over = |job: &Job| {
                job.lease()
                    .is_some_and(|lease| lease.kind == WorkerKind::Deferred)
            };
            held.push(setup.until(id, handed_over).await);
        }
        let claims = setup.store.claims.load(Ordering::SeqCst);
        let waiting = setup.submit(name, "").await;
        crate::testing::eventually("a claim for the job that waits", || {
            setup.store.claims.load(Ordering::SeqCst) > claims
        })
        .await;
        assert_eq!(
            setup.job(waiting).await.attempt,
            0,
            "{name}: all places are taken"
        );
        let lease = held[0].lease_id().unwrap();
        let settle = raincheck_core::store::Settle {
            lease,
            settlement: raincheck_core::decide::Settlement::Cancel,
            digest: [1; 16],
            seed: 0,
        };
        setup.store.settle(&setup.ns, vec![settle]).await.unwrap()[0]
            .as_ref()
            .unwrap();
        setup.until(waiting, |job| job.lease().is_some()).await;
    }
}
