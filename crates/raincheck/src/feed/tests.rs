//! What readers of feeds are promised.

use super::*;
use raincheck_core::decide::{NewJob, submit};
use raincheck_core::id::Fence;
use raincheck_core::job::JobOptions;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::output::{Piece, Stream};
use raincheck_core::time::Timestamp;

fn id(n: u64) -> JobId {
    JobId::from_parts(1_767_225_600_000 << 12 | n, n)
}

fn chunk(job: u64, n: u64, len: usize) -> Arc<Chunk> {
    Arc::new(Chunk {
        job: id(job),
        n,
        fence: Fence(1),
        attempt: 1,
        seq: 0,
        at: Timestamp::default(),
        piece: Piece {
            stream: Stream::Output,
            body: Bytes::from(vec![b'x'; len]),
        },
    })
}

fn job(n: u64, version: u32) -> Arc<Job> {
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
    Arc::new(Job { version, ..job })
}

/// The next event in a few words.
async fn next(following: &mut Following) -> String {
    match following.next().await {
        Ok(event) => match &event.what {
            What::Chunk(chunk) => format!("chunk {} at {}", chunk.n, event.version),
            What::Job(job) => format!("version {}", job.version),
        },
        Err(Lagged) => "lagged".to_owned(),
    }
}

#[tokio::test]
async fn a_reader_hears_of_its_job_alone_and_from_the_start_on() {
    let feeds = Feeds::default();
    feeds.emitted(&[chunk(1, 1, 1)]);
    let mut one = feeds.follow(id(1));
    feeds.emitted(&[chunk(2, 7, 1), chunk(1, 2, 1), chunk(1, 3, 1)]);
    feeds.advanced(&[job(1, 5), job(2, 8)]);
    feeds.emitted(&[chunk(1, 4, 1)]);
    let mut late = feeds.follow(id(1));
    feeds.emitted(&[chunk(1, 5, 1)]);
    for expected in [
        "chunk 2 at 0",
        "chunk 3 at 0",
        "version 5",
        "chunk 4 at 5",
        "chunk 5 at 5",
    ] {
        assert_eq!(next(&mut one).await, expected);
    }
    assert_eq!(next(&mut late).await, "chunk 5 at 5");
    drop((one, late));
    assert_eq!(feeds.readers(), 0);
    assert!(
        feeds.ring(id(1)).is_none(),
        "a job that nobody follows costs nothing"
    );
}

#[tokio::test]
async fn a_reader_that_waits_is_woken() {
    let feeds = Feeds::default();
    let mut one = feeds.follow(id(1));
    let mut all = feeds.follow_all();
    let told = async {
        tokio::task::yield_now().await;
        feeds.advanced(&[job(1, 1)]);
    };
    let (one, all, ()) = tokio::join!(next(&mut one), next(&mut all), told);
    assert_eq!((one.as_str(), all.as_str()), ("version 1", "version 1"));
}

#[tokio::test]
async fn a_ring_is_bounded_in_events_and_in_bytes() {
    let feeds = Feeds::default();
    let mut slow = feeds.follow(id(1));
    let last = EVENTS_MAX as u64 + 10;
    let many: Vec<_> = (1..=last).map(|n| chunk(1, n, 1)).collect();
    feeds.emitted(&many);
    assert_eq!(next(&mut slow).await, "lagged");
    assert_eq!(next(&mut slow).await, "chunk 11 at 0");
    let large: Vec<_> = (1..=5).map(|n| chunk(1, last + n, BYTES_MAX / 2)).collect();
    feeds.emitted(&large);
    assert_eq!(next(&mut slow).await, "lagged");
    assert_eq!(next(&mut slow).await, format!("chunk {} at 0", last + 4));
    // One that is larger than all is there nevertheless.
    feeds.emitted(&[chunk(1, last + 6, BYTES_MAX + 1)]);
    assert_eq!(next(&mut slow).await, "lagged");
    assert_eq!(next(&mut slow).await, format!("chunk {} at 0", last + 6));
}

#[tokio::test]
async fn an_event_is_written_once_in_each_form() {
    let feeds = Feeds::default();
    let (mut a, mut b) = (feeds.follow(id(1)), feeds.follow(id(1)));
    feeds.emitted(&[chunk(1, 1, 1)]);
    let (a, b) = (a.next().await.unwrap(), b.next().await.unwrap());
    assert_eq!(a.written(0, || Bytes::from_static(b"once")), "once");
    assert_eq!(b.written(0, || Bytes::from_static(b"twice")), "once");
    assert_eq!(b.written(1, || Bytes::from_static(b"other")), "other");
}
