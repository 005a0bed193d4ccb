//! Chat: rooms over a websocket, and in each of them somebody who answers word by word.
//!
//! What is said is a job before anybody hears it, so it outlives every process; the answer is the job's output, which each
//! reader follows by `EventSource` and goes on in where it was, after a reload, a lost network or a restart.
//!
//! Invariant: a socket only announces. Who was away, or too slow, is told the same from the store.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{FromRef, Path, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use raincheck::core::list::{Filter, Page};
use raincheck::core::name::{GroupName, Namespace};
use raincheck::embed::{Args, Ctx, JobType, Raincheck, queue};
use raincheck_examples::{listen, setting, store};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};

/// Something said in a room.
#[derive(Clone, Serialize, Deserialize)]
struct Said {
    by: String,
    text: String,
}

const SAY: JobType<Said, String> = JobType::new("say");

/// So many announcements may be on their way to a socket; one that is slower is told from the store.
const AHEAD: usize = 64;
/// So much of a room's past is told to who enters.
const PAST: u32 = 50;

#[derive(Clone)]
struct App {
    rc: Raincheck,
    /// Room and announcement, to all sockets of this process.
    told: broadcast::Sender<(String, String)>,
}

impl FromRef<App> for Raincheck {
    fn from_ref(app: &App) -> Self {
        app.rc.clone()
    }
}

/// What a room is told of something said in it: where the answer is followed.
fn announcement(id: impl std::fmt::Display, said: &Said) -> String {
    let events = format!("/v1/jobs/{id}/events");
    json!({ "id": id.to_string(), "by": said.by, "text": said.text, "answer": events }).to_string()
}

impl App {
    /// What was said in the room, oldest first.
    async fn past(&self, room: &str) -> Vec<String> {
        let (store, ns) = (self.rc.node().store(), Namespace::default());
        let filter = Filter {
            group: GroupName::new(room).ok(),
            ..Filter::default()
        };
        let page = Page {
            filter,
            cursor: None,
            limit: PAST,
        };
        let listed = store.list(&ns, page).await;
        let mut past = Vec::new();
        for job in listed.iter().flat_map(|listed| &listed.jobs) {
            let Ok(Ok(input)) = store.input(&ns, job.id).await else {
                continue;
            };
            if let Ok(said) = serde_json::from_slice(&input.body) {
                past.push(announcement(job.id, &said));
            }
        }
        past.reverse();
        past
    }

    /// Somebody in a room.
    async fn visit(self, room: String, mut socket: WebSocket) -> Result<(), axum::Error> {
        // Listening before looking: what is said between the two is told twice rather than not at all.
        let mut told = self.told.subscribe();
        for past in self.past(&room).await {
            socket.send(Message::Text(past.into())).await?;
        }
        loop {
            tokio::select! {
                heard = socket.recv() => match heard {
                    Some(Ok(Message::Text(text))) => {
                        let refused = match serde_json::from_str(&text) {
                            Ok(said) => self.say(&room, said).await.err(),
                            Err(_) => Some(r#"say {"by":"…","text":"…"}"#.to_owned()),
                        };
                        if let Some(why) = refused {
                            socket.send(Message::Text(json!({ "refused": why }).to_string().into())).await?;
                        }
                    }
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                },
                news = told.recv() => match news {
                    Ok((whose, announcement)) if whose == room => {
                        socket.send(Message::Text(announcement.into())).await?;
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => for past in self.past(&room).await {
                        socket.send(Message::Text(past.into())).await?;
                    },
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }

    /// Says it: on disk first, then to those who are here.
    async fn say(&self, room: &str, said: Said) -> Result<(), String> {
        let placed = self.rc.submit(&SAY, &said).group(room).send().await;
        let placed = placed.map_err(|refused| refused.to_string())?;
        // Where nobody is here, nobody is told.
        let _ = self
            .told
            .send((room.to_owned(), announcement(placed.id(), &said)));
        Ok(())
    }
}

async fn enter(State(app): State<App>, Path(room): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    if GroupName::new(&room).is_err() {
        return (StatusCode::NOT_FOUND, "no room can have this name").into_response();
    }
    let upgrade = upgrade.max_message_size(16 << 10);
    upgrade.on_upgrade(async move |socket| {
        // A socket that broke comes back by itself.
        let _ = app.visit(room, socket).await;
    })
}

/// Answers word by word. Each word is kept before it is shown.
async fn answer(ctx: Ctx, Args(said): Args<Said>) -> String {
    let answer = format!(
        "{}, you said {}: it is raining cats and dogs.",
        said.by, said.text
    );
    for word in answer.split_inclusive(' ') {
        tokio::time::sleep(Duration::from_millis(setting("WORD_MS", 150))).await;
        ctx.emit(word);
    }
    answer
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = queue().concurrency(32).keep(Duration::from_secs(30 * 86_400));
    let rc = Raincheck::builder()
        .handle(SAY, settings, answer)
        .open(store("chat"))
        .await?;
    let app = App {
        rc: rc.clone(),
        told: broadcast::channel(AHEAD).0,
    };
    let app = Router::new()
        .route("/", get(async || Html(include_str!("chat.html"))))
        .route("/rooms/{room}", any(enter))
        .merge(rc.router())
        .with_state(app);
    rc.serve(listen().await?, app).await?;
    Ok(())
}
