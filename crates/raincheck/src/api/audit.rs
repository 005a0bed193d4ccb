//! The log of what administrators do: keys, queues, bulk acts, secrets.
//!
//! Invariant: each act by a key is one line, done or refused, with who, what, where and the request's id; never a body, which
//! may hold secrets.

use std::borrow::Cow;

use axum::response::Response;
use http::{HeaderValue, Request};
use raincheck_core::key::{KeyId, Scope};
use raincheck_core::name::Namespace;

use super::caller::RAINCHECK_NAMESPACE;
use super::needs;
use super::text;

/// What an administrator does with a key, for the log: who, what, where.
#[derive(Debug)]
pub(crate) struct Act {
    key: KeyId,
    namespace: String,
    method: &'static str,
    path: String,
}

impl Act {
    /// What is asked, where that is an act of administration by a key.
    pub(crate) fn of<B>(
        request: &Request<B>,
        key: Option<(KeyId, Namespace)>,
        method: &'static str,
        route: &str,
    ) -> Option<Box<Self>> {
        let (key, own) = key?;
        let need = needs::row(method, route)?;
        if need.scope != Scope::Admin || method == "GET" {
            return None;
        }
        let named = request.headers().get(RAINCHECK_NAMESPACE);
        let named = named.and_then(|named| named.to_str().ok()).map(text::short);
        Some(Box::new(Self {
            key,
            namespace: named.map_or_else(|| own.to_string(), Cow::into_owned),
            method,
            path: text::short(request.uri().path()).into_owned(),
        }))
    }

    /// One line for each act that was done or refused; the body, which may hold secrets, is not in it.
    pub(crate) fn log(&self, response: &Response, request_id: &HeaderValue) {
        let status = response.status().as_u16();
        let (key, namespace, method, path) = (self.key, &self.namespace, self.method, &self.path);
        tracing::info!(target: "raincheck::audit", %key, %namespace, method, %path, status, ?request_id, "administrative act");
    }
}
