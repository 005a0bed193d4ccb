//! (Feature `fuzzing`) What this crate reads, as targets for fuzzing: rows of a damaged file, the note beside the log, sealed
//! secrets.
//!
//! Invariant: a row of which a byte was changed is refused or means what it meant; reading one without a sum never panics.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raincheck_core::content::{Input, JobResult};
use raincheck_core::decide::{NewJob, submit};
use raincheck_core::fuzz::Target;
use raincheck_core::id::{Fence, IdGenerator, Nonce};
use raincheck_core::job::{Attempt, AttemptOutcome, Failure, Job, Options, Outcome, Phase};
use raincheck_core::lease::{Lease, WorkerKind};
use raincheck_core::name::{GroupName, Namespace, QueueName, WorkerName};
use raincheck_core::secret::Secret;
use raincheck_core::time::Timestamp;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, params};

use crate::memory::New;
use crate::memory::{Damaged, Memory};
use crate::row::{self, Found, Left, QueueNames, Rows, WriteRows};
use crate::vault::{Kept, Place, Sealer};
use crate::{body, schema, seal};

/// All of them.
pub const TARGETS: &[Target] = &[
    (
        "rows",
        rows,
        &[
            "0 run_at 7",
            "1 lease {\"nonce\":\"000000000000000000000000\",\"worker\":\"w\",\"kind\":\"pull\",\"started\":0,\"term\":0,\"expires\":0,\"deadline\":0}",
            "2 history {\"attempts\":[]}\n2 result x",
            "0 options {\"tags\":[\"a\"]}\n1 state 0\n2 finished_at ",
            "0 input x\n0 input_type text/plain\n1 job_group a",
            "2 result_at 7\n2 result_status ",
        ],
    ),
    (
        "unsummed",
        unsummed,
        &[
            "0 run_at -1\n0 options {\"max_attempts\":3}",
            "1 lease {\"nonce\":\"000000000000000000000000\",\"worker\":\"w\",\"kind\":\"pull\",\"started\":0,\"term\":0,\"expires\":0,\"deadline\":0}",
            "2 history {\"attempts\":[],\"error\":{\"code\":\"a\",\"detail\":\"b\"}}\n2 state 9\n2 result_status 1",
            "1 state 2\n1 finished_at 3\n1 expires_at 4\n1 batch 7\n1 batch_tail 8\n1 batch_index 9",
        ],
    ),
    ("seal", note, &["0123456789abcdef"]),
    (
        "sealed",
        sealed,
        &["0123456789abcdef0123456789abcdef0123456789abcdef"],
    ),
];

const NOW: Timestamp = Timestamp::from_millis(1_795_227_064_123);

/// A store with one job waiting, one running and one done.
struct Sample {
    conn: Connection,
    names: QueueNames,
    jobs: Vec<Job>,
}

thread_local! {
    static SAMPLE: Sample = Sample::new().expect("a store in memory");
}

pub(crate) fn job(n: u64) -> Job {
    submit(&NewJob {
        id: IdGenerator::after(0).next(NOW.plus(Duration::from_millis(n)), n),
        namespace: Namespace::default(),
        queue: QueueName::new("q").expect("a name"),
        group: Some(GroupName::new("tenant 7").expect("a name")),
        priority: 5,
        run_at: None,
        delay: None,
        options: Options {
            max_attempts: Some(3),
            ..Options::default()
        }
        .into(),
        retry_of: None,
        member: None,
    })
}

pub(crate) fn running(job: &Job) -> Job {
    Job {
        phase: Phase::Running(Lease {
            nonce: Nonce([7; 12]),
            worker: WorkerName::new("w").expect("a name"),
            kind: WorkerKind::Pull,
            started_at: NOW,
            term: Duration::from_secs(30),
            expires_at: NOW,
            attempt_deadline: NOW,
            cancel_by: None,
            progress: None,
            claim_id: Some("c".to_owned()),
        }),
        version: 2,
        attempt: 1,
        fence: Fence(1),
        started_at: Some(NOW),
        ..job.clone()
    }
}

pub(crate) fn done(job: &Job) -> Job {
    Job {
        phase: Phase::Done {
            outcome: Outcome::Succeeded,
            finished_at: NOW,
            expires_at: NOW,
        },
        version: 3,
        attempts: vec![Attempt {
            n: 1,
            worker: WorkerName::new("w").expect("a name"),
            started_at: NOW,
            ended_at: NOW,
            outcome: AttemptOutcome::Failed,
            error: Some(Failure::new("exit", "1")),
        }],
        ..running(job)
    }
}

pub(crate) fn input() -> Input {
    Input {
        content_type: Some("text/plain".to_owned()),
        headers: Vec::new(),
        body: Bytes::from_static(b"input"),
    }
}

fn result() -> JobResult {
    let body = Bytes::from_static(b"result");
    JobResult::new(200, Some("text/plain".to_owned()), Vec::new(), body)
}

impl Sample {
    fn new() -> rusqlite::Result<Self> {
        let conn = schema::in_memory()?;
        conn.execute(
            "INSERT INTO queues (id, namespace, name, settings, managed, created_at) VALUES (1, 'default', 'q', '{}', 0, 0)",
            [],
        )?;
        let names = QueueNames::from([(1, (Namespace::default(), QueueName::new("q").expect("a name")))]);
        let waiting = [job(1), job(2), job(3)];
        let rows = Rows::new(&conn);
        let new = |job: &Job| New {
            queue: 1,
            job: Arc::new(job.clone()),
            idempotency: None,
            input: Some(input()),
        };
        rows.insert(&waiting.each_ref().map(new))?;
        let [first, second, third] = waiting;
        let (second, began) = (running(&second), running(&third));
        rows.write(&first, &second, Left::Nothing, None, 0)?;
        rows.write(&first, &began, Left::Nothing, None, 0)?;
        let third = done(&third);
        rows.write(&began, &third, Left::InRow(&result()), None, 0)?;
        drop(rows);
        let jobs = vec![first, second, third];
        Ok(Self { conn, names, jobs })
    }

    /// Changes rows as the lines say: `ROW COLUMN VALUE`; takes the change back after `look`.
    fn changed(&self, bytes: &[u8], before: &str, look: impl FnOnce()) {
        let run = |sql: &str| self.conn.execute_batch(sql).expect("a savepoint");
        run("SAVEPOINT sample");
        run(before);
        for line in bytes.split(|b| *b == b'\n').take(8) {
            self.change(line);
        }
        look();
        run("ROLLBACK TO sample; RELEASE sample");
    }

    fn change(&self, line: &[u8]) {
        const COLUMNS: [&str; 27] = [
            "tail",
            "queue",
            "state",
            "priority",
            "version",
            "attempt",
            "fence",
            "cancelling",
            "run_at",
            "started_at",
            "finished_at",
            "expires_at",
            "job_group",
            "options",
            "lease",
            "history",
            "settled",
            "input_type",
            "input",
            "result_status",
            "result_at",
            "result_type",
            "result",
            "batch",
            "batch_tail",
            "batch_index",
            "batch_place",
        ];
        let mut words = line.splitn(3, |b| *b == b' ');
        let (Some([row @ b'0'..=b'2']), Some(column), Some(value)) =
            (words.next(), words.next(), words.next())
        else {
            return;
        };
        let Some(column) = COLUMNS.iter().find(|name| name.as_bytes() == column) else {
            return;
        };
        let number = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<i64>().ok());
        let value = match (number, *column) {
            _ if value.is_empty() => ToSqlOutput::Owned(Value::Null),
            (_, "settled" | "input" | "result") => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            (Some(number), _) => ToSqlOutput::Owned(Value::Integer(number)),
            (None, _) => ToSqlOutput::Borrowed(ValueRef::Text(value)),
        };
        let seq = row::key(self.jobs[usize::from(row - b'0')].id);
        // A value that the column's type or its being needed refuses changes nothing.
        let _ = self.conn.execute(
            &format!("UPDATE jobs SET {column} = ?1 WHERE seq = ?2"),
            params![value, seq],
        );
    }
}

/// Rows whose sums are those that were written.
fn rows(bytes: &[u8]) {
    SAMPLE.with(|sample| {
        sample.changed(bytes, "", || {
            for job in &sample.jobs {
                match row::load_key(&sample.conn, &sample.names, row::key(job.id)) {
                    Ok(Some(Found::Job(_, found))) => {
                        let same = Job {
                            member: found.member,
                            ..job.clone()
                        };
                        assert_eq!(
                            *found, same,
                            "a row that was changed is taken for what was written"
                        );
                    }
                    Ok(Some(Found::Gone(..)) | None) => panic!("a job that is there is gone"),
                    Err(_) => {}
                }
                if let Ok(Some(found)) = body::input(&sample.conn, job.id) {
                    assert_eq!(found, input());
                }
                if let Ok(Some(found)) = body::result(&sample.conn, job.id) {
                    assert_eq!(found, result());
                }
            }
        });
    });
}

/// Rows without a sum, as earlier versions wrote them.
fn unsummed(bytes: &[u8]) {
    const UNSUMMED: &str = "UPDATE jobs SET sum = NULL, asked_sum = NULL, history_sum = NULL, input_sum = NULL, result_sum = NULL";
    SAMPLE.with(|sample| {
        sample.changed(bytes, UNSUMMED, || {
            for job in &sample.jobs {
                let _ = row::load_key(&sample.conn, &sample.names, row::key(job.id));
                let _ = (
                    body::input(&sample.conn, job.id),
                    body::result(&sample.conn, job.id),
                );
            }
            let _ = Memory::load(&sample.conn, 2, NOW, Damaged::default());
        });
    });
}

/// The note beside the log.
fn note(bytes: &[u8]) {
    seal::read_and_written(bytes);
}

/// A secret that was sealed under another key, or changed.
fn sealed(bytes: &[u8]) {
    let sealer = Sealer::of(&Secret::new([9; 32]));
    let id = crate::master_key_id(&Secret::new([9; 32]));
    for sealed_by in [Some(id), Some(String::new())] {
        let kept = Kept {
            bytes: bytes.to_vec(),
            sealed_by,
        };
        assert!(
            sealer.open(Place::TicketKey, &kept).is_err(),
            "nobody guesses a seal"
        );
    }
    let right = sealer.seal(Place::TicketKey, &Secret::new([3; 32]));
    assert!(
        sealer.open(Place::KeyPepper, &right).is_err(),
        "moved to another row"
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_row_and_no_note_breaks_the_reader() {
        raincheck_core::fuzz::run(env!("CARGO_MANIFEST_DIR"), super::TARGETS);
    }
}
