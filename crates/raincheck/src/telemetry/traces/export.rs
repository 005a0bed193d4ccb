//! The way of spans to the collector.
//!
//! Invariant: a span waits at most [`GATHER`] and then for the spans before it; what does not fit into the outbox is dropped
//! and counted, and so is what a collector does not take: nothing is sent twice.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::outward::Client;
use crate::outward::trust::Trust;

/// Spans that wait to be sent.
const OUTBOX: usize = 8192;
/// Spans of one request.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const TIME: Duration = Duration::from_secs(10);
/// How much of its answer is read.
const ANSWER_MAX: usize = 64 << 10;
/// How often it is said that spans are lost.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Takes spans. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    spans: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

impl Outbox {
    pub(super) fn put(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Sends spans.
pub(crate) struct Exporter {
    spans: mpsc::Receiver<SpanData>,
    dropped: Arc<AtomicU64>,
    inner: Option<opentelemetry_otlp::SpanExporter>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// The outbox of a collector, and who empties it.
pub(super) fn exporter(endpoint: &str, trust: &Trust) -> (Outbox, Exporter) {
    let (put, spans) = mpsc::channel(OUTBOX);
    let dropped = Arc::new(AtomicU64::new(0));
    let outbox = Outbox {
        spans: put,
        dropped: dropped.clone(),
    };
    let path = "/v1/traces";
    let endpoint = endpoint.trim_end_matches('/');
    let endpoint = format!("{}{path}", endpoint.strip_suffix(path).unwrap_or(endpoint));
    let built = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .with_timeout(TIME)
        .with_retry_policy(RetryPolicy::disabled())
        .with_http_client(Wire(Client::open(trust)))
        .build();
    let inner = match built {
        Ok(mut inner) => {
            // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count for more.
            let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
            let resource = Resource::builder();
            let resource = if named {
                resource
            } else {
                resource.with_service_name("raincheck")
            };
            inner.set_resource(&resource.build());
            Some(inner)
        }
        Err(error) => {
            warn!(%error, "traces cannot be sent");
            None
        }
    };
    let exporter = Exporter {
        spans,
        dropped,
        inner,
    };
    (outbox, exporter)
}

impl Exporter {
    /// Sends until it is told to stop, and then what is left.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        let mut complained: Option<Instant> = None;
        loop {
            let stopped = stopping.is_cancelled();
            let mut batch = Vec::new();
            let first = async { self.spans.recv_many(&mut batch, BATCH).await };
            tokio::select! {
                biased;
                count = first => if count == 0 { return },
                () = stopping.cancelled(), if !stopped => continue,
                () = std::future::ready(()), if stopped => {}
            }
            if batch.is_empty() {
                return;
            }
            let until = Instant::now() + GATHER;
            while batch.len() < BATCH && !stopping.is_cancelled() {
                let room = BATCH - batch.len();
                match timeout_at(until, self.spans.recv_many(&mut batch, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            let count = batch.len() as u64;
            let Err(error) = self.send(batch).await else {
                continue;
            };
            self.dropped.fetch_add(count, Ordering::Relaxed);
            if complained.is_none_or(|at| at.elapsed() > COMPLAIN) {
                complained = Some(Instant::now());
                warn!(error, count, "traces are lost: the collector did not take them");
            } else {
                debug!(error, count, "traces are lost");
            }
        }
    }

    async fn send(&self, batch: Vec<SpanData>) -> Result<(), String> {
        let Some(inner) = &self.inner else {
            return Err("no exporter".to_owned());
        };
        match timeout(TIME, inner.export(batch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it took too long".to_owned()),
        }
    }
}

/// Our client, as the exporter asks for one.
#[derive(Debug)]
struct Wire(Client);

impl HttpClient for Wire {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let answer = self.0.send(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }
}
