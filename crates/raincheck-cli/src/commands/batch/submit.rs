//! `raincheck batch submit`: a file of jobs as one batch.
//!
//! Invariant: an upload has a key, so that repeating it after a broken connection, by itself or by hand, makes no job
//! twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use http::header::{HeaderName, HeaderValue};
use raincheck::core::name::QueueName;
use raincheck::random::Randomness;
use tokio::time::{Instant, sleep};

use super::document::BatchDocument;
use super::get::read;
use super::source::Source;
use crate::client::{Answer, NoAnswer, Request};
use crate::exit::{Exit, Failed};
use crate::options::Options;
use crate::progress::Progress;
use crate::refused::refused;
use crate::session::{About, Session};

/// How long a server may stay away before we give up.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How long we wait before we come back.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a batch that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
A line is one JSON object with the fields of a submission: input, input_text or input_base64,
queue, priority, delay, group, tags and so on. A line that is refused harms no other.

A broken connection is taken up again by itself. What is repeated by hand under the same
--idempotency-key within an hour goes on where it was.

In a pipe: id, state, lines, rejected ones, and jobs that have ended.

Examples:
  raincheck batch submit jobs.ndjson --queue thumbs --wait
  jq -c '.[] | {input: .}' urls.json | raincheck batch submit - --queue fetch
  raincheck batch results $(raincheck batch submit jobs.ndjson -q) > results.ndjson";

/// Submits a file of jobs as one batch.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Submit {
    /// The lines: a file, or - for standard input
    file: String,
    /// The queue of lines that name none
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// The same key and lines make the same batch, however often they are sent
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How long the batch and its results stay when it is done [default: 24h; 7d where a job failed]
    #[arg(long, value_name = "DURATION")]
    keep: Option<String>,
    /// Send a signed webhook here when the batch is done
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
    /// Wait until the batch is done; exit 3 where not all of it succeeded
    #[arg(short, long)]
    wait: bool,
}

/// How one try of the upload ended without an answer that counts.
enum Again {
    /// There was none.
    Lost(NoAnswer),
    /// The server takes nothing just now.
    Refused(Answer),
}

impl Submit {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let source = Source::open(&self.file)?;
        let random = Randomness::default();
        let key = self
            .idempotency_key
            .clone()
            .unwrap_or_else(|| format!("cli-{:016x}{:016x}", random.bits(), random.bits()));
        let progress = Progress::new(session.output);
        let answer = tokio::select! {
            answer = self.upload(session, &source, &key, &progress) => answer?,
            _ = tokio::signal::ctrl_c() => {
                progress.clear();
                let failed = Failed::new(Exit::Interrupted, "interrupted; what was taken of the batch runs");
                return Err(failed.next(self.again(session, &key)));
            }
        };
        progress.clear();
        let batch: BatchDocument = answer.json()?;
        if !self.wait {
            batch.note_rejected(session.output);
            return batch.write_brief(session.output, &answer);
        }
        let (answer, batch) = wait(session, &batch.id, &progress).await?;
        batch.note_rejected(session.output);
        batch.write_brief(session.output, &answer)?;
        if batch.all_well() {
            Ok(())
        } else {
            Err(Failed::silent(Exit::JobFailed))
        }
    }

    /// How the upload is taken up by hand.
    fn again(&self, session: &Session, key: &str) -> String {
        let quoted = |text: &str| shlex::try_quote(text).map_or_else(|_| text.to_owned(), Into::into);
        let queue = self.queue.as_ref().map(|queue| format!(" --queue {queue}"));
        let keep = self
            .keep
            .as_deref()
            .map(|keep| format!(" --keep {}", quoted(keep)));
        let callback = self.callback.as_deref();
        let callback = callback.map(|url| format!(" --callback {}", quoted(url)));
        let options = [queue, keep, callback].map(Option::unwrap_or_default).concat();
        let (file, key) = (quoted(&self.file), quoted(key));
        let command = format!("batch submit {file}{options} --idempotency-key {key}");
        format!("Go on within an hour: {}", session.command(&command))
    }

    /// Sends the lines until the server has taken all of them.
    async fn upload(
        &self,
        session: &Session,
        source: &Source,
        key: &str,
        progress: &Progress,
    ) -> Result<Answer, Failed> {
        let mut away_since: Option<Instant> = None;
        let mut met = false;
        loop {
            let sent = Arc::new(AtomicU64::new(0));
            let again = match self.attempt(session, source, key, progress, &sent).await? {
                Ok(answer) => return Ok(answer),
                Err(again) => again,
            };
            met |= sent.load(Ordering::SeqCst) > 0 && !matches!(again, Again::Lost(NoAnswer::Unreachable(_)));
            let since = *away_since.get_or_insert_with(|| {
                progress.clear();
                if met {
                    session
                        .output
                        .note("the upload broke off; it goes on when the server is back");
                }
                Instant::now()
            });
            if !met || since.elapsed() >= AWAY_MAX {
                let failed = match &again {
                    Again::Lost(error) => session.unanswered(error),
                    Again::Refused(answer) => refused(session, answer, About::Server),
                };
                return Err(if met {
                    failed.next(self.again(session, key))
                } else {
                    failed
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends the lines once.
    async fn attempt(
        &self,
        session: &Session,
        source: &Source,
        key: &str,
        progress: &Progress,
        sent: &Arc<AtomicU64>,
    ) -> Result<Result<Answer, Again>, Failed> {
        let query = self.queue.as_ref().map(|queue| format!("?queue={queue}"));
        let options = Options {
            keep: self.keep.clone(),
            callback: self.callback.clone(),
            idempotency_key: Some(key.to_owned()),
            ..Options::default()
        };
        let request = Request::post(format!("/v1/batches{}", query.unwrap_or_default()));
        let request = options.apply(request)?.header(
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/x-ndjson"),
        );
        let lines = Arc::new(AtomicU64::new(0));
        let (counted, bytes) = (lines.clone(), sent.clone());
        let body = source.body(move |chunk| {
            let ends = chunk.iter().filter(|byte| **byte == b'\n').count();
            counted.fetch_add(ends as u64, Ordering::SeqCst);
            bytes.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        });
        let sending = session.client.upload(request, body, sent);
        tokio::pin!(sending);
        let answer = loop {
            tokio::select! {
                answer = &mut sending => break answer,
                () = sleep(LOOK) => {
                    progress.begin(&format!("{} lines sent", lines.load(Ordering::SeqCst)));
                    if let Some(size) = source.size {
                        progress.show(share(sent.load(Ordering::SeqCst), size));
                    }
                }
            }
        };
        Ok(match answer {
            Ok(answer) if answer.status.is_success() => Ok(answer),
            Ok(answer) if matches!(answer.status.as_u16(), 408 | 503 | 507) => Err(Again::Refused(answer)),
            Ok(answer) => return Err(refused(session, &answer, About::Server)),
            Err(error) => Err(Again::Lost(error)),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown in 24 steps")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Waits until the batch is done.
async fn wait(session: &Session, id: &str, progress: &Progress) -> Result<(Answer, BatchDocument), Failed> {
    let look = async {
        loop {
            let (answer, batch) = read(session, id).await?;
            if batch.done {
                return Ok((answer, batch));
            }
            progress.begin(&batch.summary());
            progress.show(batch.progress);
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        found = look => {
            progress.clear();
            found
        }
        _ = tokio::signal::ctrl_c() => {
            progress.clear();
            let failed = Failed::new(Exit::Interrupted, format!("interrupted; {id} goes on"));
            let command = session.command(&format!("batch results {id}"));
            Err(failed.next(format!("Redeem it: {command}")))
        }
    }
}
