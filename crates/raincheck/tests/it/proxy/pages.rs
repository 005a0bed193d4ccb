//! Pages of other origins: what a rule answers itself can be read by those that the operator names, and what the service answers is
//! the service's to say.

use axum::response::IntoResponse as _;

use super::{Counting, Proxied, Setup};
use crate::client::Answer;

const NAMED: &str = "https://app.example";
const RULES: &[&str] = &["/jobs/**=UP;mode=always", "/**=UP;mode=never"];

/// Which page may read the answer.
fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

async fn proxied(origins: &[&str]) -> (Counting, Proxied) {
    let service = Counting::start(|_, request: axum::extract::Request| async move {
        match request.uri().path().ends_with("/open") {
            true => ([("access-control-allow-origin", "*")], "wets").into_response(),
            false => "wets".into_response(),
        }
    })
    .await;
    let setup = Setup {
        origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        ..Setup::default()
    };
    let url = format!("http://{}", service.addr);
    let proxy = Proxied::with(setup, &url, RULES).await;
    (service, proxy)
}

#[tokio::test]
async fn what_a_rule_answers_itself_is_told_to_pages_that_are_named() {
    let (_service, proxy) = proxied(&[NAMED]).await;
    let ask = |path: &str, origin: &str| proxy.ask("POST", path).header("origin", origin).send();
    let accepted = ask("/jobs/a", NAMED).await;
    assert_eq!((accepted.status, allowed(&accepted)), (202, Some(NAMED)));
    let exposed = accepted.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("location") && exposed.contains("raincheck-job"));
    let long = format!("/jobs/{}", "x".repeat(9_000));
    let refused = ask(&long, NAMED).await;
    assert_eq!((refused.status, allowed(&refused)), (414, Some(NAMED)));
    for origin in ["https://other.example", "null"] {
        let accepted = ask("/jobs/a", origin).await;
        assert_eq!((accepted.status, allowed(&accepted)), (202, None), "{origin}");
        assert!(
            accepted.header("vary").unwrap().contains("origin"),
            "{accepted:?}"
        );
    }
}

#[tokio::test]
async fn what_the_service_answers_is_as_it_said_it() {
    let (_service, proxy) = proxied(&[NAMED]).await;
    for (path, said) in [
        ("/a", None),
        ("/open", Some("*")),
        ("/jobs/a", None),
        ("/jobs/open", Some("*")),
    ] {
        let ask = proxy.ask("POST", path).header("origin", NAMED);
        let answer = ask.header("prefer", "wait=30").send().await;
        assert_eq!(
            (answer.status, answer.text(), allowed(&answer)),
            (200, "wets", said),
            "{path}"
        );
        assert_eq!(answer.header("vary"), None, "{path}");
    }
    let preflight = proxy
        .ask("OPTIONS", "/jobs/open")
        .header("origin", NAMED)
        .header("access-control-request-method", "POST")
        .send()
        .await;
    assert_eq!((preflight.status, allowed(&preflight)), (200, Some("*")));
}

#[tokio::test]
async fn where_nobody_is_named_nothing_is_said_of_origins() {
    let (_service, proxy) = proxied(&[]).await;
    let accepted = proxy.ask("POST", "/jobs/a").header("origin", NAMED).send().await;
    assert_eq!(
        (accepted.status, allowed(&accepted), accepted.header("vary")),
        (202, None, None)
    );
}
