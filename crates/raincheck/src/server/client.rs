//! Who asks: the address that limits and logs go by, and whether the client spoke TLS.
//!
//! Invariant: what a request says of its own way is believed only from the proxies that the operator named; everybody
//! else is the address that the connection comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::outward::target::Range;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED: HeaderName = http::header::FORWARDED;

/// In the extensions of every request, where the server tells clients apart ([`Exposed`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address, as far as it can be known; one of version 4 is never written as one of version 6.
    pub address: IpAddr,
    /// Whether it spoke TLS, with us or with the proxy.
    pub secure: bool,
    /// Where the connection comes from, which is a proxy's address where there is one.
    pub peer: IpAddr,
    /// Whether that is a proxy whose word is taken.
    pub through_proxy: bool,
    /// Whether the connection is TLS.
    pub tls: bool,
}

impl Client {
    /// Somebody on this machine: who asks where nobody is told apart.
    pub(crate) const HERE: Self = Self {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: false,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        through_proxy: false,
        tls: false,
    };
}

/// That others than this machine are served, and through whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposed {
    /// Where proxies are whose word is taken for who asks.
    pub proxies: Vec<Range>,
}

impl Exposed {
    /// Who asks, given where the connection comes from, whether it is TLS, and what the request says.
    #[must_use]
    pub fn client(&self, peer: IpAddr, tls: bool, headers: &HeaderMap) -> Client {
        let mut client = Client {
            address: peer.to_canonical(),
            secure: tls,
            peer: peer.to_canonical(),
            through_proxy: false,
            tls,
        };
        if !self.trusts(client.address) {
            return client;
        }
        client.through_proxy = true;
        let (hops, proto) = if headers.contains_key(FORWARDED_FOR) || headers.contains_key(FORWARDED_PROTO) {
            (
                list(headers, &FORWARDED_FOR),
                list(headers, &FORWARDED_PROTO).pop(),
            )
        } else {
            forwarded(&list(headers, &FORWARDED))
        };
        // The last entry is what the nearest proxy saw; what is before one that is no proxy anybody could have sent.
        for hop in hops.iter().rev() {
            let Some(address) = address(hop) else { break };
            client.address = address;
            if !self.trusts(address) {
                break;
            }
        }
        client.secure = proto.map_or(tls, |proto| proto.eq_ignore_ascii_case("https"));
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|range| range.holds(address))
    }
}

/// The entries of a list header, over all its lines. Of one that is no text nothing is known.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter();
    let texts = lines.map(|line| line.to_str().unwrap_or_default());
    texts
        .flat_map(|text| text.split(','))
        .map(|entry| entry.trim().to_owned())
        .collect()
}

/// The `for` of every entry, and the `proto` of the last (RFC 7239).
fn forwarded(entries: &[String]) -> (Vec<String>, Option<String>) {
    let part = |entry: &String, name: &str| {
        let mut pairs = entry.split(';').filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let hops = entries.iter().map(|entry| part(entry, "for").unwrap_or_default());
    (
        hops.collect(),
        entries.last().and_then(|entry| part(entry, "proto")),
    )
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> (String, bool) {
        let exposed = Exposed {
            proxies: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let client = exposed.client(peer.parse().unwrap(), false, &headers);
        (client.address.to_string(), client.secure)
    }

    fn address_of(peer: &str, lines: &[(&'static str, &str)]) -> String {
        client(peer, lines).0
    }

    #[test]
    fn only_named_proxies_are_believed() {
        let said = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")];
        assert_eq!(client("10.1.1.1", &said), ("192.0.2.7".to_owned(), true));
        assert_eq!(client("::ffff:10.1.1.1", &said), ("192.0.2.7".to_owned(), true));
        assert_eq!(client("198.51.100.1", &said), ("198.51.100.1".to_owned(), false));
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        for (said, expected) in [
            ("1.1.1.1, 192.0.2.7", "192.0.2.7"),
            ("1.1.1.1, 192.0.2.7, 10.2.2.2", "192.0.2.7"),
            ("192.0.2.7, nonsense", "10.1.1.1"),
            ("192.0.2.7, nonsense, 10.2.2.2", "10.2.2.2"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("", "10.1.1.1"),
        ] {
            assert_eq!(
                address_of("10.1.1.1", &[("x-forwarded-for", said)]),
                expected,
                "{said}"
            );
        }
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(address_of("10.1.1.1", &lines), "192.0.2.7", "lines are one list");
    }

    #[test]
    fn the_standard_header_is_read_where_the_usual_one_is_absent() {
        let said = "for=1.1.1.1, For=\"[2001:db8::1]:4711\";proto=https;by=10.1.1.1";
        assert_eq!(
            client("10.1.1.1", &[("forwarded", said)]),
            ("2001:db8::1".to_owned(), true)
        );
        let both = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(address_of("10.1.1.1", &both), "192.0.2.7");
        assert_eq!(
            address_of("10.1.1.1", &[("forwarded", "proto=https")]),
            "10.1.1.1"
        );
    }
}
