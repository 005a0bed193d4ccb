//! What is written piece by piece is what the serializer writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raincheck_core::batch::{BatchId, Member};
use raincheck_core::content::{Input, JobResult};
use raincheck_core::decide::{self, Claimer, NewJob, SettleStep, Settlement};
use raincheck_core::id::{IdGenerator, Nonce};
use raincheck_core::job::{Failure, Job, Options, Phase};
use raincheck_core::lease::{Progress, WorkerKind};
use raincheck_core::name::{GroupName, Namespace, QueueName, Tag, WorkerName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::store::Leased;

use super::*;
use crate::api::code::Code;
use crate::api::problem::Problem;
use crate::api::wire::job::{JobDocument, WaitingFor};
use crate::api::wire::leased::{
    EntryDocument, Fate, LeaseDocument, LeasesDocument, SettledDocument, render_entries,
};
use crate::telemetry::traces::Traces;

/// Text in which there is something to escape.
const ODD: &str = "say \"\\u{e9}\" \u{1}\té";

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_227_064_123)
}

fn waiting(odd: bool) -> Job {
    let options = Options {
        tags: if odd {
            vec![Tag::new("eu").unwrap(), Tag::new("a\"b").unwrap()]
        } else {
            Vec::new()
        },
        traceparent: odd.then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: odd.then(|| ODD.to_owned()),
        ..Options::default()
    };
    decide::submit(&NewJob {
        id: IdGenerator::after(0).next(now(), 7),
        namespace: Namespace::default(),
        queue: QueueName::new("a.b_c-9").unwrap(),
        group: odd.then(|| GroupName::new("the \"big\" one").unwrap()),
        priority: 3,
        run_at: None,
        delay: None,
        options: options.into(),
        retry_of: odd.then(|| IdGenerator::after(1).next(now(), 9)),
        member: odd.then(|| Member {
            batch: BatchId::from_parts(7, 9),
            index: 3,
        }),
    })
}

fn queue() -> Queue {
    let name = QueueName::new("a.b_c-9").unwrap();
    Queue::new(Namespace::default(), name, QueueSpec::default(), now())
}

fn claimed(job: &Job) -> Job {
    let claimer = Claimer {
        worker: WorkerName::new("w \"1\"").unwrap(),
        kind: WorkerKind::Pull,
        term: Duration::from_secs(30),
        claim_id: None,
    };
    decide::claim(
        job,
        &claimer,
        Nonce([7; 12]),
        &queue().policy(&job.options),
        now(),
    )
    .unwrap()
}

fn settled(job: &Job, settlement: Settlement) -> Job {
    let lease = job.lease_id().unwrap();
    let policy = queue().policy(&job.options);
    match decide::settle(job, &lease, settlement, [0; 16], &policy, 1, now()).unwrap() {
        SettleStep::Moved { job, .. } => Arc::unwrap_or_clone(job),
        SettleStep::Repeated => panic!("settled for the first time"),
    }
}

fn failed(job: &Job, retry: Option<Duration>) -> Job {
    let failure = Failure {
        status: Some(503),
        ..Failure::new("odd\"code", ODD)
    };
    let (result, timed_out) = (None, false);
    settled(
        job,
        Settlement::Fail {
            failure,
            retry,
            result,
            timed_out,
        },
    )
}

/// Jobs of every kind that there is.
fn jobs() -> Vec<Job> {
    let mut progressing = claimed(&waiting(true));
    if let Phase::Running(lease) = &mut progressing.phase {
        lease.progress = Some(Progress {
            fraction: Some(0.1 + 0.2),
            message: Some(ODD.to_owned()),
        });
    }
    let mut tried = failed(&claimed(&waiting(true)), Some(Duration::ZERO));
    tried.run_at = now();
    let again = claimed(&tried);
    let result = JobResult::new(200, None, Vec::new(), Bytes::new());
    let mut done = settled(&again, Settlement::succeed(result));
    done.retried_as = Some(IdGenerator::after(2).next(now(), 3));
    let mut told = claimed(&waiting(false));
    told.cancel_requested = true;
    vec![
        waiting(false),
        waiting(true),
        progressing,
        failed(&claimed(&waiting(false)), None),
        again,
        tried,
        done,
        settled(&told, Settlement::Cancel),
        told,
    ]
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap()
}

#[test]
fn a_job_is_written_as_its_serializer_writes_it() {
    for job in jobs() {
        for ticket in [None, Some(Ticket::sample())] {
            let mut document =
                JobDocument::of(Links::below("/mount"), &job, Some(&queue()), now()).with(ticket);
            assert_eq!(text(document.render()), serde_json::to_string(&document).unwrap());
            document.waiting_for = Some(WaitingFor::RunAt);
            document.position = Some(None);
            assert_eq!(text(document.render()), serde_json::to_string(&document).unwrap());
        }
    }
}

fn leased() -> Vec<Leased> {
    let inputs = [
        ("application/json", "{\"a\": [1, \"é\"]}"),
        ("text/plain", ODD),
        ("image/png", "PNG"),
    ];
    let running = jobs().into_iter().filter(|job| job.lease().is_some());
    let leased = running
        .zip(inputs.iter().cycle())
        .map(|(job, (kind, body))| Leased {
            job: Arc::new(job),
            input: Input {
                content_type: Some((*kind).to_owned()),
                headers: vec![("content-language".to_owned(), ODD.replace(char::is_control, ""))],
                body: Bytes::from_static(body.as_bytes()),
            },
        });
    leased.collect()
}

#[test]
fn leases_are_written_as_their_serializer_writes_them() {
    let (queue, leased) = (queue(), leased());
    assert!(leased.len() > 2);
    for count in 0..=leased.len() {
        let leases = leased.iter().take(count);
        let leases = leases.filter_map(|leased| {
            LeaseDocument::of(
                Links::below("/mount"),
                leased,
                Some(&queue),
                now(),
                &Traces::default(),
            )
        });
        let document = LeasesDocument {
            leases: leases.collect(),
        };
        assert_eq!(text(document.render()), serde_json::to_string(&document).unwrap());
    }
}

#[test]
fn what_became_of_leases_is_written_as_its_serializer_writes_it() {
    let (queue, leased, jobs) = (queue(), leased(), jobs());
    let mut entries = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        let mut settled = SettledDocument::of(job, now());
        assert_eq!(text(settled.render()), serde_json::to_string(&settled).unwrap());
        settled.leases = (index % 2 == 0).then(|| {
            let leases = leased.iter();
            leases
                .filter_map(|leased| {
                    LeaseDocument::of(
                        Links::below("/mount"),
                        leased,
                        Some(&queue),
                        now(),
                        &Traces::default(),
                    )
                })
                .collect()
        });
        assert_eq!(text(settled.render()), serde_json::to_string(&settled).unwrap());
        entries.push(EntryDocument {
            lease: (index > 0).then_some(ODD),
            fate: Fate::Settled { status: 200, settled },
        });
    }
    let problem = Problem::new(Code::LeaseLost, "over");
    entries.push(EntryDocument {
        lease: Some("l_1"),
        fate: Fate::refused(Links::below("/mount"), &problem),
    });
    assert_eq!(
        text(render_entries(&entries)),
        serde_json::to_string(&entries).unwrap()
    );
    assert_eq!(render_entries(&[]), b"[]");
}
