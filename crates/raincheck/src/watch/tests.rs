//! What waiters are promised.

use super::*;
use raincheck_core::decide::{NewJob, submit};
use raincheck_core::job::{Job, JobOptions};
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::time::Timestamp;

fn id(n: u64) -> JobId {
    JobId::from_parts(
        (Timestamp::from_millis(1_767_225_600_000).as_millis() as u64) << 12 | n,
        n,
    )
}

fn change(n: u64, version: u32) -> Change {
    let job = submit(&NewJob {
        id: id(n),
        namespace: Namespace::default(),
        queue: QueueName::new("q").unwrap(),
        group: None,
        priority: 5,
        run_at: None,
        delay: None,
        options: JobOptions::default(),
        retry_of: None,
        member: None,
    });
    let job = Arc::new(Job { version, ..job });
    Change { job, result: None }
}

#[tokio::test]
async fn a_change_after_the_subscription_is_heard_though_nobody_awaited_yet() {
    let watch = Watch::new();
    let mut watching = watch.subscribe(id(1));
    watch.tell(&[change(1, 2)]);
    assert_eq!(watching.changed().await.job.version, 2);
}

#[tokio::test]
async fn of_several_changes_a_waiter_hears_the_last() {
    let watch = Watch::new();
    let mut watching = watch.subscribe(id(1));
    watch.tell(&[change(1, 2), change(2, 9)]);
    watch.tell(&[change(1, 3)]);
    assert_eq!(watching.changed().await.job.version, 3);
    let next = tokio::time::timeout(std::time::Duration::ZERO, watching.changed()).await;
    assert!(next.is_err(), "the same change is not told twice");
}

#[tokio::test]
async fn a_later_subscriber_does_not_hear_what_was_before() {
    let watch = Watch::new();
    let mut first = watch.subscribe(id(1));
    watch.tell(&[change(1, 2)]);
    let mut second = watch.subscribe(id(1));
    assert!(
        tokio::time::timeout(std::time::Duration::ZERO, second.changed())
            .await
            .is_err()
    );
    watch.tell(&[change(1, 3)]);
    assert_eq!(second.changed().await.job.version, 3);
    assert_eq!(first.changed().await.job.version, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_waiters_of_one_job_are_all_told() {
    let watch = Watch::new();
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..5000 {
        let mut watching = watch.subscribe(id(1));
        waiters.spawn(async move { watching.changed().await.job.version });
    }
    let teller = watch.clone();
    std::thread::spawn(move || teller.tell(&[change(1, 2)]))
        .join()
        .unwrap();
    assert_eq!(waiters.join_all().await, vec![2; 5000]);
    assert_eq!(watch.waiters(), 0);
}

#[tokio::test]
async fn waiters_that_left_leave_nothing_behind() {
    let watch = Watch::new();
    let watching: Vec<_> = (0..10_000).map(|n| watch.subscribe(id(n))).collect();
    assert_eq!(watch.waiters(), 10_000);
    drop(watching);
    assert_eq!(watch.waiters(), 0);
    assert!(watch.0.jobs.is_empty());
    watch.tell(&[change(1, 2)]);
}

#[test]
fn an_idle_waiter_is_small() {
    let each = size_of::<Watching>() + size_of::<Slot>() + size_of::<(JobId, Entry)>();
    assert!(each <= 256, "{each} bytes");
}
