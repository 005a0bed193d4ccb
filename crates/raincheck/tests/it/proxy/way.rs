//! What the service is told of who asked, behind a proxy that is named and behind one that is not.

use raincheck::server::Exposed;

use super::{Played, Proxied, Setup};

/// What the service is told of the way of a call, from somebody on this machine, where these are the proxies; sorted.
async fn told(proxies: &str, rule: &str, said: &[(&str, &str)]) -> Vec<String> {
    let service = Played::start().await;
    let setup = Setup {
        exposed: Some(Exposed {
            proxies: vec![proxies.parse().unwrap()],
        }),
        ..Setup::default()
    };
    let proxy = Proxied::with(setup, &format!("http://{}", service.addr), &[rule]).await;
    let mut ask = crate::client::Ask::to_host(proxy.addr, "shop.example", "GET", "/a");
    for (name, value) in said {
        ask = ask.header(name, value);
    }
    let serving = async {
        let mut side = service.accept().await;
        let heard = side.until("\r\n\r\n").await;
        side.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        heard
    };
    let (heard, _) = tokio::join!(serving, ask.send());
    let way = ["x-forwarded-", "forwarded:", "host:"];
    let mut lines: Vec<_> = heard
        .lines()
        .filter(|line| way.iter().any(|way| line.starts_with(way)))
        .map(str::to_owned)
        .collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn what_a_named_proxy_says_of_the_way_is_told_on_and_what_anybody_else_says_is_not() {
    let both = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "www.example"),
        ("Forwarded", "for=203.0.113.7;proto=https"),
    ];
    let standard = [("Forwarded", "for=\"[2001:db8::1]:4711\";proto=https")];
    for rule in ["/**=UP;mode=never", "/**=UP;mode=always"] {
        assert_eq!(
            told("127.0.0.0/8", rule, &both).await,
            [
                "forwarded: for=203.0.113.7;proto=https, for=127.0.0.1;host=\"shop.example\";proto=http",
                "host: shop.example",
                "x-forwarded-for: 203.0.113.7, 127.0.0.1",
                "x-forwarded-host: www.example",
                "x-forwarded-proto: https",
            ],
            "{rule}"
        );
        assert_eq!(
            told("127.0.0.1", rule, &standard).await,
            [
                "forwarded: for=\"[2001:db8::1]:4711\";proto=https, for=127.0.0.1;host=\"shop.example\";proto=http",
                "host: shop.example",
                "x-forwarded-for: 2001:db8::1, 127.0.0.1",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: https",
            ],
            "{rule}"
        );
        let elsewhere = [(
            "Forwarded",
            "for=203.0.113.7;host=a.example, for=10.1.1.1;Host=\"pub.example:8443\"",
        )];
        let lines = told("127.0.0.0/8", rule, &elsewhere).await;
        assert_eq!(lines[3], "x-forwarded-host: pub.example:8443", "{rule} {lines:?}");
        for said in [&both[..], &standard, &[]] {
            assert_eq!(
                told("10.0.0.0/8", rule, said).await,
                [
                    "host: shop.example",
                    "x-forwarded-for: 127.0.0.1",
                    "x-forwarded-host: shop.example",
                    "x-forwarded-proto: http",
                ],
                "{rule} {said:?}"
            );
        }
    }
}
