//! A job that is claimed by the transaction that accepts it has one row written, whatever else that transaction does.

use raincheck_core::batch::{BatchId, BatchOpened, Line, NewBatch};
use raincheck_core::content::JobResult;
use raincheck_core::decide::Settlement;
use raincheck_core::id::Nonce;
use raincheck_core::name::Namespace;
use raincheck_core::store::{Renew, Settle, Store as _};

use crate::kit::{bytes, claim_as, number, of_one, open, patient_claim, queue, submission, submit};

/// Notes each row that was written waiting, and written again.
const NOTES: &str = "CREATE TABLE again (seq INTEGER); CREATE TRIGGER noted AFTER UPDATE ON jobs WHEN old.state = 0 \
    BEGIN INSERT INTO again VALUES (new.seq); END";

/// A store's folder in which that is noted.
async fn noting() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).expect("a new store opens");
    store.close().await.expect("and closes");
    let conn = rusqlite::Connection::open(dir.path().join("raincheck.db")).expect("its file is there");
    conn.execute_batch(NOTES).expect("it takes a trigger");
    dir
}

#[tokio::test]
async fn a_job_that_is_claimed_as_it_is_accepted_is_written_once_beside_those_that_end() {
    let (dir, ns) = (noting().await, Namespace::default());
    let store = open(dir.path()).unwrap();
    let (first, second) = (submit(&store, bytes("1")).await, submit(&store, bytes("2")).await);
    let one = claim_as(&store, Nonce([1; 12])).await.job;
    let two = claim_as(&store, Nonce([2; 12])).await.job;
    assert_eq!([one.id, two.id], [first, second]);
    let waiting = patient_claim(&store, Nonce([3; 12]));

    // All of these are asked for in one turn of the loop, and so are one transaction.
    let third = submission(&store, bytes("3"));
    let id = third.job.id;
    let accepted = store.submit(&ns, vec![third]);
    let result = JobResult::new(200, None, Vec::new(), "done".into());
    let settle = Settle {
        lease: one.lease_id().unwrap(),
        digest: result.digest,
        settlement: Settlement::succeed(result),
        seed: 1,
    };
    let settled = store.settle(&ns, vec![settle]);
    let renew = Renew {
        lease: two.lease_id().unwrap(),
        term: std::time::Duration::from_secs(60),
        progress: None,
        defer: false,
    };
    let renewed = store.renew(&ns, vec![renew]);
    store.withdraw(&ns, &queue(), Nonce([9; 12]));
    let claimed = store.claim(&ns, of_one(Nonce([4; 12])));
    assert!(accepted.await.unwrap()[0].is_ok());
    assert!(settled.await.unwrap()[0].is_ok());
    assert!(renewed.await.unwrap()[0].is_some());
    assert!(claimed.await.unwrap().is_empty());
    assert_eq!(waiting.await.unwrap()[0].job.id, id);
    store.close().await.unwrap();

    assert_eq!(number(dir.path(), "SELECT count(*) FROM again"), 2);
    let again = format!("SELECT count(*) FROM again WHERE seq = {}", id.seq());
    assert_eq!(number(dir.path(), &again), 0);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.get(&ns, id).await.unwrap().unwrap().attempt, 1);
}

#[tokio::test]
async fn lines_that_are_claimed_as_they_are_accepted_are_written_once_however_they_come() {
    let (dir, ns) = (noting().await, Namespace::default());
    let store = open(dir.path()).unwrap();
    submit(&store, bytes("0")).await;
    claim_as(&store, Nonce([9; 12])).await;
    let new = NewBatch {
        id: BatchId::new(store.mint()),
        keep: None,
        open_for: None,
        callback: None,
        idempotency: None,
    };
    let Ok(BatchOpened::Created(batch)) = store.open_batch(&ns, new).await.unwrap() else {
        panic!("a new batch");
    };
    let waiting = [1, 2, 3].map(|n| patient_claim(&store, Nonce([n; 12])));

    // Asked for in one turn of the loop, and so one transaction.
    let added = [0, 1, 2].map(|n| {
        let line = Line::Job(Box::new(submission(&store, bytes("line"))));
        store.add_lines(&ns, batch.id, n, vec![line])
    });
    for added in added {
        assert!(added.await.unwrap().is_ok());
    }
    for claim in waiting {
        assert_eq!(claim.await.unwrap().len(), 1);
    }
    store.close().await.unwrap();
    assert_eq!(
        number(dir.path(), "SELECT count(*) FROM again"),
        1,
        "the first job alone"
    );
}
