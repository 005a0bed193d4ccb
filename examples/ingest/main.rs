//! Devices send streams of readings; each reading is a job, and what too many of them come to is said, not dropped.
//!
//! A device uploads NDJSON, a reading a line, as `POST /v1/batches?queue=readings`. It needs no code here: a batch is a
//! product feature. This program works the readings, and gives each device its state.
//!
//! Invariant: a reading that was accepted is counted once, however often its upload was cut and repeated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRef, State};
use axum::routing::get;
use axum::{Json, Router};
use raincheck::embed::{Args, JobError, JobType, Raincheck, queue};
use raincheck_examples::{listen, setting, store};
use serde::{Deserialize, Serialize};

/// What a device sends.
#[derive(Serialize, Deserialize)]
struct Reading {
    device: String,
    n: u64,
    celsius: f64,
}

/// What a reading comes to; kept as its result.
#[derive(Serialize, Deserialize)]
struct Judged {
    device: String,
    n: u64,
    alarm: bool,
}

const READINGS: JobType<Reading, Judged> = JobType::new("readings");

/// The state of one device, since this program was started: what is durable are the results.
#[derive(Clone, Default, Serialize)]
struct Device {
    readings: u64,
    highest: Option<f64>,
}

#[derive(Clone, Default)]
struct Devices(Arc<Mutex<BTreeMap<String, Device>>>);

#[derive(Clone)]
struct App {
    rc: Raincheck,
    devices: Devices,
}

impl FromRef<App> for Raincheck {
    fn from_ref(app: &App) -> Self {
        app.rc.clone()
    }
}

impl FromRef<App> for Devices {
    fn from_ref(app: &App) -> Self {
        app.devices.clone()
    }
}

async fn judge(State(devices): State<Devices>, Args(reading): Args<Reading>) -> Result<Judged, JobError> {
    if !(-100.0..=200.0).contains(&reading.celsius) {
        return Err(JobError::fatal("no thermometer says that").code("bad-reading"));
    }
    tokio::time::sleep(Duration::from_millis(setting("WORK_MS", 1))).await;
    let mut devices = devices.0.lock().unwrap_or_else(PoisonError::into_inner);
    let device = devices.entry(reading.device.clone()).or_default();
    device.readings += 1;
    device.highest = Some(
        device
            .highest
            .map_or(reading.celsius, |highest| highest.max(reading.celsius)),
    );
    Ok(Judged {
        alarm: reading.celsius > 80.0,
        device: reading.device,
        n: reading.n,
    })
}

async fn overview(State(devices): State<Devices>) -> Json<BTreeMap<String, Device>> {
    let devices = devices.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(devices.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let devices = Devices::default();
    // Beyond `depth` a line is rejected as `queue-full`, and its device sends it again later: that is the back-pressure.
    let settings = queue()
        .concurrency(setting("WORKERS", 16))
        .depth(setting("DEPTH", 10_000));
    let rc = Raincheck::builder()
        .with_state(devices.clone())
        .handle(READINGS, settings, judge)
        .open(store("ingest"))
        .await?;
    let app = App {
        rc: rc.clone(),
        devices,
    };
    let app = Router::new()
        .route("/devices", get(overview))
        .merge(rc.router())
        .with_state(app);
    rc.serve(listen().await?, app).await?;
    Ok(())
}
