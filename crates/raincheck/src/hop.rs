//! Headers that belong to a connection, and not to what is sent over it (RFC 9110 section 7.6.1).
//!
//! Invariant: one list, for whoever forwards, sends on or writes a message anew.

use http::header::{self, HeaderName};

/// Those of one hop, beside what `Connection` names. A static, for a constant would be made anew wherever it is used.
pub(crate) static OF_A_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// Whether a header is one of those: one look at its name, which costs less than to compare it with each.
pub(crate) fn of_a_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// Whether it is for whoever writes the message to say: those of one hop, where it goes, where it ends, what is awaited.
pub(crate) fn of_the_way(name: &HeaderName) -> bool {
    let framing = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRAILER,
        header::EXPECT,
    ];
    of_a_hop(name) || framing.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_at_a_name_tells_what_the_list_tells() {
        assert!(OF_A_HOP.iter().all(of_a_hop));
        let others = [header::HOST, header::VIA, header::TRAILER, header::CONTENT_LENGTH];
        assert!(!others.iter().any(of_a_hop));
    }
}
