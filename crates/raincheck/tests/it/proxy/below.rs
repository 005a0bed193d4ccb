//! Several services behind one server, each below a path of its own that it does not see.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::HeaderValue;

use super::jobs::redeem;
use super::{Counting, Proxied};

/// Answers with the target and what it was told of the prefix.
async fn echo(name: &'static str, request: Request) -> Response {
    let prefix = request.headers().get_all("x-forwarded-prefix");
    let prefix: Vec<_> = prefix.iter().map(HeaderValue::as_bytes).collect();
    let prefix = String::from_utf8_lossy(&prefix.join(&b'|')).into_owned();
    format!("{name} {} {prefix}", request.uri()).into_response()
}

#[tokio::test]
async fn each_service_sees_its_own_paths_whether_a_call_passes_or_is_a_job() {
    let one = Counting::start(|_, request| echo("one", request)).await;
    let two = Counting::start(|_, request| echo("two", request)).await;
    let proxy = Proxied::start(
        one.addr,
        &[
            "/one/**=UP;prefix=/one;mode=prefer",
            &format!("/deep/two/**=http://{};prefix=/deep/two;mode=prefer", two.addr),
            "/as-it-came/**=UP;mode=prefer",
        ],
    )
    .await;
    for (path, seen) in [
        ("/one", "one / /one"),
        ("/one/", "one / /one"),
        ("/one?a=b", "one /?a=b /one"),
        ("/one/a%2Fb/c?d", "one /a%2Fb/c?d /one"),
        ("/one/one", "one /one /one"),
        ("/deep/two/x", "two /x /deep/two"),
        ("/as-it-came/x", "one /as-it-came/x "),
    ] {
        let passed = proxy.ask("GET", path).send().await;
        assert_eq!((passed.status, passed.text()), (200, seen), "{path}");
        let asked = proxy.ask("GET", path).header("prefer", "respond-async");
        let result = redeem(&proxy, &asked.send().await).await;
        assert_eq!((result.status, result.text()), (200, seen), "{path} as a job");
    }
    for path in ["/ones", "/deep", "/deep/two/../x", "/"] {
        assert_eq!(proxy.ask("GET", path).send().await.status, 404, "{path}");
    }
    let said = proxy.ask("GET", "/one/a").header("x-forwarded-prefix", "/evil");
    assert_eq!(
        said.send().await.text(),
        "one /a /one",
        "only a named proxy is believed"
    );
}
