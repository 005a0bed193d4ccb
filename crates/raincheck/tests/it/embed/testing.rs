//! The aids that tests of applications have.

use std::time::Duration;

use axum::extract::State;
use raincheck::embed::{Args, Attempt, JobError, JobType, Raincheck, ResultError, queue};
use tokio::sync::OnceCell;

const COUNT: JobType<u32, u32> = JobType::new("count");
const HOUR: Duration = Duration::from_secs(3600);

async fn count(Args(number): Args<u32>) -> Result<u32, JobError> {
    Ok(number)
}

#[tokio::test]
async fn only_what_is_due_runs_and_the_clock_says_what_is() {
    let test = Raincheck::builder()
        .handle(COUNT, queue(), count)
        .open_for_test()
        .await
        .unwrap();
    let now = test.submit(&COUNT, &1).send().await.unwrap();
    let later = test.submit(&COUNT, &2).delay(HOUR).send().await.unwrap();
    test.drain().await;
    let job = |id| test.job(id);
    assert!(job(now.id()).await.unwrap().unwrap().done());
    assert!(!job(later.id()).await.unwrap().unwrap().done());
    test.advance(HOUR);
    test.drain().await;
    assert_eq!(later.result().await, Ok(2));
    assert_eq!(test.submitted(&COUNT).await, [1, 2]);
}

#[tokio::test]
#[should_panic(expected = "none of the 1 jobs submitted to count is so: [\n    1,\n]")]
async fn what_was_not_submitted_is_told_with_what_was() {
    let builder = Raincheck::builder().handle(COUNT, queue(), count);
    let test = builder.open_for_test().await.unwrap();
    test.submit(&COUNT, &1).send().await.unwrap();
    test.assert_submitted(&COUNT, |n| *n == 1).await;
    test.assert_submitted(&COUNT, |n| *n == 2).await;
}

#[tokio::test]
async fn a_retry_waits_for_the_clock() {
    async fn second_time(Attempt(attempt): Attempt) -> Result<u32, JobError> {
        if attempt == 1 {
            return Err(JobError::retry_after(HOUR, "not yet"));
        }
        Ok(attempt)
    }
    let test = Raincheck::builder()
        .handle(COUNT, queue(), second_time)
        .open_for_test()
        .await
        .unwrap();
    let accepted = test.submit(&COUNT, &0).send().await.unwrap();
    test.drain().await;
    assert_eq!(test.job(accepted.id()).await.unwrap().unwrap().attempt, 1);
    test.advance(HOUR * 2);
    test.drain().await;
    assert_eq!(accepted.result().await, Ok(2));
}

#[tokio::test]
async fn jobs_that_jobs_submit_are_run_too() {
    static RC: OnceCell<Raincheck> = OnceCell::const_new();
    async fn down(
        State(rc): State<&'static OnceCell<Raincheck>>,
        Args(number): Args<u32>,
    ) -> Result<u32, JobError> {
        if number > 0 {
            let rc = rc.get().ok_or_else(|| JobError::fatal("it is not there"))?;
            rc.submit(&COUNT, &(number - 1)).send().await?;
        }
        Ok(number)
    }
    let builder = Raincheck::builder().with_state(&RC).handle(COUNT, queue(), down);
    let test = builder.open_for_test().await.unwrap();
    RC.set(test.raincheck().clone()).unwrap();
    test.submit(&COUNT, &3).send().await.unwrap();
    test.drain().await;
    assert_eq!(test.submitted(&COUNT).await, [3, 2, 1, 0]);
}

#[tokio::test]
async fn jobs_of_queues_that_others_work_are_not_waited_for() {
    let test = Raincheck::builder()
        .handle(COUNT, queue(), count)
        .open_for_test()
        .await
        .unwrap();
    let (ns, name) = (
        raincheck::core::name::Namespace::default(),
        "elsewhere".parse().unwrap(),
    );
    test.node()
        .put_queue(&ns, &name, raincheck::core::queue::QueueSpec::default(), false)
        .await
        .unwrap()
        .unwrap();
    const ELSEWHERE: JobType<(), ()> = JobType::new("elsewhere");
    let accepted = test.submit(&ELSEWHERE, &()).send().await.unwrap();
    test.drain().await;
    test.cancel(accepted.id()).await.unwrap().unwrap();
    assert_eq!(accepted.result().await, Err(ResultError::Cancelled));
}

#[tokio::test]
async fn a_drain_deletes_what_has_outlived_its_retention() {
    let test = Raincheck::builder()
        .handle(COUNT, queue(), count)
        .open_for_test()
        .await
        .unwrap();
    let job = test.submit(&COUNT, &0).send().await.unwrap();
    test.drain().await;
    test.advance(HOUR * 23);
    test.drain().await;
    assert!(job.result().await.is_ok(), "results are kept for a day");
    test.advance(HOUR * 2);
    test.drain().await;
    assert!(matches!(job.result().await, Err(ResultError::Missing(_))));
}
