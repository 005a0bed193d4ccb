//! `chat`: what is said is told to all, outlives the process, and its answer is followed without a gap.

use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::rig::Program;

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
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
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
