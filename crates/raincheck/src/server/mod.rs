//! The door: accepts connections and serves any tower service on them.

mod body;

pub use body::{BodyError, BodyPace, read_body};
