//! What the server tells OpenTelemetry: a receiver of OTLP takes what it sends, and reads it with the published messages.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use raincheck::core::queue::{QueueSpec, Worker};
use raincheck::{Sampler, TraceOptions};
use serde_json::json;

use crate::harness::{Server, Setup, failure, ns, queue, success};
use crate::push::Endpoint;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const STATE: &str = "vendor=1,other=2";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A collector, and a server that tells it its traces.
async fn traced(share: f64) -> (Server, Endpoint) {
    sampled(Sampler::parent_based(share)).await
}

async fn sampled(sampler: Sampler) -> (Server, Endpoint) {
    let collector = Endpoint::start().await;
    let mut setup = Setup::default();
    setup.node.traces = Some(TraceOptions {
        endpoint: format!("http://{}", collector.addr),
        sampler,
    });
    (Server::with(setup).await, collector)
}

/// The spans that come, until there are so many.
async fn spans(collector: &mut Endpoint, count: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    while spans.len() < count {
        let sent = collector.next().await;
        assert_eq!(sent.header("content-type"), "application/x-protobuf");
        let export = ExportTraceServiceRequest::decode(sent.body.clone()).unwrap();
        for resource in export.resource_spans {
            let named = resource.resource.unwrap().attributes;
            let service = named.iter().find(|attribute| attribute.key == "service.name");
            assert!(service.is_some(), "{named:?}");
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        sent.answer(StatusCode::OK.into_response());
    }
    spans
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A span's attributes, as text.
fn said(span: &Span) -> BTreeMap<&str, String> {
    let texts = span.attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().unwrap().value.as_ref().unwrap();
        let text = if let Value::StringValue(text) = value {
            text.clone()
        } else if let Value::IntValue(number) = value {
            number.to_string()
        } else {
            panic!("{value:?}")
        };
        (&*attribute.key, text)
    });
    texts.collect()
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

#[tokio::test]
async fn a_trace_goes_from_its_submitter_through_the_attempt_to_handler_and_webhook() {
    let (server, mut collector) = traced(0.0).await;
    let mut endpoint = Endpoint::start().await;
    endpoint.works(&server).await;
    let hook = format!("\"http://{}/hook?token=s3cret\"", endpoint.addr);
    let ask = server
        .post("/v1/queues/pushed/jobs")
        .header("traceparent", PARENT)
        .header("tracestate", STATE);
    let id = ask
        .header("raincheck-callback", &hook)
        .body("x")
        .send()
        .await
        .job();
    let push = endpoint.next().await;
    let pushed = push.header("traceparent").to_owned();
    assert_eq!(push.header("tracestate"), STATE);
    push.answer(StatusCode::OK.into_response());
    let webhook = endpoint.next().await;
    let told = webhook.header("traceparent").to_owned();
    assert_eq!(webhook.header("tracestate"), STATE);
    webhook.answer(StatusCode::NO_CONTENT.into_response());

    let spans = spans(&mut collector, 3).await;
    assert!(
        spans.iter().all(|span| hex(&span.trace_id) == TRACE),
        "{spans:#?}"
    );
    let send = one(&spans, "send pushed");
    assert_eq!(hex(&send.parent_span_id), "b7ad6b7169203331");
    assert_eq!(send.kind(), SpanKind::Producer);
    assert_eq!(said(send)["messaging.message.id"], id);
    let process = one(&spans, "process pushed");
    assert_eq!(process.parent_span_id, send.span_id);
    assert_eq!(process.kind(), SpanKind::Consumer);
    assert_eq!(said(process)["raincheck.job.attempt"], "1");
    assert_eq!(said(process)["messaging.destination.name"], "pushed");
    assert_eq!(said(process)["raincheck.worker.kind"], "push");
    assert_eq!(pushed, format!("00-{TRACE}-{}-01", hex(&process.span_id)));
    assert!(process.end_time_unix_nano >= process.start_time_unix_nano);
    let post = one(&spans, "POST");
    assert_eq!(post.parent_span_id, send.span_id);
    assert_eq!(post.kind(), SpanKind::Client);
    let url = format!("http://{}/hook?token=REDACTED", endpoint.addr);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "204"),
        ("server.address", "127.0.0.1"),
        ("server.port", &endpoint.addr.port().to_string()),
        ("url.full", &url),
    ] {
        assert_eq!(said(post)[name], value, "{name}");
    }
    assert!(!format!("{spans:?}").contains("s3cret"), "{spans:#?}");
    assert_eq!(told, format!("00-{TRACE}-{}-01", hex(&post.span_id)));
}

#[tokio::test]
async fn each_attempt_is_a_span_and_says_why_it_failed() {
    let (server, mut collector) = traced(1.0).await;
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("traceparent", PARENT);
    let id = ask.body("x").send().await.job();
    let claim = server
        .post("/v1/queues/thumbs/claim")
        .json(&json!({"worker": "w1"}).to_string());
    let lease = claim.send().await.json()["leases"][0].clone();
    let fail = server.post(&format!("/v1/leases/{}/fail", lease["lease"].as_str().unwrap()));
    let error =
        json!({"error": {"code": "no-paper", "detail": "secret"}, "retry": true, "retry_after": "0s"});
    assert_eq!(fail.json(&error.to_string()).send().await.status, 200);
    server.work(success("x")).await;
    let spans = spans(&mut collector, 3).await;
    let attempts: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "process thumbs")
        .collect();
    assert_eq!(attempts.len(), 2);
    let (failed, done) = (attempts[0], attempts[1]);
    assert_eq!(
        lease["traceparent"],
        format!("00-{TRACE}-{}-01", hex(&failed.span_id)),
        "the worker goes on with the attempt's span"
    );
    assert_eq!(said(failed)["error.type"], "no-paper");
    assert_eq!(failed.status.as_ref().unwrap().code, 2);
    assert_eq!(said(done)["raincheck.job.attempt"], "2");
    assert_eq!(said(done)["raincheck.worker.kind"], "pull");
    assert_ne!(failed.span_id, done.span_id);
    assert!(
        !format!("{spans:?}").contains("secret"),
        "what a handler says stays here"
    );
    assert_eq!(said(one(&spans, "send thumbs"))["messaging.message.id"], id);
}

#[tokio::test]
async fn a_program_is_told_its_span() {
    let (server, mut collector) = traced(1.0).await;
    let spec = QueueSpec {
        worker: Some(Worker::Process(vec!["/usr/bin/env".to_owned()])),
        ..QueueSpec::default()
    };
    server
        .node
        .put_queue(&ns(), &queue("env"), spec, true)
        .await
        .unwrap()
        .unwrap();
    let ask = server
        .post("/v1/queues/env/jobs?wait=30")
        .header("traceparent", PARENT)
        .header("tracestate", STATE);
    let result = ask.body("x").send().await;
    let spans = spans(&mut collector, 2).await;
    let id = hex(&one(&spans, "process env").span_id);
    for told in [
        format!("TRACEPARENT=00-{TRACE}-{id}-01"),
        format!("TRACESTATE={STATE}"),
    ] {
        let text = result.text();
        assert!(text.lines().any(|line| line == told), "{told}: {text}");
    }
}

#[tokio::test]
async fn a_sampler_that_is_not_based_on_the_parent_chooses_by_itself() {
    let on = Sampler::named("always_on", 0.0).unwrap();
    let (server, mut collector) = sampled(on).await;
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("traceparent", &PARENT.replace("-01", "-00"));
    ask.body("x").send().await;
    let spans = spans(&mut collector, 1).await;
    assert_eq!(hex(&spans[0].trace_id), TRACE);
}

#[tokio::test]
async fn without_a_collector_a_webhook_is_told_what_the_job_came_with() {
    let (server, mut endpoint) = (Server::start().await, Endpoint::start().await);
    let hook = format!("\"http://{}/hook\"", endpoint.addr);
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("traceparent", PARENT)
        .header("tracestate", STATE)
        .header("raincheck-callback", &hook);
    ask.body("x").send().await;
    server.work(success("x")).await;
    let webhook = endpoint.next().await;
    assert_eq!(webhook.header("traceparent"), PARENT);
    assert_eq!(webhook.header("tracestate"), STATE);
    webhook.answer(StatusCode::NO_CONTENT.into_response());
}

#[tokio::test]
async fn what_is_not_sampled_is_not_told_but_handed_on() {
    let (server, mut collector) = traced(0.0).await;
    let unsampled = PARENT.replace("-01", "-00");
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("traceparent", &unsampled);
    ask.body("x").send().await;
    server.submit("without a trace").await;
    let claim = json!({"worker": "w1", "max": 2}).to_string();
    let leases = server
        .post("/v1/queues/thumbs/claim")
        .json(&claim)
        .send()
        .await
        .json();
    let parents: Vec<_> = (0..2)
        .map(|n| leases["leases"][n]["traceparent"].as_str().unwrap())
        .collect();
    assert!(parents[0].starts_with(&format!("00-{TRACE}-")), "{parents:?}");
    assert!(
        parents.iter().all(|parent| parent.ends_with("-00")),
        "{parents:?}"
    );
    // Only this one is told.
    let ask = server
        .post("/v1/queues/thumbs/jobs")
        .header("traceparent", PARENT);
    let told = ask.body("x").send().await.job();
    let spans = spans(&mut collector, 1).await;
    assert_eq!(said(&spans[0])["messaging.message.id"], told);
    assert!(!collector.more());
}

#[tokio::test]
async fn spans_that_are_left_are_sent_before_the_server_ends() {
    let (server, mut collector) = traced(1.0).await;
    server.finished(failure("no", "no", None)).await;
    let node = server.node.clone();
    let stopped = node.shutdown();
    let (spans, _) = tokio::join!(spans(&mut collector, 2), stopped);
    assert_eq!(spans.len(), 2);
}

#[tokio::test]
async fn a_collector_that_does_not_take_them_costs_spans_and_nothing_else() {
    let (server, mut collector) = traced(1.0).await;
    server.finished(success("x")).await;
    collector
        .next()
        .await
        .answer(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    server.finished(success("x")).await;
    loop {
        let text = server.get("/metrics").send().await.text().to_owned();
        let dropped = text
            .lines()
            .find(|line| line.starts_with("raincheck_trace_spans_dropped_total "));
        if dropped.is_some_and(|line| !line.ends_with(" 0")) {
            break;
        }
        tokio::task::yield_now().await;
    }
}
