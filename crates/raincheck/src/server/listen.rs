//! Where the server may listen: closed by default.
//!
//! Invariant: an address alone never makes an open server. Whoever is reached by others than this machine asks for keys,
//! and hides them on the way, unless the operator said in so many words that he does not want that.

use std::net::SocketAddr;

/// What stands between a server and those who reach it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Whether requests need an API key, and there is one.
    pub keys: bool,
    /// Whether it speaks TLS itself.
    pub tls: bool,
    /// Whether a proxy in front of it does.
    pub proxied: bool,
    /// Whether the operator wants neither.
    pub insecure: bool,
}

/// Why the server does not listen at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenRefused {
    /// Whoever reaches it could do everything.
    #[error(
        "refusing to listen on {0}: whoever reaches it could submit work and read results, for there is no API key"
    )]
    NoKey(SocketAddr),
    /// Keys, inputs and results could be read on the way.
    #[error("refusing to listen on {0} without TLS: keys, inputs and results could be read on their way")]
    Plain(SocketAddr),
}

impl ListenRefused {
    /// What to do.
    #[must_use]
    pub fn way_out(&self) -> String {
        match self {
            Self::NoKey(addr) => format!(
                "Make the first key: raincheck key create ops --scope admin --store DIRECTORY; or listen on 127.0.0.1 or [::1], \
                 and reach it from elsewhere through `ssh -L {port}:127.0.0.1:{port} HOST`",
                port = addr.port()
            ),
            Self::Plain(addr) => format!(
                "Give it a certificate: raincheck serve --listen {addr} --tls-cert FILE --tls-key FILE; or name the proxy that \
                 speaks TLS for it: --behind-proxy CIDR; or, where the network itself is trusted, say --insecure-http"
            ),
        }
    }
}

/// Whether the server may listen at this address.
///
/// # Errors
/// When others than this computer could reach it and something is missing.
pub fn check_listen(addr: SocketAddr, protection: Protection) -> Result<(), ListenRefused> {
    // A proxy lets others in, wherever it finds the server.
    if addr.ip().to_canonical().is_loopback() && !protection.proxied {
        return Ok(());
    }
    if !(protection.tls || protection.proxied || protection.insecure) {
        return Err(ListenRefused::Plain(addr));
    }
    if protection.keys {
        Ok(())
    } else {
        Err(ListenRefused::NoKey(addr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; 5] = [
        "0.0.0.0:7246",
        "[::]:7246",
        "192.168.1.2:80",
        "[fe80::1]:1",
        "[::ffff:10.0.0.1]:1",
    ];

    fn protection(keys: bool, [tls, proxied, insecure]: [bool; 3]) -> Protection {
        Protection {
            keys,
            tls,
            proxied,
            insecure,
        }
    }

    #[test]
    fn this_computer_alone_needs_no_protection() {
        for addr in [
            "127.0.0.1:7246",
            "127.9.9.9:1",
            "[::1]:7246",
            "[::ffff:127.0.0.1]:1",
        ] {
            let addr = addr.parse().unwrap();
            assert_eq!(check_listen(addr, Protection::default()), Ok(()), "{addr}");
        }
    }

    #[test]
    fn a_proxy_in_front_needs_a_key_on_this_computer_too() {
        let addr = "127.0.0.1:7246".parse().unwrap();
        let behind = |keys| check_listen(addr, protection(keys, [false, true, false]));
        assert_eq!(behind(false), Err(ListenRefused::NoKey(addr)));
        assert_eq!(behind(true), Ok(()));
    }

    #[test]
    fn others_need_a_key_and_a_safe_way() {
        for addr in PUBLIC {
            let addr = addr.parse().unwrap();
            for way in [[true, false, false], [false, true, false], [false, false, true]] {
                assert_eq!(check_listen(addr, protection(true, way)), Ok(()));
                let refused = Err(ListenRefused::NoKey(addr));
                assert_eq!(check_listen(addr, protection(false, way)), refused);
            }
            for keys in [true, false] {
                let refused = Err(ListenRefused::Plain(addr));
                assert_eq!(check_listen(addr, protection(keys, [false; 3])), refused);
            }
        }
    }

    #[test]
    fn a_refusal_names_the_way_out() {
        let addr = "0.0.0.0:7246".parse().unwrap();
        let way = ListenRefused::NoKey(addr).way_out();
        assert!(
            way.contains("127.0.0.1 or [::1]") && way.contains("ssh -L 7246:127.0.0.1:7246"),
            "{way}"
        );
        let way = ListenRefused::Plain(addr).way_out();
        for flag in ["--tls-cert", "--tls-key", "--behind-proxy", "--insecure-http"] {
            assert!(way.contains(flag), "{way}");
        }
    }
}
