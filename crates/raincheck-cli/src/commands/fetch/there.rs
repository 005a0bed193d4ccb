//! Fetching by a server: the list goes there as one batch, its results come back as they are made.
//!
//! Invariant: the upload has a key, so that repeating it makes no job twice; a result is written once, across disconnects.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use raincheck::fetch::{Fetched, FetchedBody, FetchedLine, Wanted};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::folder::State;
use super::meter::Ended;
use super::{Tally, Work};
use crate::client::{NoAnswer, Request, encoded};
use crate::commands::batch::{Source, each_line};
use crate::exit::Failed;
use crate::parcel::from_base64;
use crate::refused::refused;
use crate::session::{About, Session};
use crate::signals::Signals;

/// How long a server may stay away before we give up.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How long we wait before we come back.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Accepted {
    id: String,
    #[serde(default)]
    done: bool,
}

/// A result as the server tells it.
#[derive(Deserialize)]
struct Told<'a> {
    seq: u64,
    id: String,
    index: u64,
    #[serde(default)]
    outcome: Option<String>,
    status: Option<u16>,
    content_type: Option<String>,
    #[serde(borrow)]
    fetched: Option<&'a RawValue>,
    #[serde(borrow)]
    json: Option<&'a RawValue>,
    text: Option<String>,
    base64: Option<String>,
    url: Option<String>,
    error: Option<Why>,
}

impl<'a> Told<'a> {
    fn fetched(&self) -> Option<Fetched<'a>> {
        Fetched::read(self.fetched?.get())
    }
}

#[derive(Deserialize)]
struct Why {
    code: String,
    #[serde(default)]
    detail: String,
}

/// Runs it to its end.
pub(super) fn run(work: Work<'_>, session: &Session, signals: Signals) -> Result<Tally, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(fetch(work, session, signals))
}

async fn fetch(mut work: Work<'_>, session: &Session, mut signals: Signals) -> Result<Tally, Failed> {
    let ended = tokio::select! {
        biased;
        _ = signals.next() => None,
        ended = all(&mut work, session) => Some(ended),
    };
    let again = work.again.clone();
    let ended = ended.map(|ended| ended.map_err(|error| error.next(format!("Go on: {again}"))));
    work.ended(ended)
}

/// Waits a little for a server that was lost, but not for ever.
struct Patience(Option<Instant>);

impl Patience {
    async fn lost(&mut self, session: &Session, error: NoAnswer) -> Result<(), Failed> {
        let since = *self.0.get_or_insert_with(Instant::now);
        if since.elapsed() >= AWAY_MAX
            || matches!(error, NoAnswer::Unreachable(_)) && since.elapsed() < PAUSE / 2
        {
            return Err(session.unanswered(&error));
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

async fn all(work: &mut Work<'_>, session: &Session) -> Result<(), Failed> {
    let id = upload(work, session).await?;
    work.folder.write(&State {
        batch: id.parse().ok(),
        ..work.state.clone()
    })?;
    let (mut seen, mut patience) = (0, Patience(None));
    loop {
        let before = seen;
        match connection(work, session, &id, &mut seen).await? {
            Ok(()) => {
                patience.0 = None;
                let answer = session
                    .call(Request::get(format!("/v1/batches/{id}")), About::Server)
                    .await?;
                if seen == before && answer.json::<Accepted>()?.done {
                    return Ok(());
                }
            }
            Err(error) => {
                if seen > before {
                    patience.0 = None;
                }
                patience.lost(session, error).await?;
            }
        }
    }
}

/// Sends the list until the server has taken all of it; the batch.
async fn upload(work: &Work<'_>, session: &Session) -> Result<String, Failed> {
    let mut query = String::new();
    for (name, text) in work.state.terms()?.said() {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(&format!("{name}={}", encoded(&text)));
    }
    let path = work.folder.list();
    let source = Source::open(&path.to_string_lossy())?;
    let mut patience = Patience(None);
    loop {
        let sent = AtomicU64::new(0);
        let key = HeaderValue::try_from(format!("{:?}", work.state.key)).map_err(std::io::Error::other)?;
        let request = Request::post(format!("/v1/fetch{query}"))
            .header(HeaderName::from_static("idempotency-key"), key)
            .header(
                HeaderName::from_static("content-type"),
                HeaderValue::from_static("application/x-ndjson"),
            );
        match session.client.upload(request, source.body(|_| {}), &sent).await {
            Ok(answer) if answer.status.is_success() => return Ok(answer.json::<Accepted>()?.id),
            Ok(answer) => return Err(refused(session, &answer, About::Server)),
            Err(error) => patience.lost(session, error).await?,
        }
    }
}

/// Writes what one connection gives.
async fn connection(
    work: &mut Work<'_>,
    session: &Session,
    id: &str,
    seen: &mut u64,
) -> Result<Result<(), NoAnswer>, Failed> {
    let path = format!("/v1/batches/{id}/results?after={seen}");
    each_line(session, path, async |line| {
        if !line.trim_ascii().is_empty() {
            let told: Told<'_> = serde_json::from_slice(line).map_err(|error| Failed::unreadable(&error))?;
            *seen = told.seq;
            let fetched = told.fetched();
            work.meter.count(ended(&told, fetched));
            if told.seq > work.after {
                let mut text = Vec::new();
                written(session, &told, fetched, &mut text).await?;
                work.out.write(&text, told.seq)?;
                work.out.flush()?;
            } else {
                work.meter.resume();
            }
        }
        work.meter.show();
        Ok(())
    })
    .await
}

fn ended<'a>(told: &Told<'a>, fetched: Option<Fetched<'a>>) -> Ended<'a> {
    Ended {
        status: told.status,
        answered: told.outcome.as_deref() == Some("succeeded"),
        fetched,
    }
}

/// The line as this command writes it, with what the server has elsewhere.
async fn written(
    session: &Session,
    told: &Told<'_>,
    fetched: Option<Fetched<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), Failed> {
    let url = match fetched {
        Some(_) => None,
        None => {
            let path = format!("/v1/jobs/{}/input", told.id);
            let input = session.call(Request::get(path), About::Server).await?;
            Wanted::read(&input.body).ok().map(|wanted| wanted.url)
        }
    };
    let mut coded = false;
    let body = if let Some(json) = told.json {
        Some(json.get().as_bytes().to_vec())
    } else if let Some(text) = &told.text {
        Some(text.clone().into_bytes())
    } else if let Some(base64) = &told.base64 {
        coded = true;
        from_base64(base64)
    } else if told.url.is_some() {
        let path = format!("/v1/jobs/{}/result", told.id);
        let answer = session.client.send(Request::get(path)).await;
        let answer = answer.map_err(|error| session.unanswered(&error))?;
        coded = answer.header("content-encoding").is_some();
        Some(answer.body.to_vec())
    } else {
        None
    };
    let line = FetchedLine {
        seq: told.seq,
        index: told.index,
        fetched,
        url: url.as_deref(),
        outcome: told.outcome.as_deref().unwrap_or_default(),
        status: told.status,
        content_type: told.content_type.as_deref(),
        body: body
            .as_deref()
            .map_or(FetchedBody::None, |body| FetchedBody::Bytes(body, coded)),
        error: told
            .error
            .as_ref()
            .map(|why| (why.code.as_str(), why.detail.as_str())),
    };
    line.write(out);
    Ok(())
}
