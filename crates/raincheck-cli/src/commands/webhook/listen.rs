//! `raincheck webhook listen`: a receiver of webhooks, to see what a server sends and to try one's own against.
//!
//! Invariant: nothing is answered with success that was not verified and written out; everything that comes is bounded: bodies
//! by [`BODY_MAX`], connections by [`CONNECTIONS_MAX`], what was not written yet by [`UNWRITTEN_MAX`].

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use raincheck::clock::SystemClock;
use raincheck::core::clock::Clock as _;
use raincheck::room::Room;
use raincheck::server::Upload;
use raincheck::server::{BodyError, BodyPace, ServerOptions, read_body, serve};
use raincheck::webhooks::verify::Verifier;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::receive::Received;
use super::secret;
use crate::exit::{Exit, Failed};
use crate::session::Session;
use crate::signals::Signals;

/// The largest body that is read. A webhook has less than 20 kB beside a large job document.
const BODY_MAX: u64 = 1 << 20;
/// So many connections at once.
const CONNECTIONS_MAX: u32 = 64;
/// So many webhooks may wait to be written.
const UNWRITTEN_MAX: usize = 16;
/// A secret that does not verify is not asked for again sooner: somebody may be sending rubbish.
const ASK_AGAIN: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
A line for each webhook. In a pipe: its id, verified or refused, what it tells, the job, its queue, what it was
answered, and why it failed or was refused. With --json a document a line, with the webhook as it came.

Without --secret the server at --url is asked for its secret, again after a rotation. What is not signed
with it, or is older than five minutes, is answered with 401. Ends with Ctrl-C.

Examples:
  raincheck webhook listen
  raincheck submit reports month=2026-11 --callback http://127.0.0.1:7247/
  raincheck webhook listen --json | jq -r .webhook.data.job.id
  raincheck webhook listen --status 503        # see how webhooks are tried again";

/// Receives webhooks.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Listen {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7247")]
    listen: SocketAddr,
    /// The secret to verify with, whsec_… [default: the server's]
    #[arg(
        long,
        env = "RAINCHECK_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: Option<Verifier>,
    /// What to answer to a webhook that was verified
    #[arg(long, value_name = "STATUS", default_value = "204", value_parser = status)]
    status: StatusCode,
    /// End after so many webhooks that were verified
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn status(text: &str) -> Result<StatusCode, String> {
    let status = text
        .parse()
        .ok()
        .filter(|status: &StatusCode| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| "a status is 200 to 599".to_owned())
}

/// What came, and who waits for it to be written.
type Unwritten = (Received, oneshot::Sender<()>);

impl Listen {
    /// Runs the command.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failed> {
        let mut signals = Signals::new()?;
        let receiver = Arc::new(Receiver {
            key: Mutex::new(Key::new(session, self.secret).await?),
            session: session.clone(),
            status: self.status,
        });
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            let exit = if error.kind() == ErrorKind::AddrInUse {
                Exit::Conflict
            } else {
                Exit::Failure
            };
            Failed::new(exit, format!("cannot listen on {}: {error}", self.listen))
                .next("Choose another address: --listen 127.0.0.1:0 takes a free port")
        })?;
        let address = listener.local_addr()?;
        session.output.note(&format!("listening on http://{address}/"));
        let (written, mut unwritten) = mpsc::channel::<Unwritten>(UNWRITTEN_MAX);
        let stop = CancellationToken::new();
        let service = service_fn(move |request| answer(receiver.clone(), written.clone(), request));
        let options = ServerOptions {
            connections_max: Some(CONNECTIONS_MAX),
            ..ServerOptions::default()
        };
        let mut serving = std::pin::pin!(serve(vec![listener.into()], service, options, stop.clone()));
        let mut left = self.count.unwrap_or(u64::MAX);
        let ended = loop {
            tokio::select! {
                biased;
                _ = signals.next() => break Ok(()),
                Some((received, done)) = unwritten.recv() => {
                    if let Err(failed) = received.write(session.output) {
                        break Err(failed);
                    }
                    let _ = done.send(());
                    left -= u64::from(received.verified());
                    if left == 0 {
                        break Ok(());
                    }
                }
                _ = &mut serving => return Ok(()),
            }
        };
        // What was written is still answered; what came after it is not, and will be sent again.
        drop(unwritten);
        stop.cancel();
        serving.await;
        ended
    }
}

/// The secret in use.
#[derive(Debug)]
struct Key {
    verifier: Verifier,
    /// Whether it was given, so that the server is not asked.
    given: bool,
    /// When the server was asked again.
    asked_again: Option<Instant>,
}

impl Key {
    async fn new(session: &Session, given: Option<Verifier>) -> Result<Self, Failed> {
        Ok(Self {
            given: given.is_some(),
            verifier: match given {
                Some(verifier) => verifier,
                None => asked(session).await?,
            },
            asked_again: None,
        })
    }
}

async fn asked(session: &Session) -> Result<Verifier, Failed> {
    let secret = secret::ask(session).await?;
    secret.parse().map_err(|_| {
        Failed::new(
            Exit::Failure,
            "the server's secret is not what this version knows",
        )
    })
}

#[derive(Debug)]
struct Receiver {
    key: Mutex<Key>,
    session: Session,
    status: StatusCode,
}

impl Receiver {
    async fn receive(&self, headers: &HeaderMap, body: Bytes) -> Received {
        // The machine may have slept, so its clock is read anew.
        let judge = |verifier: &Verifier| {
            Received::new(
                verifier,
                headers,
                body.clone(),
                SystemClock::new().now(),
                self.status,
            )
        };
        let mut key = self.key.lock().await;
        let received = judge(&key.verifier);
        let lately = key.asked_again.is_some_and(|asked| asked.elapsed() < ASK_AGAIN);
        if !received.unknown_secret() || key.given || lately {
            return received;
        }
        key.asked_again = Some(Instant::now());
        if let Ok(verifier) = asked(&self.session).await {
            key.verifier = verifier;
        }
        judge(&key.verifier)
    }
}

async fn answer(
    receiver: Arc<Receiver>,
    written: mpsc::Sender<Unwritten>,
    request: Request<Upload>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = taken(&receiver, &written, request).await;
    Ok(response)
}

async fn taken(
    receiver: &Receiver,
    written: &mpsc::Sender<Unwritten>,
    request: Request<Upload>,
) -> StatusCode {
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    let (parts, body) = request.into_parts();
    let body = match read_body(body, BODY_MAX, BodyPace::default(), &Room::new(2 * BODY_MAX)).await {
        Ok(body) => body,
        Err(BodyError::TooLarge { .. }) => return StatusCode::PAYLOAD_TOO_LARGE,
        Err(BodyError::TooSlow) => return StatusCode::REQUEST_TIMEOUT,
        Err(BodyError::Broken | BodyError::NoRoom) => return StatusCode::BAD_REQUEST,
    };
    let received = receiver.receive(&parts.headers, body).await;
    let status = received.status;
    let (done, is_done) = oneshot::channel();
    if written.send((received, done)).await.is_ok() && is_done.await.is_ok() {
        status
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_that_an_answer_can_have() {
        assert_eq!(status("503"), Ok(StatusCode::SERVICE_UNAVAILABLE));
        for bad in ["", "99", "100", "600", "ok"] {
            assert!(status(bad).is_err(), "{bad}");
        }
    }
}
