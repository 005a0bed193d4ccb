//! An answer that hands out leases.
//!
//! Invariant: leases whose answer was dropped before the connection took its body, or whose client had closed its side by
//! then, are given back.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};

use super::answer::json;
use crate::pull::handed::Lent;
use crate::server::{AskedAgain, OnlyToThePresent};

/// A body with the leases that stand in it.
struct Leases {
    bytes: Option<Bytes>,
    lent: Vec<Lent>,
    again: AskedAgain,
}

impl http_body::Body for Leases {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.bytes.take();
        if bytes.is_none() || !self.again.is_set() {
            self.lent.drain(..).for_each(Lent::delivered);
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.lent.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A JSON answer in which these leases stand.
pub(crate) fn leases(body: Vec<u8>, lent: Vec<Lent>) -> Response {
    let mut response = json(StatusCode::OK, Vec::new());
    if lent.iter().any(Lent::any) {
        response.extensions_mut().insert(OnlyToThePresent);
    }
    let bytes = Some(Bytes::from(body));
    let again = AskedAgain::default();
    response.extensions_mut().insert(again.clone());
    *response.body_mut() = Body::new(Leases { bytes, lent, again });
    response
}
