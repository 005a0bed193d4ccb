//! The handlers: an HTTP endpoint that jobs are pushed to, and a command that the server starts.
//!
//! Invariant: what a handler sees is written down before it answers, and every answer is different, so a second run
//! that overwrote a first one's result would show.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::desk::Desk;
use crate::ledger::{Event, Handed, Token};

/// The endpoint that jobs are pushed to.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Where it listens.
    pub(super) address: SocketAddr,
    open: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start(desk: Arc<Desk>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("binding the receiver")?;
        let address = listener.local_addr()?;
        let open = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, desk, open.clone()));
        Ok(Self {
            address,
            open,
            _tasks: tasks,
        })
    }

    /// Waits until no connection of a dead server is left, so that nothing it sent is mistaken for its successor's.
    pub(super) async fn idle(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, open: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    let answers = Arc::new(AtomicU64::new(0));
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        open.fetch_add(1, Ordering::AcqRel);
        let connection = Connection(open.clone());
        let (desk, answers) = (desk.clone(), answers.clone());
        connections.spawn(async move {
            let _connection = connection;
            let service = service_fn(|request| handle(&desk, &answers, request));
            // A server that dies in the middle of a request is what this is about.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn handle(
    desk: &Desk,
    answers: &AtomicU64,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok().map(str::to_owned);
    let number = |name: &str| header(name)?.parse().ok();
    let (job, fence, attempt) = (
        header("raincheck-job"),
        number("raincheck-fence"),
        number("raincheck-attempt"),
    );
    let Ok(body) = request.into_body().collect().await else {
        return Ok(answer(400, String::new()));
    };
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let server = desk.ledger().server();
    desk.record(Event::Handed(Handed {
        job: job.as_deref().map(Arc::from),
        token: Token::find(&text),
        fence,
        attempt,
        live: true,
        server,
    }));
    let mut words = text.split_whitespace().skip(1);
    let plan = words.next().unwrap_or_default();
    let count: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let status = match plan {
        "slow" => {
            tokio::time::sleep(Duration::from_millis(count)).await;
            200
        }
        "hang" => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            200
        }
        "flaky" if attempt.unwrap_or(u64::MAX) <= count => 500,
        "fail" => 503,
        "reject" => 422,
        _ => 200,
    };
    let n = answers.fetch_add(1, Ordering::Relaxed);
    let token = Token::find(&text).unwrap_or(Token(0));
    Ok(answer(
        status,
        format!("{status} {token} {job:?} attempt {attempt:?} answer {n}\n"),
    ))
}

fn answer(status: u16, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let text = hyper::header::HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, text);
    answer
}

/// The command that the server starts: a script that writes down what it was given before it does it.
#[derive(Debug)]
pub(super) struct Script {
    /// The script.
    pub(super) path: PathBuf,
    log: PathBuf,
    read: usize,
}

impl Script {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let (path, log) = (dir.join("handler.sh"), dir.join("handler.log"));
        let script = format!(
            r#"IFS= read -r line || [ -n "$line" ] || exit 66
echo "$PPID $RAINCHECK_JOB $RAINCHECK_ATTEMPT $RAINCHECK_FENCE $line" >> '{}'
set -- $line
case "$2" in
    slow) sleep "0.$(printf %03d "$3")" ;;
    stubborn) trap '' TERM; sleep "0.$(printf %03d "$3")" ;;
    flaky) [ "$RAINCHECK_ATTEMPT" -gt "$3" ] || exit 1 ;;
    reject) exit 65 ;;
    fail) exit 1 ;;
esac
echo "done $line by $$"
[ "$2" != large ] || head -c 200000 /dev/zero | tr '\0' x
"#,
            log.display()
        );
        std::fs::write(&path, script).context("writing the handler's script")?;
        std::fs::write(&log, "").context("creating the handler's log")?;
        Ok(Self { path, log, read: 0 })
    }

    /// Writes down what the script logged since last time.
    pub(super) fn collect(&mut self, desk: &Desk) -> Result<()> {
        let log = std::fs::read_to_string(&self.log).context("reading the handler's log")?;
        let fresh = log.get(self.read..).unwrap_or_default();
        // The last line may still be being written.
        let Some((whole, _)) = fresh.rsplit_once('\n') else {
            return Ok(());
        };
        self.read += whole.len() + 1;
        for line in whole.lines() {
            desk.record(Event::Handed(logged(desk, line)));
        }
        Ok(())
    }
}

/// One line: process id of the server, job, attempt, fence, input.
fn logged(desk: &Desk, line: &str) -> Handed {
    let mut words = line.split(' ');
    let server = words
        .next()
        .and_then(|pid| pid.parse().ok())
        .map_or(0, |pid| desk.server_of(pid));
    Handed {
        job: words.next().filter(|id| !id.is_empty()).map(Arc::from),
        attempt: words.next().and_then(|word| word.parse().ok()),
        fence: words.next().and_then(|word| word.parse().ok()),
        token: Token::find(line),
        live: false,
        server,
    }
}
