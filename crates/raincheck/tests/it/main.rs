//! The server by HTTP: real sockets on port 0, the real door, the embedded store in a directory of its own.
//!
//! Bodies and headers are compared with snapshots in which ids, times and dates are blotted out. After a change that is
//! meant, run the tests with `INSTA_UPDATE=always` and read the difference before it is committed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad;
mod batches;
mod bulk;
mod client;
mod cors;
mod documents;
mod embed;
mod events;
mod fetch;
mod gate;
mod harness;
mod hosts;
mod idempotency;
mod jobs;
mod keys;
mod limits;
mod list;
mod many;
mod metrics;
mod options;
mod outlook;
mod patch;
mod proxy;
mod pull;
mod push;
mod queues;
mod raw_http;
mod results;
mod room;
mod slow;
mod stop;
mod submit;
mod sweep;
mod tickets;
mod tls;
mod traces;
mod unique;
mod wait;
mod webhooks;
