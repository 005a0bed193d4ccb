//! The map for what is looked up with every request.
//!
//! Its hash costs a third of the standard one's. It is seeded anew in every process, and its keys are ids that the server
//! gave out, or names of which there are few; so nobody can choose them to collide.

use std::collections::HashMap;

/// See the module.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::quality::RandomState>;
