//! Which addresses a URL that came over the API may lead to (GUARANTEES.md section 2 item 7).
//!
//! Invariant: an address that is in none of the tables below is allowed only because it is a public one; what is not
//! certain is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `10.1.0.0/16`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    base: IpAddr,
    bits: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address or a range such as 10.1.0.0/16 or fd00::/8")]
pub struct ParseRangeError;

impl FromStr for Range {
    type Err = ParseRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| ParseRangeError)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| ParseRangeError))?;
        if bits > most {
            return Err(ParseRangeError);
        }
        Ok(Self { base, bits })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl Range {
    const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Self {
        Self {
            base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            bits,
        }
    }

    const fn v6(first: u16, second: u16, third: u16, bits: u8) -> Self {
        Self {
            base: IpAddr::V6(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0)),
            bits,
        }
    }

    /// Whether the address is within.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(base).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(base).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What is no public address, after IANA's registries of special addresses, and where clouds keep their metadata.
const SPECIAL: [Range; 32] = [
    Range::v4(0, 0, 0, 0, 8),
    Range::v4(10, 0, 0, 0, 8),
    Range::v4(100, 64, 0, 0, 10),
    Range::v4(127, 0, 0, 0, 8),
    Range::v4(168, 63, 129, 16, 32),
    Range::v4(169, 254, 0, 0, 16),
    Range::v4(172, 16, 0, 0, 12),
    Range::v4(192, 0, 0, 0, 24),
    Range::v4(192, 0, 2, 0, 24),
    Range::v4(192, 88, 99, 0, 24),
    Range::v4(192, 168, 0, 0, 16),
    Range::v4(198, 18, 0, 0, 15),
    Range::v4(198, 51, 100, 0, 24),
    Range::v4(203, 0, 113, 0, 24),
    Range::v4(224, 0, 0, 0, 4),
    Range::v4(240, 0, 0, 0, 4),
    // `::`, `::1`, addresses of version 4 in those of version 6, and what was reserved with them.
    Range::v6(0, 0, 0, 32),
    Range::v6(0x64, 0xff9b, 0, 96),
    Range::v6(0x64, 0xff9b, 1, 48),
    Range::v6(0x100, 0, 0, 64),
    Range::v6(0x100, 0, 1, 64),
    Range::v6(0x2001, 0, 0, 23),
    Range::v6(0x2001, 0xdb8, 0, 32),
    Range::v6(0x2002, 0, 0, 16),
    Range::v6(0x2620, 0x4f, 0x8000, 48),
    Range::v6(0x3fff, 0, 0, 20),
    Range::v6(0x5f00, 0, 0, 16),
    Range::v6(0xfc00, 0, 0, 7),
    Range::v6(0xfe00, 0, 0, 9),
    Range::v6(0xfe80, 0, 0, 10),
    Range::v6(0xfec0, 0, 0, 10),
    Range::v6(0xff00, 0, 0, 8),
];

/// What URLs that come over the API may lead to, beside public addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Whether this machine itself may be reached, on any port and without TLS: where the server listens on it alone.
    pub loopback: bool,
    /// Further ranges, on any port and without TLS.
    pub allowed: Vec<Range>,
}

impl Default for Targets {
    /// This machine, as long as a server listens on nothing else, and public addresses.
    fn default() -> Self {
        Self {
            loopback: true,
            allowed: Vec::new(),
        }
    }
}

impl Targets {
    /// Everything: for whoever asks for URLs of his own on his own machine, as any program of his may.
    #[must_use]
    pub fn anywhere() -> Self {
        let all = |base| Range { base, bits: 0 };
        Self {
            loopback: true,
            allowed: vec![
                all(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                all(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            ],
        }
    }
}

/// Why an address may not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It is no public one, and nobody allowed it.
    #[error(
        "{0} is not a public address; whoever runs the server would have to allow it (--allow-targets; within an application, NodeOptions::targets)"
    )]
    Private(IpAddr),
    /// Without TLS.
    #[error("only https:// is allowed towards public addresses")]
    Plain,
    /// On a port of its own.
    #[error("port {0} is not allowed towards public addresses; 443 is")]
    Port(u16),
}

impl Targets {
    /// Whether a connection to this address may be made.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, address: IpAddr, port: u16, tls: bool) -> Result<(), Refused> {
        // An address of version 4 that is written as one of version 6 leads where it leads.
        let address = address.to_canonical();
        let own = self.loopback && address.is_loopback();
        if own || self.allowed.iter().any(|range| range.holds(address)) {
            return Ok(());
        }
        if SPECIAL.iter().any(|range| range.holds(address)) {
            return Err(Refused::Private(address));
        }
        if !tls {
            return Err(Refused::Plain);
        }
        if port != 443 {
            return Err(Refused::Port(port));
        }
        Ok(())
    }
}

/// Checks where webhooks are to go, a job's, a batch's or a queue's: the one rule for all who name it.
///
/// # Errors
/// Why nothing may be sent there.
pub(crate) fn check_callback(targets: &Targets, url: &str) -> Result<(), String> {
    let uri = super::target(url)?;
    check_literal(targets, &uri).map_err(|why| why.to_string())
}

/// Checks a URL whose host is an address, so that what can never be reached is refused when it is written.
///
/// # Errors
/// Why it may not be asked.
pub(crate) fn check_literal(targets: &Targets, uri: &http::Uri) -> Result<(), Refused> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    match host.parse() {
        Ok(address) => targets.check(address, port, tls),
        // A name says nothing before it is resolved, which is done for each connection.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(targets: &Targets, address: &str, port: u16, tls: bool, allowed: bool) {
        let checked = targets.check(address.parse().unwrap(), port, tls);
        assert_eq!(checked.is_ok(), allowed, "{address} {port} {tls}: {checked:?}");
    }

    fn closed() -> Targets {
        Targets {
            loopback: false,
            allowed: Vec::new(),
        }
    }

    #[test]
    fn public_addresses_are_reached_by_https_alone() {
        for address in [
            "93.184.216.34",
            "8.8.8.8",
            "2606:2800:220:1::1",
            "100.128.0.1",
            "172.32.0.1",
            "::ffff:8.8.8.8",
        ] {
            check(&closed(), address, 443, true, true);
            check(&closed(), address, 443, false, false);
            check(&closed(), address, 80, false, false);
            check(&closed(), address, 8443, true, false);
        }
    }

    #[test]
    fn no_special_address_is_reached() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:a00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check(&closed(), address, 443, true, false);
        }
    }

    #[test]
    fn this_machine_is_reached_where_the_server_listens_on_nothing_else() {
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            check(&Targets::default(), address, 8000, false, true);
            check(&closed(), address, 8000, false, false);
        }
        for address in ["10.0.0.1", "169.254.169.254", "0.0.0.0", "::"] {
            check(&Targets::default(), address, 443, true, false);
        }
    }

    #[test]
    fn what_is_allowed_is_reached_and_nothing_beside_it() {
        let targets = Targets {
            loopback: false,
            allowed: ["10.1.0.0/16", "fd00::/8", "192.168.7.9"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
        };
        for address in [
            "10.1.0.0",
            "10.1.255.255",
            "fd12::1",
            "192.168.7.9",
            "::ffff:10.1.2.3",
        ] {
            check(&targets, address, 8000, false, true);
        }
        for address in ["10.2.0.0", "10.0.255.255", "fc00::1", "192.168.7.8", "127.0.0.1"] {
            check(&targets, address, 443, true, false);
        }
        check(
            &Targets {
                loopback: false,
                allowed: vec!["0.0.0.0/0".parse().unwrap()],
            },
            "10.9.9.9",
            1,
            false,
            true,
        );
    }

    #[test]
    fn anywhere_is_anywhere() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "8.8.8.8",
            "::1",
            "fe80::1",
            "2606:2800:220:1::1",
        ] {
            check(&Targets::anywhere(), address, 8000, false, true);
        }
    }

    #[test]
    fn ranges_are_read_and_written() {
        for text in ["10.1.0.0/16", "fd00::/8", "0.0.0.0/0", "::/0"] {
            assert_eq!(text.parse::<Range>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.2.3".parse::<Range>().unwrap().to_string(), "10.1.2.3/32");
        for text in [
            "",
            "10.1/16",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "localhost",
            "10.0.0.0/",
            "/8",
            "1.2.3.4/8/8",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text:?}");
        }
    }
}
