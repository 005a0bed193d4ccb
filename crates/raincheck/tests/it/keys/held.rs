//! What is held open for a key ends with it: waits, claims and streams.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{Locked, id_of, unauthenticated};
use crate::events::Stream;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(50);

impl Locked {
    async fn revoke(&self, key: &str) {
        let path = format!("/v1/keys/{}", id_of(key));
        assert_eq!(self.root("DELETE", &path).send().await.status, 204);
    }

    async fn submitted(&self) -> String {
        let submit = self.root("POST", "/v1/queues/thumbs/jobs").body("x");
        submit.send().await.job()
    }
}

#[tokio::test]
async fn a_worker_whose_key_is_revoked_while_it_waits_gets_no_job() {
    let locked = Locked::start().await;
    let key = locked.with_scopes(&["work"]).await;
    let claim = locked
        .by(&key, "POST", "/v1/queues/thumbs/claim")
        .header("prefer", "wait=50")
        .json(r#"{"worker":"w"}"#);
    let (answer, id) = tokio::join!(timeout(LONG, claim.send()), async {
        crate::pull::waiting(&locked.server, 1).await;
        locked.revoke(&key).await;
        locked.submitted().await
    });
    unauthenticated(&answer.expect("it does not wait on"));
    let other = locked.with_scopes(&["work"]).await;
    let claim = locked
        .by(&other, "POST", "/v1/queues/thumbs/claim")
        .header("prefer", "wait=50")
        .json(r#"{"worker":"w"}"#);
    let claimed = claim.send().await.json();
    assert_eq!(claimed["leases"][0]["job"]["id"], *id, "{claimed}");
}

#[tokio::test]
async fn whoever_waits_for_a_job_with_a_key_that_is_revoked_is_not_told_of_it() {
    let locked = Locked::start().await;
    let key = locked.with_scopes(&["read"]).await;
    let id = locked.submitted().await;
    let ask = locked.by(&key, "GET", &format!("/v1/jobs/{id}"));
    let ask = ask.header("prefer", "wait=50");
    let (answer, ()) = tokio::join!(timeout(LONG, ask.send()), async {
        while locked.server.node.watch().waiters() != 1 {
            tokio::task::yield_now().await;
        }
        locked.revoke(&key).await;
    });
    unauthenticated(&answer.expect("it does not wait on"));
}

#[tokio::test]
async fn a_submit_that_waits_with_a_key_that_is_revoked_is_told_of_its_job_and_of_no_result() {
    let locked = Locked::start().await;
    for keyed in [false, true] {
        let key = locked.with_scopes(&["submit", "read"]).await;
        let submit = || {
            let submit = locked.by(&key, "POST", "/v1/queues/thumbs/jobs");
            let submit = submit.header("prefer", "wait=50");
            if keyed {
                submit.header("idempotency-key", "\"k\"")
            } else {
                submit
            }
        };
        if keyed {
            let first = locked.by(&key, "POST", "/v1/queues/thumbs/jobs");
            let first = first.header("idempotency-key", "\"k\"").body("x").send().await;
            assert_eq!(first.status, 202);
        }
        let (answer, ()) = tokio::join!(timeout(LONG, submit().body("x").send()), async {
            while locked.server.node.watch().waiters() != 1 {
                tokio::task::yield_now().await;
            }
            locked.revoke(&key).await;
        });
        let answer = answer.expect("it does not wait on");
        assert_eq!(
            (answer.status, answer.outcome()),
            (202, Some("pending")),
            "{answer:?}"
        );
        assert_eq!(answer.json()["state"], "queued");
        // Its job was taken all the same.
        let path = format!("/v1/jobs/{}", answer.job());
        assert_eq!(locked.root("GET", &path).send().await.status, 200);
    }
}

#[tokio::test]
async fn streams_end_with_the_key_that_opened_them() {
    let locked = Locked::start().await;
    let revoked = locked.with_scopes(&["read"]).await;
    let short = locked
        .key(json!({"name": "short", "scopes": ["read"], "expires_in": "1s"}))
        .await;
    for (key, revoke) in [(&revoked, true), (&short, false)] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let mut all = Stream::with(locked.server.addr, "/v1/events", &headers).await;
        assert_eq!(all.status, 200, "{}", all.head);
        if revoke {
            locked.revoke(key).await;
        }
        let end = timeout(LONG, async { while all.next().await.is_some() {} });
        end.await.expect("the stream ends");
        locked.submitted().await;
    }
}
