//! The embedded store: SQLite with one writing thread, group commit and the ready queue in RAM.
