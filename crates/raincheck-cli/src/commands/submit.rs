//! `raincheck submit`: one job, its input on the command line, in a file or on stdin.
//!
//! Invariant: the job is accepted (and durable) before the wait begins, so that its id is known whatever happens
//! next.

use clap::Args;
use raincheck::core::name::QueueName;

use crate::client::{Answer, Request};
use crate::document::JobDocument;
use crate::exit::{Exit, Failed};
use crate::follow;
use crate::named::Named;
use crate::options::{Options, header};
use crate::output::Shape;
use crate::redeem::{self, Redeem};
use crate::session::{About, Session};
use crate::table::{Record, Value};

const EXAMPLES: &str = "\
The input is one JSON value, @FILE, - for standard input, or pairs: key=text, key:=json.
Without --wait the job's id and state are printed, with --ticket the link to its result as well;
with it, the bytes of its result. With --follow what its worker emits is printed as it comes:
output on standard output, log on standard error; where it emits no output, the result when it is
there.

Examples:
  raincheck submit reports month=2026-11 pages:=3
  raincheck submit reports '{\"month\":\"2026-11\"}' --delay 10m --priority 2
  raincheck submit thumbs @photo.png --wait -o small.png
  raincheck submit tell 'what is rain?' --content-type text/plain --follow
  cat big.csv | raincheck submit import - --content-type text/csv --idempotency-key import-2026-11
  raincheck submit reports month=2026-11 --unique report-2026-11 --on-conflict attach
  raincheck submit reports month=2026-11 --ticket 1h       # links that need no key
  id=$(raincheck submit reports month=2026-11 -q)";

/// Submits a job.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Submit {
    /// The queue
    queue: QueueName,
    /// The input: JSON, @FILE, - (standard input), or key=text key:=json …
    #[arg(value_name = "INPUT")]
    input: Vec<String>,
    /// Print output and log as they come, until the job is done
    #[arg(long, conflicts_with = "wait")]
    follow: bool,
    #[command(flatten)]
    redeem: Redeem,
    #[command(flatten)]
    options: Options,
}

impl Submit {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        if self.redeem.output.is_some() && self.redeem.wait.is_none() {
            return Err(Failed::usage("-o keeps the result, and that takes --wait"));
        }
        if self.options.ticket.is_some() && (self.follow || self.redeem.wait.is_some()) {
            return Err(Failed::usage(
                "--ticket is for others, and --wait and --follow for those who stay",
            ));
        }
        let about = About::Queue(&self.queue);
        let answer = session
            .call(self.request()?, about)
            .await
            .map_err(|failed| self.in_doubt(failed))?;
        let job: JobDocument = answer.json()?;
        if answer.header("idempotency-replayed") == Some("true") {
            session
                .output
                .note("this key was used before by the same request: here is the job it made");
        }
        if answer.header("raincheck-attached") == Some("true") {
            session
                .output
                .note("another job holds this unique value: here it is, no job was made");
        }
        if self.follow {
            return follow::deliver(session, &Named::by_id(&job.id)).await;
        }
        if self.redeem.wait.is_some() {
            return redeem::redeem(session, &Named::by_id(&job.id), &self.redeem, true).await;
        }
        if self.options.ticket.is_some() {
            return links(session, &answer, &job);
        }
        job.write_brief(session.output, &answer)?;
        if session.output.shape == Shape::Terminal {
            redeem::hint(session, &job.id);
        }
        Ok(())
    }

    fn request(&self) -> Result<Request, Failed> {
        let body = crate::input::read(&self.input)?;
        let content_type = match (&self.options.content_type, body.content_type) {
            (Some(said), _) => Some(header("--content-type", said)?),
            (None, Some(known)) => Some(header("--content-type", known)?),
            (None, None) => None,
        };
        let request = Request::post(format!("/v1/queues/{}/jobs", self.queue)).body(content_type, body.bytes);
        self.options.apply(request)
    }

    /// Where the answer was lost on its way, says what can be done about the doubt.
    fn in_doubt(&self, failed: Failed) -> Failed {
        let lost = failed.exit == Exit::Unreachable && failed.next.is_none();
        match (lost, &self.options.idempotency_key) {
            (false, _) => failed,
            (true, Some(_)) => {
                failed.next("Whether the job was accepted is not known: run the same command again, the key makes it safe")
            }
            (true, None) => failed.next(
                "Whether the job was accepted is not known. With --idempotency-key a submit can be repeated safely",
            ),
        }
    }
}

/// Shows the links by which anybody reads and cancels the job, whole.
fn links(session: &Session, answer: &Answer, job: &JobDocument) -> Result<(), Failed> {
    let output = session.output;
    let link = |name: &str| {
        let path = job.urls.get(name).map(String::as_str).unwrap_or_default();
        session.client.address.link(path)
    };
    match output.shape {
        Shape::Json | Shape::Quiet => job.write_brief(output, answer),
        Shape::Plain => output.fields(&[&job.id, &job.state, &link("result")]),
        Shape::Terminal => {
            job.write_brief(output, answer)?;
            let mut record = Record::default();
            for (shown, name) in [
                ("job", "self"),
                ("result", "result"),
                ("events", "events"),
                ("cancel", "cancel"),
            ] {
                record.field(shown, Value::text(&link(name)));
            }
            record.write(output)?;
            session
                .output
                .note("Whoever has such a link reads and cancels this job, until its time is over");
            Ok(())
        }
    }
}
