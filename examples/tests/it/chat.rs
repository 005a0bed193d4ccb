//! `chat`: what is said is told to all, outlives the process, and its answer is followed without a gap; and how it began.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::rig::{Program, original};

/// Somebody in a room.
struct Guest(WebSocket<MaybeTlsStream<TcpStream>>);

impl Guest {
    fn enter(chat: &Program, room: &str) -> Self {
        let url = format!("{}/rooms/{room}", chat.url.replace("http", "ws"));
        Self(tungstenite::connect(url).unwrap().0)
    }

    fn say(&mut self, said: &Value) {
        self.0.send(Message::text(said.to_string())).unwrap();
    }

    fn told(&mut self) -> Value {
        self.told_within(None).unwrap()
    }

    /// What it is told next, where it is told anything within this time.
    fn told_within(&mut self, time: Option<Duration>) -> Option<Value> {
        let MaybeTlsStream::Plain(stream) = self.0.get_mut() else {
            panic!("no TLS here")
        };
        stream.set_read_timeout(time).unwrap();
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_room_hears_what_is_said_in_it_and_whoever_enters_later_hears_it_too() {
    let chat = Program::start("chat", &[("WORD_MS", "1")]);
    assert!(chat.get("/").text().contains("WebSocket"));
    let (mut ada, mut bob) = (Guest::enter(&chat, "tea"), Guest::enter(&chat, "tea"));
    let mut eve = Guest::enter(&chat, "other");
    ada.say(&json!({"by": "ada", "text": "hello"}));
    let told = bob.told();
    assert_eq!((&told["by"], &told["text"]), (&"ada".into(), &"hello".into()));
    assert_eq!(ada.told(), told);
    ada.say(&json!("no such form"));
    assert!(ada.told()["refused"].is_string());
    eve.say(&json!({"by": "eve", "text": "alone"}));
    assert_eq!(eve.told()["text"], "alone", "and not what was said elsewhere");
    // A crash: the room is there again, and a guest who comes late as well.
    let chat = Program::start_in(chat.kill(), "chat", &[("WORD_MS", "1")]);
    assert_eq!(Guest::enter(&chat, "tea").told(), told);
    let answer = chat.get(&format!(
        "/v1/jobs/{}/result?wait=60",
        told["id"].as_str().unwrap()
    ));
    assert_eq!(answer.json(), "ada, you said hello: it is raining cats and dogs.");
}

#[test]
fn an_answer_is_followed_word_by_word_and_gone_on_with_where_it_was() {
    let chat = Program::start("chat", &[("WORD_MS", "50")]);
    let mut ada = Guest::enter(&chat, "tea");
    ada.say(&json!({"by": "ada", "text": "hello"}));
    let answer = ada.told()["answer"].as_str().unwrap().to_owned();
    let mut events = chat.ask("GET", &answer).follow();
    let mut heard = String::new();
    let last = loop {
        let event = events.until("output");
        heard += event.data["text"].as_str().unwrap();
        if heard.len() > 10 {
            break event.id.unwrap();
        }
    };
    drop(events);
    let mut events = chat.ask("GET", &answer).header("last-event-id", &last).follow();
    loop {
        let event = events.next().unwrap();
        match &*event.name {
            "output" => heard += event.data["text"].as_str().unwrap(),
            "done" => break,
            _ => {}
        }
    }
    assert_eq!(heard, "ada, you said hello: it is raining cats and dogs.");
}

#[test]
fn who_reloads_has_lost_the_originals_answer_and_a_restart_its_room() {
    let Some(first) = original("chat", &[("WORD_MS", "1")]) else {
        return;
    };
    let (mut ada, mut bob) = (Guest::enter(&first, "tea"), Guest::enter(&first, "tea"));
    ada.say(&json!({"by": "ada", "text": "hello"}));
    assert_eq!(ada.told()["text"], "hello");
    assert_eq!(ada.told()["word"], "ada,");
    drop(ada);
    assert_eq!(bob.told()["text"], "hello");
    let mut words = 0;
    while bob.told()["word"].is_string() {
        words += 1;
    }
    let mut ada = Guest::enter(&first, "tea");
    let again = json!({"by": "ada", "text": "what was it?", "answered": false});
    ada.say(&again);
    assert_eq!(
        (ada.told(), words),
        (again.clone(), 10),
        "nine of ten words are nowhere"
    );
    drop(first);
    let second = original("chat", &[]).unwrap();
    let mut eve = Guest::enter(&second, "tea");
    eve.say(&again);
    assert_eq!(eve.told(), again, "nothing was ever said here");
}

#[test]
fn one_who_does_not_read_holds_the_originals_room_up_and_not_this_one() {
    let chat = Program::start("chat", &[("WORD_MS", "600000")]);
    let _eve = Guest::enter(&chat, "tea");
    let mut bob = Guest::enter(&chat, "tea");
    let said = json!({"by": "bob", "text": "x".repeat(15_000)});
    // As much as fills what lies between the two in the original.
    for _ in 0..350 {
        bob.say(&said);
        assert_eq!(bob.told()["text"], said["text"]);
    }
    let Some(original) = original("chat", &[]) else {
        return;
    };
    let mut eve = Guest::enter(&original, "tea");
    let mut bob = Guest::enter(&original, "tea");
    let said = json!({"by": "bob", "text": "x".repeat(60_000), "answered": false});
    let mut texts = 0;
    loop {
        bob.say(&said);
        texts += 1;
        if bob.told_within(Some(Duration::from_millis(500))).is_none() {
            break;
        }
    }
    // It goes on once she reads, so it was she who was waited for.
    for _ in 0..texts {
        assert_eq!(eve.told(), said);
    }
    assert_eq!(bob.told(), said);
}
