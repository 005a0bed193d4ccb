//! A service over TLS, whose certificate an authority of its operator's own has signed.

use axum::extract::Request;
use axum::response::IntoResponse as _;
use http_body_util::BodyExt as _;
use raincheck::outward::trust::Trust;
use raincheck::server::Tls;

use super::away::seen;
use super::jobs::redeem;
use super::{Counting, Played, Proxied, Setup, code};
use crate::tls::rig::Authority;

const RULES: &[&str] = &["/jobs/**=UP;mode=always;retry_codes=500", "/**=UP;mode=never"];

async fn service(authority: &Authority) -> (Counting, String) {
    let tls = Tls::open(&authority.cert(), &authority.key()).unwrap();
    let service = Counting::over(Some(tls), |_, request: Request| async {
        let proto = request.headers()["x-forwarded-proto"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        format!("{proto} {}", String::from_utf8_lossy(&body)).into_response()
    })
    .await;
    let url = format!("https://localhost:{}", service.addr.port());
    (service, url)
}

#[tokio::test]
async fn a_service_is_asked_over_tls_where_its_authority_is_trusted() {
    let authority = Authority::new();
    let (service, url) = service(&authority).await;
    let setup = Setup {
        trust: Trust::with(&authority.cert()).unwrap(),
        ..Setup::default()
    };
    let proxy = Proxied::with(setup, &url, RULES).await;
    let answer = proxy.ask("POST", "/a").body("rain").send().await;
    assert_eq!((answer.status, answer.text()), (200, "http rain"));
    let check = proxy.ask("POST", "/jobs/a").body("rain").send().await;
    assert_eq!(redeem(&proxy, &check).await.text(), "http rain");
    assert_eq!(service.calls(), 2);
}

#[tokio::test]
async fn a_service_that_nobody_vouches_for_is_told_nothing() {
    let authority = Authority::new();
    let (service, url) = service(&authority).await;
    let other = Trust::with(&Authority::new().cert()).unwrap();
    for trust in [Trust::default(), other] {
        let setup = Setup {
            trust,
            ..Setup::default()
        };
        let proxy = Proxied::with(setup, &url, RULES).await;
        let answer = proxy.ask("POST", "/a").body("rain").send().await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (502, "handler-unreachable")
        );
        assert!(answer.text().contains("certificate"), "{answer:?}");
    }
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn a_job_waits_for_a_service_that_takes_the_connection_and_stays_silent() {
    if std::env::var_os("RAINCHECK_SLOW_TESTS").is_none() {
        // It takes the 10 s that a connection may take; `kept.rs` has the same without a job, in no time.
        return;
    }
    let silent = Played::start().await;
    let url = format!("https://{}", silent.addr);
    let proxy = Proxied::with(Setup::default(), &url, RULES).await;
    let check = proxy.ask("POST", "/jobs/a").body("rain").send().await;
    let _side = silent.accept().await;
    let job = seen(&proxy, &check, |job| job["state"] == "scheduled").await;
    assert_eq!(
        (&job["state"], &job["attempt"], &job["waiting_for"]),
        (&"scheduled".into(), &0.into(), &"circuit".into()),
        "{job}"
    );
}
