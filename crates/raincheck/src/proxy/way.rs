//! What a proxy tells of the way of a call: who asked for which host, by which scheme, below which path (`X-Forwarded-*`, and RFC 7239
//! where it came).
//!
//! Invariant: what a client wrote itself passes for nothing; what a trusted proxy told is told on.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::server::Client;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Tells who asked for what host by what scheme: appended to what a trusted proxy told, instead of what anybody else did.
pub(crate) fn tell_way(headers: &mut HeaderMap, from: &Client, host: Option<&HeaderValue>) {
    let proto = |secure| if secure { "https" } else { "http" };
    let mut way = address(from.peer);
    if from.through_proxy {
        let told_host = forwarded_host(headers);
        if headers.contains_key(header::FORWARDED) {
            let quoted = host
                .and_then(|host| host.to_str().ok())
                .map(quoted)
                .unwrap_or_default();
            let [open, close] = match from.peer.to_canonical() {
                IpAddr::V4(_) => ["", ""],
                IpAddr::V6(_) => ["\"[", "]\""],
            };
            let node = [open, &way, close].concat();
            append(
                headers,
                header::FORWARDED,
                &format!("for={node}{quoted};proto={}", proto(from.tls)),
            );
        }
        // A proxy that tells it by `Forwarded` alone is believed as well.
        let told = || (from.address != from.peer).then(|| address(from.address));
        if let Some(before) = joined(headers, &FORWARDED_FOR).or_else(told) {
            way = format!("{before}, {way}");
        }
        headers
            .entry(FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static(proto(from.secure)));
        if !headers.contains_key(FORWARDED_HOST)
            && let Some(host) = told_host.as_ref().or(host)
        {
            headers.insert(FORWARDED_HOST, host.clone());
        }
    } else {
        headers.remove(header::FORWARDED);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto(from.tls)));
        match host {
            Some(host) => headers.insert(FORWARDED_HOST, host.clone()),
            None => headers.remove(FORWARDED_HOST),
        };
    }
    if let Ok(way) = HeaderValue::try_from(way) {
        headers.insert(FORWARDED_FOR, way);
    }
}

/// Tells the path below which the client sees the upstream: behind what a trusted proxy told, instead of what anybody else did.
pub(crate) fn tell_prefix(headers: &mut HeaderMap, from: &Client, prefix: &str) {
    let before = joined(headers, &FORWARDED_PREFIX).filter(|_| from.through_proxy);
    let whole = [
        before.as_deref().unwrap_or_default().trim_end_matches('/'),
        prefix,
    ]
    .concat();
    if let Ok(whole) = HeaderValue::try_from(whole) {
        headers.insert(FORWARDED_PREFIX, whole);
    }
}

/// An address as people write it: one of version 4 never as one of version 6.
fn address(peer: IpAddr) -> String {
    match peer.to_canonical() {
        // By hand, for formatting costs more than all other headers together.
        IpAddr::V4(address) => {
            let (mut text, mut end) = ([b'.'; 16], 0);
            for octet in address.octets() {
                let digits = [octet / 100, octet / 10 % 10, octet % 10];
                let zeros = usize::from(octet < 100) + usize::from(octet < 10);
                for digit in &digits[zeros..] {
                    text[end] = b'0' + digit;
                    end += 1;
                }
                // The dot is there.
                end += 1;
            }
            std::str::from_utf8(&text[..end - 1])
                .unwrap_or_default()
                .to_owned()
        }
        IpAddr::V6(address) => address.to_string(),
    }
}

fn quoted(host: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if host.bytes().all(plain) {
        format!(";host=\"{host}\"")
    } else {
        String::new()
    }
}

/// The host that the nearest proxy was asked for, where it tells that by `Forwarded` (RFC 7239 section 5.3).
fn forwarded_host(headers: &HeaderMap) -> Option<HeaderValue> {
    let last = headers.get_all(header::FORWARDED).iter().next_back()?;
    let entry = last.to_str().ok()?.rsplit(',').next()?;
    let mut pairs = entry.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, host) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
    let host = host.trim_matches('"');
    HeaderValue::from_str(host).ok().filter(|_| !host.is_empty())
}

/// All lines of a list as one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn append(headers: &mut HeaderMap, name: HeaderName, entry: &str) {
    let all = joined(headers, &name).map_or_else(|| entry.to_owned(), |before| format!("{before}, {entry}"));
    if let Ok(all) = HeaderValue::try_from(all) {
        headers.insert(name, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Exposed;

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        all
    }

    fn told(trusted: bool, before: &[(&'static str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, value.parse().unwrap());
        }
        let proxies = trusted.then(|| "10.0.0.0/8".parse().unwrap());
        let exposed = Exposed {
            proxies: proxies.into_iter().collect(),
        };
        let from = exposed.client("::ffff:10.0.0.1".parse().unwrap(), true, &headers);
        let host = HeaderValue::from_static("shop.example");
        tell_way(&mut headers, &from, Some(&host));
        lines(&headers)
    }

    #[test]
    fn the_way_is_told_on_and_only_a_trusted_proxy_is_believed() {
        let fresh = [
            "x-forwarded-for: 10.0.0.1",
            "x-forwarded-host: shop.example",
            "x-forwarded-proto: https",
        ];
        assert_eq!(told(false, &[]), fresh);
        let said = [
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(told(false, &said), fresh);
        assert_eq!(
            told(true, &said),
            [
                "forwarded: for=1.1.1.1, for=10.0.0.1;host=\"shop.example\";proto=https",
                "x-forwarded-for: 1.1.1.1, 10.0.0.1",
                "x-forwarded-host: evil.example",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn what_a_trusted_proxy_tells_in_one_way_is_told_on_in_both() {
        assert_eq!(
            told(true, &[("forwarded", "for=1.1.1.1;proto=http")]),
            [
                "forwarded: for=1.1.1.1;proto=http, for=10.0.0.1;host=\"shop.example\";proto=https",
                "x-forwarded-for: 1.1.1.1, 10.0.0.1",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: http",
            ]
        );
        assert_eq!(
            told(true, &[("x-forwarded-for", "1.1.1.1")]),
            [
                "x-forwarded-for: 1.1.1.1, 10.0.0.1",
                "x-forwarded-host: shop.example",
                "x-forwarded-proto: https",
            ]
        );
    }

    #[test]
    fn an_address_is_written_as_people_write_it() {
        for text in ["0.0.0.0", "1.22.103.200", "255.10.99.100", "2001:db8::1"] {
            assert_eq!(address(text.parse().unwrap()), text);
        }
        assert_eq!(address("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1");
    }
}
