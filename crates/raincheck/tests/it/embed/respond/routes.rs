//! Where the layer may stand, and what passes it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body::Frame;
use raincheck::Raincheck;
use raincheck::tasks::{Group, TaskKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::super::{App, opened};
use super::{Gate, preferring, redeem, serve};

async fn said(Path(parts): Path<Vec<(String, String)>>) -> String {
    let parts: Vec<_> = parts.into_iter().map(|(_, value)| value).collect();
    parts.join(" ")
}

#[tokio::test]
async fn nested_routes_are_asked_by_the_whole_path() {
    let (rc, _folder) = opened(Raincheck::builder().mounted_at("/raincheck")).await;
    let inner = || Router::new().route("/reports/{month}", get(said));
    let app = Router::new()
        .nest("/plain", inner().layer(rc.respond_async()))
        .nest(
            "/{tenant}/deep",
            Router::new().nest("/er", inner().layer(rc.respond_async())),
        )
        .nest_service("/service", inner().layer(rc.respond_async()))
        .nest("/around", inner())
        .layer(rc.respond_async())
        .nest("/raincheck", rc.router());
    let app = App::serve(&rc, app).await;
    for (path, expected) in [
        ("/plain/reports/11", "11"),
        ("/caf%C3%A9/deep/er/reports/11", "café 11"),
        ("/service/reports/11?x=y", "11"),
        ("/around/reports/11", "11"),
    ] {
        assert_eq!(app.ask("GET", path).send().await.text(), expected);
        let check = preferring(app.ask("GET", path)).send().await;
        assert!(
            check
                .header("location")
                .unwrap()
                .starts_with("/raincheck/v1/jobs/job_")
        );
        assert_eq!(redeem(&app, &check).await.text(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_single_route_and_a_fallback_can_have_it_and_others_do_not() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let fallback = get(async || (StatusCode::NOT_FOUND, "nothing")).layer(rc.respond_async());
    let app = Router::new()
        .route("/with", get(async || "with").layer(rc.respond_async()))
        .route("/without", get(async || "without"))
        .fallback_service(fallback);
    let app = serve(&rc, app).await;
    let check = preferring(app.ask("GET", "/with")).send().await;
    assert_eq!(redeem(&app, &check).await.text(), "with");
    let without = preferring(app.ask("GET", "/without")).send().await;
    assert_eq!((without.status, without.text()), (200, "without"));
    let check = preferring(app.ask("GET", "/nowhere")).send().await;
    let nothing = redeem(&app, &check).await;
    assert_eq!(
        (nothing.status, nothing.outcome()),
        (404, Some("succeeded")),
        "4xx is an answer"
    );
}

#[tokio::test]
async fn the_api_stays_the_apis_where_the_layer_is_around_it_as_well() {
    for (mount, prefix) in [("", ""), ("/raincheck", "/raincheck")] {
        let (rc, _folder) = opened(Raincheck::builder().mounted_at(mount)).await;
        let routes = Router::new().route("/", get(async || "own"));
        let app = match mount {
            "" => routes.merge(rc.router()),
            mount => routes.nest(mount, rc.router()),
        };
        let app = App::serve(&rc, app.layer(rc.respond_async().always())).await;
        let put = format!("{prefix}/v1/queues/pulled");
        assert!(app.ask("PUT", &put).json("{}").send().await.status < 300);
        let submitted = preferring(app.ask("POST", &format!("{put}/jobs")))
            .body("x")
            .send()
            .await;
        assert_eq!(
            (submitted.status, submitted.json()["queue"].as_str()),
            (202, Some("pulled"))
        );
        assert_eq!(
            app.ask("GET", &format!("{prefix}/healthz")).send().await.status,
            200
        );
        let check = app.ask("GET", "/").send().await;
        assert_eq!(redeem(&app, &check).await.text(), "own");
    }
}

#[tokio::test]
async fn layers_around_it_are_around_the_attempt_as_well() {
    async fn stamped(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
        if request.headers().get("authorization").is_none() {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let mut response = next.run(request).await;
        response.headers_mut().insert("x-stamp", "1".parse().unwrap());
        response
    }
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let routes = Router::new()
        .route("/", get(async || "inside"))
        .layer(rc.respond_async())
        .layer(axum::middleware::from_fn(stamped));
    let app = serve(&rc, routes).await;
    assert_eq!(
        preferring(app.ask("GET", "/")).send().await.status,
        401,
        "nobody made it a job"
    );
    let check = preferring(app.ask("GET", "/"))
        .header("authorization", "Basic x")
        .send()
        .await;
    let result = redeem(&app, &check).await;
    assert_eq!((result.text(), result.header("x-stamp")), ("inside", Some("1")));
}

/// A body that comes in parts.
struct Parts(mpsc::Receiver<Bytes>);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

#[tokio::test]
async fn an_answer_that_streams_passes_while_it_comes() {
    async fn stream(State(gate): State<Gate>) -> Body {
        let (tell, told) = mpsc::channel(1);
        Group::new("stream").spawn(TaskKind::Errand, async move {
            for part in ["first", "second"] {
                tell.send(Bytes::from(part)).await.unwrap();
                gate.open.acquire().await.unwrap().forget();
            }
        });
        Body::new(Parts(told))
    }
    let gate = Gate::new();
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let routes = Router::new().route("/", get(stream)).with_state(gate.clone());
    let app = serve(&rc, routes.layer(rc.respond_async())).await;
    let mut line = tokio::net::TcpStream::connect(app.addr).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: localhost\r\nprefer: wait=30\r\nconnection: close\r\n\r\n";
    line.write_all(head.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(5).any(|part| part == b"first") {
        assert!(line.read_buf(&mut heard).await.unwrap() > 0);
    }
    gate.open.add_permits(2);
    line.read_to_end(&mut heard).await.unwrap();
    assert!(String::from_utf8(heard).unwrap().contains("second"));
}

#[tokio::test]
async fn what_changes_the_protocol_passes() {
    async fn upgraded() -> Response {
        (
            StatusCode::SWITCHING_PROTOCOLS,
            [("connection", "upgrade"), ("upgrade", "echo")],
        )
            .into_response()
    }
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = serve(
        &rc,
        Router::new()
            .route("/", get(upgraded))
            .layer(rc.respond_async().always()),
    )
    .await;
    let mut line = tokio::net::TcpStream::connect(app.addr).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    line.write_all(head.as_bytes()).await.unwrap();
    let mut heard = [0; 12];
    line.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"HTTP/1.1 101");
}

#[tokio::test]
async fn a_method_that_is_not_there_is_an_answer_too() {
    let (rc, _folder) = opened(Raincheck::builder()).await;
    let app = serve(
        &rc,
        Router::new()
            .route("/", post(async || ""))
            .layer(rc.respond_async()),
    )
    .await;
    let answer = preferring(app.ask("GET", "/")).send().await;
    let answer = if answer.status == 202 {
        redeem(&app, &answer).await
    } else {
        answer
    };
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}
