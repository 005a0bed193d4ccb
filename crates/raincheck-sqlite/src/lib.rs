//! The embedded store: SQLite in one directory, one writing thread, the ready queue in RAM.
//!
//! ```text
//!  caller ─► handover ─(a round)─► writer thread: one transaction, one sync ─► answers, observer
//!                                    │ rows: schema, row        │ RAM: memory, ready
//!  caller ─► reader threads (query-only) ◄──── WAL ────┘        └─► checkpoint thread
//! ```
//!
//! Invariant: only the writer thread writes, and it answers nothing before the sync of its transaction returned.
//! A sync that fails is never tried again: the store is poisoned and has to be opened anew.

mod apply;
mod aside;
mod back;
mod ballast;
mod batch_row;
mod body;
mod busy;
mod checkpoint;
mod create;
mod directory;
mod fresh;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod handle;
mod handover;
mod list;
mod look;
mod memory;
mod open;
mod operation;
mod output;
mod reader;
mod ready;
mod recent;
mod row;
mod schema;
mod seal;
mod space;
mod store;
mod sum;
mod told;
mod tx;
mod vault;
mod waiting;
mod writer;

pub use directory::OpenError;
pub use handle::SqliteStore;
pub use open::Options;
pub use schema::SQLITE_VERSION_MIN;
pub use vault::{MasterKeys, master_key_id};
