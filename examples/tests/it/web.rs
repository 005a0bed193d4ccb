//! `web`: every route, and the report beside them; the report also beside how it began.

use tungstenite::Message;

use crate::rig::{Program, original};

#[test]
fn every_route_answers_as_it_should() {
    let web = Program::start("web", &[]);
    let root = web.get("/");
    assert_eq!((root.status, root.header("location")), (307, Some("/index")));
    let index = web.get("/index");
    assert_eq!(
        (index.status, index.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(index.text().contains("EventSource"));
    let empty = web.get("/empty");
    assert_eq!((empty.status, empty.text()), (204, ""));
    let json = web.get("/json/Ada%20L?a=1&b=%C3%A9").json();
    assert_eq!(
        json,
        serde_json::json!({"name": "Ada L", "query": {"a": "1", "b": "é"}})
    );
    assert_eq!(web.get("/nothing").status, 404);
    for path in ["/", "/index", "/empty", "/nothing", "/raincheck/v1/queues"] {
        let timing = web.get(path);
        assert!(
            timing.header("server-timing").unwrap().starts_with("app;dur="),
            "{path}"
        );
    }
}

#[test]
fn a_websocket_says_what_is_said_to_it() {
    let web = Program::start("web", &[]);
    let url = web.url.replace("http", "ws") + "/ws";
    let (mut socket, _) = tungstenite::connect(url).unwrap();
    for word in ["cats", "dogs"] {
        socket.send(Message::text(word)).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(format!("you said {word}")));
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    assert_eq!(web.get("/ws").status, 400, "no upgrade is asked for");
}

#[test]
fn a_report_is_made_once_beside_the_routes_and_tells_how_far_it_is() {
    let web = Program::start("web", &[("PAGE_MS", "100")]);
    let job = web.post("/reports/2026-11", "").location();
    assert!(job.starts_with("/raincheck/v1/jobs/"), "{job}");
    let mut events = web.ask("GET", &format!("{job}/events")).follow();
    assert!(
        events.until("progress").data["message"]
            .as_str()
            .unwrap()
            .starts_with("page ")
    );
    assert_eq!(web.get("/empty").status, 204, "no route waits for it");
    assert_eq!(
        web.post("/reports/2026-11", "").location(),
        job,
        "asked for twice"
    );
    events.until("done");
    let report = web.get(&format!("{job}/result"));
    assert_eq!(report.text(), "month,cats,dogs\n2026-11,12,7\n");
    assert_eq!(report.header("content-type"), Some("text/csv"));
    let none = web.post("/reports/November", "").location();
    let none = web.get(&format!("{none}/result?wait=60"));
    assert!(
        none.status == 500 && none.text().contains("no-such-month"),
        "{none:?}"
    );
}

#[test]
fn a_slow_route_gives_a_rain_check_for_its_own_answer_also_over_a_crash() {
    let web = Program::start("web", &[("MONTH_MS", "1")]);
    let plain = web.get("/summaries/2026");
    assert_eq!(plain.text(), "year,cats,dogs\n2026,144,84\n");
    let waited = web
        .ask("GET", "/summaries/2026")
        .header("prefer", "wait=60")
        .send();
    assert_eq!((waited.status, waited.text()), (200, plain.text()));
    drop(web);
    let web = Program::start("web", &[("MONTH_MS", "60000")]);
    let check = web
        .ask("GET", "/summaries/2026")
        .header("prefer", "respond-async")
        .send();
    assert_eq!(check.status, 202, "{check:?}");
    let (job, ticket) = check.header("location").unwrap().split_once('?').unwrap();
    assert!(job.starts_with("/raincheck/v1/jobs/"), "{job}");
    web.until(&format!("{job}?{ticket}"), |job| {
        job.text().contains("\"running\"")
    });
    let web = Program::start_in(web.kill(), "web", &[("MONTH_MS", "1")]);
    let result = web.get(&format!("{job}/result?{ticket}&wait=60"));
    assert_eq!(
        (result.text(), result.header("content-type")),
        (plain.text(), Some("text/csv"))
    );
}

#[test]
fn a_report_holds_all_of_the_original_up_and_is_made_twice_and_here_neither() {
    let web = Program::start("web", &[("PAGE_MS", "600000")]);
    let job = web.post("/reports/2026-11", "").location();
    web.until(&job, |job| job.json()["state"] == "running");
    assert_eq!(web.get("/empty").status, 204, "it is not done for a long time");
    assert_eq!(web.post("/reports/2026-11", "").location(), job, "made once");
    let Some(original) = original("web", &[("PAGE_MS", "50")]) else {
        return;
    };
    let report = original.ask("POST", "/reports/2026-11").begin();
    assert_eq!(original.get("/empty").status, 204);
    assert!(
        report.has_begun(),
        "whoever asks is answered once the report is done, not before"
    );
    assert_eq!(original.post("/reports/2026-11", "").status, 200);
    assert_eq!(original.get("/made").json()["made"], 2, "a second click");
}
