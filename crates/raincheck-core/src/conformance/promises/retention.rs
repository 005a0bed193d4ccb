//! Promises about how long finished jobs stay, and what is told of them afterwards.

use super::kit::{Draft, Kit, h, ms, queue_name, refuse, s, succeed};
use crate::job::{Job, Options};
use crate::queue::QueueSpec;
use crate::store::{ChangeRefused, Counts, Missing};
use crate::time::Timestamp;

fn expires_at(job: &Job) -> Timestamp {
    crate::decide::expires_at(job).expect("the job is done")
}

pub async fn a_finished_job_stays_until_its_retention_is_over(kit: Kit) {
    let spec = QueueSpec {
        keep: Some(h(2)),
        keep_failed: Some(h(3)),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    let own = Options {
        keep: Some(h(1)),
        ..Options::default()
    };
    let mut kept = vec![
        (kit.finished(Draft::with(own.clone()), succeed("yes")).await, h(1)),
        (kit.finished(Draft::with(own), refuse()).await, h(1)),
        (kit.finished(Draft::default(), succeed("yes")).await, h(2)),
        (kit.finished(Draft::default(), refuse()).await, h(3)),
    ];
    let cancelled = kit.submit(Draft::default()).await;
    kept.push((kit.cancel(cancelled).await.expect("the job is there"), h(2)));
    let start = kit.now();
    for hour in [h(1), h(2), h(3)] {
        kit.advance(start.plus(hour).since(kit.now()) - ms(1));
        assert_eq!(kit.prune().await, 0, "nothing goes before its time");
        kit.advance(ms(1));
        for (job, keep) in kept.iter().filter(|(_, keep)| *keep >= hour) {
            assert_eq!(expires_at(job), start.plus(*keep));
            assert_eq!(
                kit.find(job.id).await,
                Ok(job.clone()),
                "it is there until it is pruned"
            );
        }
        let due = kept.iter().filter(|(_, keep)| *keep == hour).count();
        assert_eq!(kit.prune().await as usize, due);
        for (job, keep) in &kept {
            let expected = if *keep > hour {
                Ok(job.clone())
            } else {
                Err(Missing::Expired)
            };
            assert_eq!(kit.find(job.id).await, expected);
        }
    }
    kit.counts_become("q", Counts::default()).await;
}

pub async fn a_pruned_job_is_said_to_be_gone_for_24_hours(kit: Kit) {
    kit.q().await;
    let id = kit.finished(Draft::default(), succeed("yes")).await.id;
    kit.advance(h(30));
    assert_eq!(kit.prune().await, 1);
    let gone = Missing::Expired;
    let told = async || {
        assert_eq!(kit.find(id).await, Err(gone));
        assert_eq!(kit.store.input(&kit.ns, id).await, Ok(Err(gone)));
        assert_eq!(kit.result(id).await.err(), Some(gone));
        assert_eq!(kit.cancel(id).await, Err(gone));
        assert_eq!(kit.retry(id).await, Err(ChangeRefused::Missing(gone)));
        assert_eq!(kit.delete(id).await, Err(ChangeRefused::Missing(gone)));
    };
    told().await;
    kit.advance(h(24) - ms(1));
    assert_eq!(kit.prune().await, 0);
    told().await;
    kit.advance(ms(1));
    assert_eq!(kit.prune().await, 1);
    assert_eq!(kit.find(id).await, Err(Missing::Unknown));
}

pub async fn an_unfinished_job_is_never_pruned(kit: Kit) {
    kit.q().await;
    let running = kit.running(Draft::default()).await;
    let queued = kit.submit(Draft::default()).await;
    let scheduled = kit
        .submit(Draft {
            delay: Some(h(9000)),
            ..Draft::default()
        })
        .await;
    kit.advance(h(8000));
    assert_eq!(kit.prune().await, 0);
    for id in [running.id, queued, scheduled] {
        assert!(!kit.get(id).await.done());
    }
    let done = kit
        .settle(&running, succeed("very late"))
        .await
        .expect("the lease is held");
    assert_eq!(kit.prune().await, 0, "retention counts from the end");
    assert_eq!(expires_at(&done), kit.now().plus(h(24)));
}

pub async fn a_prune_takes_no_more_than_its_limit(kit: Kit) {
    kit.q().await;
    for id in kit.submit_many(&Draft::default(), 7).await {
        kit.cancel(id).await.expect("the job is there");
    }
    let early = kit.submit(Draft::default()).await;
    kit.cancel(early).await.expect("the job is there");
    kit.delete(early).await.expect("the job is done");
    kit.advance(h(24));
    let mut slices = Vec::new();
    loop {
        let slice = kit.store.prune(3).await.expect("the store answers");
        assert!(slice.count <= 3);
        slices.push(slice.count);
        if !slice.more {
            break;
        }
    }
    assert_eq!(
        slices.iter().sum::<u32>(),
        8,
        "seven jobs and a tombstone: {slices:?}"
    );
    assert_eq!(kit.prune().await, 0);
}

pub async fn a_job_that_outlives_its_queue_is_kept_as_long(kit: Kit) {
    kit.q().await;
    let done = kit.finished(Draft::default(), succeed("yes")).await;
    kit.store
        .delete_queue(&kit.ns, &queue_name("q"))
        .await
        .expect("the store answers")
        .expect("it is empty");
    assert_eq!(kit.result_body(done.id).await.as_deref(), Some(&b"yes"[..]));
    assert_eq!(kit.cancel(done.id).await, Ok(done.clone()));
    kit.advance(h(24) - s(1));
    assert_eq!(kit.prune().await, 0);
    assert_eq!(kit.get(done.id).await, done);
    kit.advance(s(1));
    assert_eq!(kit.prune().await, 1);
    assert_eq!(kit.find(done.id).await, Err(Missing::Expired));
}
