//! The model under the suite.

use std::sync::Arc;
use std::time::Duration;

use super::ModelStore;
use crate::clock::{Clock, ManualClock};
use crate::content::{Input, JobResult};
use crate::decide::{Claimer, NewJob, Settlement};
use crate::id::Nonce;
use crate::job::{Options, Outcome};
use crate::lease::WorkerKind;
use crate::name::{Namespace, QueueName, WorkerName};
use crate::store::{Claim, Settle, Store, Submission, Submitted};

#[tokio::test]
async fn the_model_takes_a_job_from_submit_to_its_result() {
    let clock = Arc::new(ManualClock::default());
    let store = ModelStore::new(clock.clone());
    let (ns, queue) = (Namespace::default(), QueueName::new("q").unwrap());
    let job = NewJob {
        id: store.mint(),
        namespace: ns.clone(),
        queue: queue.clone(),
        group: None,
        priority: 5,
        run_at: None,
        delay: None,
        options: Options::default(),
        retry_of: None,
    };
    let submission = Submission {
        job: job.clone(),
        input: Input::default(),
        idempotency: None,
        create_queue: true,
    };
    assert_eq!(
        store.submit(&ns, vec![submission]).await.unwrap(),
        [Ok(Submitted::Created)]
    );
    let claim = Claim {
        queue,
        claimer: Claimer {
            worker: WorkerName::new("w").unwrap(),
            kind: WorkerKind::Pull,
            term: Duration::from_secs(30),
            claim_id: None,
        },
        nonces: vec![Nonce([1; 12]), Nonce([2; 12])],
    };
    let leased = store.claim(&ns, claim).await.unwrap();
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].job.started_at, Some(clock.now()));
    let result = JobResult::new(200, None, Vec::new(), bytes::Bytes::from_static(b"done"));
    let settle = Settle {
        lease: leased[0].job.lease_id().unwrap(),
        settlement: Settlement::Succeed(result.clone()),
        digest: [0; 16],
        seed: 0,
    };
    let settled = store.settle(&ns, vec![settle]).await.unwrap();
    assert_eq!(settled[0].as_ref().unwrap().outcome(), Some(Outcome::Succeeded));
    let read = store.result(&ns, job.id).await.unwrap().unwrap();
    assert_eq!(read.result.as_deref(), Some(&result));
}
