//! An application with a database of its own, by sqlx, and jobs that write to it: both SQLite, linked once.

use axum::extract::State;
use raincheck::embed::{Args, JobError, JobType, Raincheck, queue};
use sqlx::SqlitePool;

const RECORD: JobType<String, i64> = JobType::new("record");

async fn record(State(db): State<SqlitePool>, Args(text): Args<String>) -> Result<i64, JobError> {
    sqlx::query("INSERT INTO notes (text) VALUES (?)").bind(text).execute(&db).await?;
    let count: (i64,) = sqlx::query_as("SELECT count(*) FROM notes").fetch_one(&db).await?;
    Ok(count.0)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("beside-sqlx FOLDER")?;
    let db = SqlitePool::connect(&format!("sqlite:{folder}/app.db?mode=rwc")).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL)").execute(&db).await?;
    let rc = Raincheck::builder()
        .with_state(db)
        .handle(RECORD, queue(), record)
        .open(format!("{folder}/jobs"))
        .await?;
    for (n, text) in ["cats", "dogs"].into_iter().enumerate() {
        let count = rc.submit(&RECORD, &text.to_owned()).send().await?.result().await?;
        assert_eq!(count, i64::try_from(n)? + 1);
    }
    println!("both wrote");
    rc.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(())
}
