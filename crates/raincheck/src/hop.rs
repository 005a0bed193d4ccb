//! Headers that belong to a connection, and not to what is sent over it (RFC 9110 section 7.6.1).
//!
//! Invariant: one list, for whoever forwards, sends on or writes a message anew.

use http::header::{self, HeaderName};

/// Those of one hop, beside what `Connection` names.
pub(crate) const OF_A_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// Whether it is for whoever writes the message to say: those of one hop, where it goes, where it ends, what is awaited.
pub(crate) fn of_the_way(name: &HeaderName) -> bool {
    let framing = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRAILER,
        header::EXPECT,
    ];
    OF_A_HOP.contains(name) || framing.contains(name)
}
