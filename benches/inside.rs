//! A job within one process, no HTTP: submitted, run by a function and awaited, each step durable. What the process needs
//! of the CPU for one.
//!
//! ```sh
//! cargo run --release --package raincheck --example inside -- [JOBS] [CLIENTS] [FOLDER]
//! ```
//!
//! By itself it has the system's allocator; the example `inside-mimalloc` is the same with another one, as an application may choose.
//!
//! Invariant: each client has one job at a time, and counts it when it has read its result.

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use raincheck::embed::{Args, JobType, Raincheck, queue};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

const ECHO: JobType<u64, u64> = JobType::new("echo");

async fn echo(Args(number): Args<u64>) -> Json<u64> {
    Json(number)
}

fn argument<T: std::str::FromStr>(place: usize, otherwise: T) -> T {
    let given = std::env::args().nth(place);
    given.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Seconds of this clock.
fn seconds(clock: ClockId) -> f64 {
    let at = clock_gettime(clock);
    Duration::try_from(at).map_or(0.0, |at| at.as_secs_f64())
}

/// So many jobs by so many clients: seconds, and seconds of CPU.
async fn run(rc: &Raincheck, jobs: u64, clients: u64) -> Result<(f64, f64), String> {
    let (began, used) = (seconds(ClockId::Monotonic), seconds(ClockId::ProcessCPUTime));
    let mut all = JoinSet::new();
    for client in 0..clients {
        let rc = rc.clone();
        all.spawn(async move {
            for number in (client..jobs).step_by(usize::try_from(clients).unwrap_or(1)) {
                let accepted = rc
                    .submit(&ECHO, &number)
                    .send()
                    .await
                    .map_err(|e| e.to_string())?;
                let result = accepted.result().await.map_err(|e| e.to_string())?;
                if result != number {
                    return Err(format!("the result of {number} was {result}"));
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    let took = seconds(ClockId::Monotonic) - began;
    Ok((took, seconds(ClockId::ProcessCPUTime) - used))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (jobs, clients) = (argument(1, 50_000_u64), argument(2, 64_u64));
    let folder = argument(3, std::env::temp_dir()).join(format!("raincheck-inside-{}", std::process::id()));
    let settings = queue().concurrency(u32::try_from(clients)?).depth(jobs + 1);
    let rc = Raincheck::builder()
        .handle(ECHO, settings, echo)
        .open(&folder)
        .await?;
    run(&rc, jobs / 10, clients).await?;
    let (took, used) = run(&rc, jobs, clients).await?;
    rc.shutdown(Duration::from_secs(5)).await;
    std::fs::remove_dir_all::<PathBuf>(folder)?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let count = jobs as f64;
    #[expect(clippy::print_stdout, reason = "this is what it is for")]
    {
        println!(
            "{{\"jobs\": {jobs}, \"clients\": {clients}, \"jobs_per_second\": {:.0}, \"cpu_us_per_job\": {:.2}}}",
            count / took,
            used / count * 1e6
        );
    }
    Ok(())
}
