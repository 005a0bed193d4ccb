//! Without a key, by what is secret itself: a ticket opens its job, a lease its attempt.

use serde_json::json;

use super::{Locked, unauthenticated};
use crate::client::Answer;

async fn submitted(locked: &Locked, key: &str) -> Answer {
    let submitted = locked.by(key, "POST", "/v1/queues/thumbs/jobs");
    let submitted = submitted.header("raincheck-ticket", "1h").body("x").send().await;
    assert_eq!(submitted.status, 202, "{submitted:?}");
    submitted
}

#[tokio::test]
async fn a_ticket_opens_its_job_without_a_key_in_any_namespace() {
    let locked = Locked::start().await;
    for key in [locked.root.clone(), locked.stranger().await] {
        let submitted = submitted(&locked, &key).await;
        let document = submitted.json();
        let url = |name: &str| document["urls"][name].as_str().unwrap().to_owned();
        assert_eq!(locked.server.get(&url("self")).send().await.status, 200);
        assert_eq!(locked.server.get(&url("result")).send().await.status, 202);
        unauthenticated(
            &locked
                .server
                .get(&format!("/v1/jobs/{}", submitted.job()))
                .send()
                .await,
        );
        let cancelled = locked.server.post(&url("cancel")).send().await;
        assert_eq!((cancelled.status, cancelled.outcome()), (200, Some("cancelled")));
        let ticket = url("self").split_once('?').unwrap().1.to_owned();
        let more = locked.server.get(&format!("/v1/jobs?{ticket}")).send().await;
        assert_eq!((more.status, more.code().as_str()), (403, "forbidden"));
    }
}

#[tokio::test]
async fn a_ticket_opens_its_job_whatever_else_the_request_brings_along() {
    let locked = Locked::start().await;
    let submitted = submitted(&locked, &locked.root).await.json();
    let result = submitted["urls"]["result"].as_str().unwrap();
    // More often than an address may try wrong keys.
    for n in 0..30 {
        for said in ["Bearer the-services-own", "Basic dTpw"] {
            let ask = locked.server.get(result).header("authorization", said);
            assert_eq!(ask.send().await.status, 202, "{said}, {n}");
        }
    }
}

#[tokio::test]
async fn a_ticket_that_is_no_jobs_tells_nothing_of_the_job() {
    let locked = Locked::start().await;
    let id = submitted(&locked, &locked.root).await.job();
    let nobodys = locked.server.store().mint().to_string();
    let ticket = format!("t1{}", "a".repeat(50));
    let detail = async |id: &str| {
        let answer = locked
            .server
            .get(&format!("/v1/jobs/{id}?ticket={ticket}"))
            .send()
            .await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
        answer.json()["detail"].as_str().unwrap().replace(id, "…")
    };
    assert_eq!(detail(&id).await, detail(&nobodys).await);
}

#[tokio::test]
async fn a_lease_opens_its_attempt_without_a_key_and_nothing_else() {
    let locked = Locked::start().await;
    for key in [locked.root.clone(), locked.stranger().await] {
        submitted(&locked, &key).await;
        submitted(&locked, &key).await;
        let claimed = locked
            .by(&key, "POST", "/v1/queues/thumbs/claim")
            .json(r#"{"worker":"w"}"#)
            .send()
            .await;
        assert_eq!(claimed.status, 200, "{claimed:?}");
        let lease = claimed.json()["leases"][0]["lease"].as_str().unwrap().to_owned();
        let path = format!("/v1/leases/{lease}");
        let at = |verb: &str| locked.server.post(&format!("{path}/{verb}"));
        assert_eq!(at("renew").send().await.status, 200);
        let emitted = at("emit").json(&json!({"seq": 0, "output": "x"}).to_string());
        assert_eq!(emitted.send().await.status, 200);
        // The next job is another one's.
        unauthenticated(
            &at("succeed")
                .header("raincheck-claim", "1")
                .body("done")
                .send()
                .await,
        );
        let fail = at("fail").header("raincheck-claim", "1").json("{}");
        unauthenticated(&fail.send().await);
        assert_eq!(at("succeed").body("done").send().await.status, 200);
        assert_eq!(at("succeed").body("done").send().await.status, 200, "again");
        let other = at("succeed").body("other").send().await;
        assert_eq!((other.status, other.code().as_str()), (409, "already-settled"));
        let guessed = format!(
            "{}{}",
            &path[..path.len() - 1],
            if path.ends_with('0') { "1" } else { "0" }
        );
        unauthenticated(
            &locked
                .server
                .post(&format!("{guessed}/succeed"))
                .body("x")
                .send()
                .await,
        );
        let many = json!([{"lease": lease, "action": "renew"}]).to_string();
        unauthenticated(&locked.server.post("/v1/leases").json(&many).send().await);
    }
}
