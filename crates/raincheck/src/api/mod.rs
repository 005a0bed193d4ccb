//! The HTTP contract: the only place that knows wire types.
//!
//! A request passes the [`gate`], its route under `routes` reads it, `options` and `wire` say what it may hold, the node
//! does the work, and `answer`, `redeem` and `problem` say what came of it. The list of codes is [`code::Code`].
//!
//! Invariants: a 202 is built only from something [committed](committed::Committed); every answer about a stored job
//! says which and how it ended; every refusal is a problem with a stable code.

mod access;
mod acts;
mod answer;
mod asking;
mod audit;
mod caller;
pub mod code;
mod committed;
pub(crate) mod conditional;
pub(crate) mod cors;
mod delivered;
pub(crate) mod desk;
mod door;
pub(crate) mod embedded;
pub(crate) mod events;
mod extract;
pub(crate) mod gate;
pub(crate) mod head;
mod ids;
mod needs;
mod openapi;
pub(crate) mod options;
mod outlook;
pub(crate) mod prefer;
pub(crate) mod problem;
mod query;
mod redeem;
mod routes;
mod sandbox;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod throttling;
pub(crate) mod ticket;
mod until;
mod wait;
mod ways;
pub(crate) mod webhook;
pub(crate) mod wire;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::name::Namespace;

use crate::node::Node;
use crate::proxy::safe::Safes;
use crate::room::{Room, Shares};
use crate::server::BodyPace;
use crate::telemetry::http::Routes;
pub use crate::throttle::Allowance;

pub use asking::request_id;
pub use cors::Origin;
pub use gate::Gate;
pub use openapi::openapi_json;
pub use text::{base64 as from_base64, to_base64};
pub use throttling::{ADDRESS_USUAL, KEY_USUAL};
pub(crate) use ticket::Ticket;
pub use ways::Ways;

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// How many requests may wait for jobs at once.
    pub waiters_max: usize,
    /// How many streams of events may be open at once.
    pub streams_max: usize,
    /// How often a stream on which nothing happens is kept open by a comment.
    pub ping: Duration,
    /// How slowly a request's body may come.
    pub body_pace: BodyPace,
    /// How many bytes the bodies may take together that are being read, or on their way to the disk.
    pub bodies_bytes_max: u64,
    /// How many bytes the results and inputs may take together that were read from the disk and are on their way to clients, those of
    /// up to 64 KiB left aside.
    pub answers_bytes_max: u64,
    /// How often one API key may come.
    pub per_key: Allowance,
    /// How often one address may come without a key; an IPv6 network of 64 bits counts as one.
    pub per_address: Allowance,
    /// Whether only requests for this very host, and from no foreign page, are let in. A server without keys must be
    /// closed.
    pub closed: bool,
    /// Whose pages may call the API from a browser, beside the server's own.
    pub cors_origins: Vec<Origin>,
    /// Whether answers of upstreams, and of an application's own routes, are redeemed as they were: where the API stands on
    /// the origin that they speak for.
    pub as_it_was: bool,
}

impl Default for ApiOptions {
    /// 10,000 waiters, 10,000 streams, a comment every 15 s, bodies of at least 1 KiB/s after 5 s and of 160 MiB
    /// together, 80 MiB of what is on its way to clients, closed; with keys
    /// 10,000 requests a second by one of them, and 200 a second from one address without.
    fn default() -> Self {
        let shares = Shares::default();
        Self {
            waiters_max: 10_000,
            streams_max: 10_000,
            ping: Duration::from_secs(15),
            body_pace: BodyPace::default(),
            bodies_bytes_max: shares.requests,
            answers_bytes_max: shares.answers,
            per_key: Allowance::Usual,
            per_address: Allowance::Usual,
            closed: true,
            cors_origins: Vec::new(),
            as_it_was: false,
        }
    }
}

/// What every route needs. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: Node,
    pub(crate) options: ApiOptions,
    pub(crate) waiters: wait::Waiters,
    pub(crate) tickets: ticket::TicketKey,
    /// What credentials are kept in.
    pub(crate) safes: Safes,
    pub(crate) streams: events::Streams,
    /// For the bodies that are being read.
    pub(crate) room: Room,
    /// For those that are on their way out.
    pub(crate) leaving: Room,
    /// Whose requests all are while there are no keys.
    pub(crate) namespace: Namespace,
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The whole API over a node: what [`serve`](crate::server::serve) takes.
pub type Service = Gate<Ways>;

/// The whole API over a node, closed, with default limits.
pub fn service(node: Node) -> Service {
    service_with(node, ApiOptions::default())
}

/// The whole API over a node.
pub fn service_with(node: Node, options: ApiOptions) -> Service {
    gated(api(node, options))
}

/// The same, with where requests that are not for it are given rain checks.
pub(crate) fn with_desk(node: Node, options: ApiOptions) -> (Service, desk::Desk) {
    let api = api(node, options);
    (gated(api.clone()), desk::Desk::new(api))
}

fn api(node: Node, options: ApiOptions) -> Api {
    Api(Arc::new(Shared {
        node,
        waiters: wait::Waiters::new(options.waiters_max),
        tickets: ticket::TicketKey::default(),
        safes: Safes::default(),
        streams: events::Streams::new(options.streams_max),
        room: Room::new(options.bodies_bytes_max),
        leaving: Room::new(options.answers_bytes_max),
        options,
        namespace: Namespace::default(),
    }))
}

fn gated(api: Api) -> Service {
    let (node, options) = (&api.node, &api.options);
    let (closed, cors) = (options.closed, cors::Cors::new(&options.cors_origins));
    let throttling = throttling::Throttling::new(options);
    let door = door::Door::new(node.keys().clone(), node.store().clone(), throttling);
    let (store, random) = (node.store().clone(), node.options().random.clone());
    let (metrics, mount) = (api.node.metrics().clone(), api.node.options().mount.clone());
    let (router, document) = routes::all().split_for_parts();
    let paths = Routes::new(document.paths.paths.keys().map(String::as_str));
    let router = router
        .fallback(gate::not_found)
        .method_not_allowed_fallback(gate::method_not_allowed)
        .with_state(api.clone());
    let audit = audit::Audit::new(store, random, &paths, openapi::declared(&document));
    Gate::new(
        ways::Ways::new(router, api),
        gate::Lets { closed, cors },
        Some(door),
        Some(audit),
        paths,
        metrics,
        mount,
    )
}
