//! One test per promise of the [`Store`](crate::store::Store), by subject.
//!
//! Invariant: every promise is in the list that [`conformance!`](crate::conformance!) runs (a test of this crate
//! compares the list with the files), so a store cannot leave one out.

pub mod acts;
pub mod batches;
pub mod batches_over;
pub mod by_hand;
pub mod cancel;
pub mod claim;
pub mod claim_id;
pub mod clock;
pub mod closing;
pub mod concurrency;
pub mod deliveries;
pub mod depth_bytes;
pub mod draft;
pub mod emit;
pub mod groups;
pub mod idempotency;
pub mod keys;
pub mod kit;
pub mod lag;
pub mod lease;
pub mod listing;
pub mod namespaces;
pub mod observer;
pub mod order;
pub mod overdue;
pub mod patch;
pub mod patience;
pub mod queues;
pub mod rate;
pub mod reopen;
pub mod reopen_acts;
pub mod reopen_batches;
pub mod reopen_clock;
pub mod reopen_keys;
pub mod reopen_leases;
pub mod reopen_limits;
pub mod reopen_output;
pub mod retention;
pub mod secrets;
pub mod settle;
pub mod submit;
pub mod unique;
pub mod waiting;
