//! Where the server may listen: on this computer only, until there are keys.
//!
//! Invariant: an address alone never makes an open server.

use std::net::SocketAddr;

/// Why the server does not listen at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {addr}: whoever reaches it could submit work and read results, for there are no API keys \
     yet. Listen on 127.0.0.1 or [::1]; from elsewhere, reach it through `ssh -L {port}:127.0.0.1:{port} HOST`, or \
     through a reverse proxy on this computer that asks who is there and sends `Host: localhost`",
    port = .addr.port()
)]
pub struct ListenRefused {
    /// The address.
    pub addr: SocketAddr,
}

/// Whether the server may listen at this address.
///
/// # Errors
/// When others than this computer could reach it; the message names the way out.
pub fn check_listen(addr: SocketAddr) -> Result<(), ListenRefused> {
    if addr.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(ListenRefused { addr })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_computer_is_listened_to() {
        for addr in [
            "127.0.0.1:7246",
            "127.9.9.9:1",
            "[::1]:7246",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(check_listen(addr.parse().unwrap()), Ok(()), "{addr}");
        }
        for addr in [
            "0.0.0.0:7246",
            "[::]:7246",
            "192.168.1.2:80",
            "[fe80::1]:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            let addr = addr.parse().unwrap();
            assert_eq!(check_listen(addr), Err(ListenRefused { addr }));
        }
        let message = check_listen("0.0.0.0:7246".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("127.0.0.1 or [::1]") && message.contains("ssh -L 7246:127.0.0.1:7246"),
            "{message}"
        );
    }
}
